//! Addresses of a node's pods.

use crate::error::{Error, Result};
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Gives each pod an address of each of the node's ranges, the same number in all of them. Number
/// 1 is the node's own. An address comes back only when all others had their turn.
#[derive(Debug)]
pub(super) struct Addresses {
    ranges: Vec<IpNet>,
    used: BTreeSet<u32>,
    last: u32,
}

impl Addresses {
    /// Numbers that fit into a range of 24 bits, broadcast excluded.
    const NUMBERS: std::ops::RangeInclusive<u32> = 2..=254;

    pub(super) fn new(ranges: Vec<IpNet>) -> Self {
        Self {
            ranges,
            used: BTreeSet::new(),
            last: 1,
        }
    }

    /// A free number and its addresses, each with the node's own beside it.
    pub(super) fn take(&mut self) -> Result<(u32, Vec<(IpAddr, IpAddr)>)> {
        let (first, last) = Self::NUMBERS.into_inner();
        let order = (self.last.max(first - 1) + 1..=last).chain(Self::NUMBERS);
        let free = order.into_iter().find(|number| !self.used.contains(number));
        let number = free.ok_or_else(|| Error::Address {
            what: format!("pod ranges {:?}", self.ranges),
            why: format!("all {} addresses are in use", self.used.len()),
        })?;
        let addresses = self.ranges.iter().map(|range| {
            let pair = nth(range, number).zip(nth(range, 1));
            pair.ok_or_else(|| Error::Address {
                what: format!("pod range {range}"),
                why: format!("it has no address number {number}"),
            })
        });
        let addresses = addresses.collect::<Result<_>>()?;
        self.used.insert(number);
        self.last = number;
        Ok((number, addresses))
    }

    pub(super) fn give_back(&mut self, number: u32) {
        self.used.remove(&number);
    }
}

fn nth(range: &IpNet, number: u32) -> Option<IpAddr> {
    let address = match range.network() {
        IpAddr::V4(base) => IpAddr::V4((u32::from(base).checked_add(number)?).into()),
        IpAddr::V6(base) => IpAddr::V6((u128::from(base).checked_add(number.into())?).into()),
    };
    range.contains(&address).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_share_their_numbers_and_the_first_is_the_node() {
        let mut addresses = Addresses::new(ranges(&["10.244.1.0/24", "fd00:10:244:1::/64"]));
        let (number, pairs) = addresses.take().unwrap();
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(own, gateway)| format!("{own} {gateway}"))
            .collect();
        assert_eq!(number, 2);
        assert_eq!(
            pairs,
            ["10.244.1.2 10.244.1.1", "fd00:10:244:1::2 fd00:10:244:1::1"]
        );
    }

    #[test]
    fn an_address_rests_before_it_comes_back() {
        let mut addresses = Addresses::new(ranges(&["10.244.1.0/24"]));
        let all: Vec<_> = (2..=254).collect();
        let taken: Vec<_> = all.iter().map(|_| addresses.take().unwrap().0).collect();
        assert_eq!(taken, all);
        assert!(addresses.take().is_err());
        addresses.give_back(7);
        addresses.give_back(9);
        assert_eq!(addresses.take().unwrap().0, 7);
        addresses.give_back(7);
        assert_eq!(addresses.take().unwrap().0, 9);
    }

    #[test]
    fn a_range_that_is_too_small_is_named() {
        let mut addresses = Addresses::new(ranges(&["10.244.1.0/31"]));
        assert!(addresses.take().unwrap_err().to_string().contains("/31"));
    }
}
