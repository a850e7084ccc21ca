//! Rows: who gets how many slots, and by which ids clients remember endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use sha2::{Digest as _, Sha256};
use viprule_service::plan::EndpointPlan;

/// Slots of a row for each of its endpoints at most, on average: so much memory weights may take.
const SLOTS_FOR_WEIGHTS: usize = 32;

/// Set in each id, so that ids are told from priorities that others give packets.
pub(super) const IS_ID: u32 = 1 << 31;

/// What a row holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Slots {
    /// The endpoint of each slot. Those of one endpoint are neighbours.
    pub(super) endpoints: Vec<SocketAddr>,
    /// Endpoints that there was no room for.
    pub(super) left_out: usize,
    /// True where shares are near to the weights only.
    pub(super) rounded: bool,
}

impl Slots {
    /// The slots of these endpoints, `most` at most. An endpoint has one slot at least; each has as
    /// many as its weight says, in lowest terms.
    pub(super) fn of<'a>(endpoints: impl Iterator<Item = &'a EndpointPlan>, most: u16) -> Self {
        let most = usize::from(most);
        let mut all: Vec<(SocketAddr, usize)> = endpoints
            .map(|endpoint| (endpoint.address, usize::from(endpoint.weight.max(1))))
            .collect();
        let left_out = all.len().saturating_sub(most);
        all.truncate(most);
        let divisor = all
            .iter()
            .fold(0, |divisor, (_, weight)| common_divisor(divisor, *weight));
        let total: usize = all.iter().map(|(_, weight)| weight / divisor).sum();
        let room = most.min(all.len().saturating_mul(SLOTS_FOR_WEIGHTS));
        let rounded = total > room;
        let beyond_one = room - all.len().min(room);
        let share = |weight: usize| {
            let weight = weight / divisor;
            if rounded {
                1 + weight * beyond_one / total
            } else {
                weight
            }
        };
        let slots = all
            .iter()
            .flat_map(|(address, weight)| std::iter::repeat_n(*address, share(*weight)));
        Self {
            endpoints: slots.collect(),
            left_out,
            rounded,
        }
    }
}

fn common_divisor(mut a: usize, mut b: usize) -> usize {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// By which ids clients of a port remember its endpoints: the same in all of its rows, on every node
/// and after a restart. Where two hash to one id the later one has the next that is free.
pub(super) fn ids(endpoints: &[EndpointPlan]) -> BTreeMap<SocketAddr, u32> {
    let mut taken = BTreeSet::new();
    let mut ids = BTreeMap::new();
    for address in endpoints.iter().map(|endpoint| endpoint.address) {
        let digest = Sha256::digest(address.to_string());
        let first = digest
            .iter()
            .take(4)
            .fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        let mut id = first | IS_ID;
        while !taken.insert(id) {
            id = id.wrapping_add(1) | IS_ID;
        }
        ids.insert(address, id);
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(weights: &[u16]) -> Vec<EndpointPlan> {
        let endpoint = |(n, weight): (u16, &u16)| EndpointPlan {
            address: SocketAddr::from(([10, 2, n.to_be_bytes()[0], n.to_be_bytes()[1]], 8080)),
            local: true,
            in_cluster_set: true,
            in_local_set: true,
            weight: *weight,
        };
        (0..).zip(weights).map(endpoint).collect()
    }

    /// How many slots each has.
    fn shares(weights: &[u16], most: u16) -> (Vec<usize>, Slots) {
        let endpoints = endpoints(weights);
        let slots = Slots::of(endpoints.iter(), most);
        let share = |endpoint: &EndpointPlan| {
            let its = slots.endpoints.iter();
            its.filter(|slot| **slot == endpoint.address).count()
        };
        (endpoints.iter().map(share).collect(), slots)
    }

    #[test]
    fn weights_are_slots_in_lowest_terms() {
        for (weights, expected) in [
            (&[1, 1, 1][..], &[1, 1, 1][..]),
            (&[500, 500], &[1, 1]),
            (&[2, 4, 6], &[1, 2, 3]),
            (&[30, 1], &[30, 1]),
            (&[65_535], &[1]),
            (&[], &[]),
        ] {
            let (found, slots) = shares(weights, 8192);
            assert_eq!(found, expected, "{weights:?}");
            assert_eq!((slots.left_out, slots.rounded), (0, false));
        }
    }

    #[test]
    fn weights_that_take_too_many_slots_are_rounded() {
        let (found, slots) = shares(&[65_535, 1], 8192);
        assert!(slots.rounded);
        assert_eq!(found, [62, 1]);
        let (found, slots) = shares(&[3000, 2000, 1001], 16);
        assert!(slots.rounded);
        assert_eq!(found, [7, 5, 3]);
        assert!(slots.endpoints.len() <= 16);
    }

    #[test]
    fn endpoints_beyond_the_largest_row_are_left_out() {
        let (found, slots) = shares(&[1; 1030], 1024);
        assert_eq!(slots.left_out, 6);
        assert_eq!(found.iter().sum::<usize>(), 1024);
        assert!(!slots.rounded);
        let (found, slots) = shares(&[7; 1030], 1024);
        assert_eq!((found[0], found[1029], slots.rounded), (1, 0, false));
        let (_, slots) = shares(&[1, 2], 1);
        assert_eq!((slots.endpoints.len(), slots.left_out), (1, 1));
    }

    #[test]
    fn ids_are_distinct_stay_and_have_the_top_bit() {
        let all = endpoints(&[1; 300]);
        let found = ids(&all);
        let distinct: BTreeSet<_> = found.values().collect();
        assert_eq!(distinct.len(), 300);
        assert!(found.values().all(|id| id & IS_ID != 0));
        // The digest of "10.2.0.0:8080" begins with 84d20960, which has the top bit.
        assert_eq!(found.get(&all[0].address), Some(&0x84d2_0960));
        // None of these hash to one id.
        for endpoint in &all {
            let alone = ids(std::slice::from_ref(endpoint));
            assert_eq!(alone.get(&endpoint.address), found.get(&endpoint.address));
        }
    }
}
