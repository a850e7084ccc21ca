//! Which Services are written next where all at once would keep the others waiting.

use std::collections::{BTreeMap, BTreeSet};

use viprule_service::model::ServiceId;

/// What one transaction is to hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Services that are written whole.
    pub(crate) whole: Vec<ServiceId>,
    /// One that is too large for that: as much of it as there is room for.
    pub(crate) part: Option<ServiceId>,
    /// True where others have to wait for a later turn.
    pub(crate) leaves_out: bool,
}

impl Turn {
    /// Chooses among Services, with their sizes, where there is `room` for sizes in the same unit.
    ///
    /// Where there is not room for all, namespaces take turns and begin with the smallest of their
    /// Services, so that nobody waits for what another one asks for. A Service that has no place among
    /// those is written in parts, one such Service at a time: `unfinished` goes on; else the next
    /// namespace behind that of `last` has one.
    ///
    /// Services of one of the `pairs` are written together, so that what goes from one to the other
    /// is never nobody's. What goes to one that is written in parts may be, until its turn comes: else
    /// who has two such Services could keep all others waiting.
    pub(crate) fn of(
        services: Vec<(ServiceId, u64)>,
        room: u64,
        unfinished: Option<&ServiceId>,
        last: Option<&ServiceId>,
        pairs: &BTreeSet<(ServiceId, ServiceId)>,
    ) -> Self {
        let total = services.iter().map(|(_, size)| *size);
        if total.fold(0, u64::saturating_add) <= room {
            return Self {
                whole: services.into_iter().map(|(id, _)| id).collect(),
                ..Self::default()
            };
        }
        let (mut small, large): (Vec<_>, Vec<_>) = services
            .into_iter()
            .partition(|(_, size)| *size <= room / 2);
        let part = next_large(large, unfinished, last);
        let room = if part.is_some() { room / 2 } else { room };
        small.sort_by(|(a, of_a), (b, of_b)| (of_a, a).cmp(&(of_b, b)));
        let mut rounds = rounds(small);
        let mut used = 0;
        let fitting = rounds.iter().take_while(|(_, size)| {
            used += size;
            used <= room
        });
        let others = rounds.split_off(fitting.count());
        let mut whole: Vec<ServiceId> = rounds.into_iter().map(|(id, _)| id).collect();
        if !pairs.is_empty() {
            join(&mut whole, others, pairs);
        }
        Self {
            whole,
            part,
            leaves_out: true,
        }
    }
}

/// In each round one of each namespace; what comes first in a namespace stays first.
fn rounds(services: Vec<(ServiceId, u64)>) -> Vec<(ServiceId, u64)> {
    let mut rounds: BTreeMap<Box<str>, usize> = BTreeMap::new();
    let mut numbered: Vec<(usize, (ServiceId, u64))> = Vec::with_capacity(services.len());
    for service in services {
        let round = rounds.entry(service.0.namespace().into()).or_default();
        numbered.push((*round, service));
        *round += 1;
    }
    // Stable: within a round the smallest is still the first.
    numbered.sort_by_key(|(round, _)| *round);
    numbered.into_iter().map(|(_, service)| service).collect()
}

/// Adds what is paired with any of these.
fn join(
    whole: &mut Vec<ServiceId>,
    others: Vec<(ServiceId, u64)>,
    pairs: &BTreeSet<(ServiceId, ServiceId)>,
) {
    let mut others: BTreeSet<ServiceId> = others.into_iter().map(|(id, _)| id).collect();
    let mut partners: BTreeMap<&ServiceId, Vec<&ServiceId>> = BTreeMap::new();
    for (one, two) in pairs {
        partners.entry(one).or_default().push(two);
        partners.entry(two).or_default().push(one);
    }
    let mut at = 0;
    while let Some(id) = whole.get(at) {
        let of_id = partners.get(id).into_iter().flatten();
        let joining: Vec<ServiceId> = of_id.filter_map(|id| others.take(*id)).collect();
        whole.extend(joining);
        at += 1;
    }
}

fn next_large(
    mut large: Vec<(ServiceId, u64)>,
    unfinished: Option<&ServiceId>,
    last: Option<&ServiceId>,
) -> Option<ServiceId> {
    if let Some(id) = unfinished
        && large.iter().any(|(other, _)| other == id)
    {
        return Some(id.clone());
    }
    large.sort_by(|(a, of_a), (b, of_b)| {
        let order = a.namespace().cmp(b.namespace());
        order.then(of_a.cmp(of_b)).then_with(|| a.cmp(b))
    });
    let is_behind =
        |(id, _): &(ServiceId, u64)| last.is_some_and(|last| id.namespace() > last.namespace());
    let at = large.iter().position(is_behind).unwrap_or(0);
    large.into_iter().nth(at).map(|(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ServiceId {
        let (namespace, name) = text.split_once('/').unwrap();
        ServiceId::new(namespace, name).unwrap()
    }

    fn turn(services: &[(&str, u64)], unfinished: Option<&str>, last: Option<&str>) -> Turn {
        let services = services.iter().map(|(name, size)| (id(name), *size));
        let [unfinished, last] = [unfinished, last].map(|name| name.map(id));
        let pairs = [("p/1", "p/2"), ("q/1", "p/2")].map(|(a, b)| (id(a), id(b)));
        Turn::of(
            services.collect(),
            100,
            unfinished.as_ref(),
            last.as_ref(),
            &pairs.into(),
        )
    }

    fn names(turn: &Turn) -> Vec<String> {
        turn.whole.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_fits_is_written_at_once() {
        let turn = turn(&[("a/x", 60), ("b/y", 40)], None, None);
        assert_eq!(names(&turn), ["a/x", "b/y"]);
        assert!(turn.part.is_none() && !turn.leaves_out);
    }

    #[test]
    fn namespaces_take_turns_with_their_smallest_services() {
        let services = [
            ("a/1", 30),
            ("a/2", 20),
            ("a/3", 30),
            ("b/1", 40),
            ("c/1", 5),
        ];
        let turn = turn(&services, None, None);
        assert_eq!(names(&turn), ["c/1", "a/2", "b/1", "a/1"]);
        assert!(turn.part.is_none() && turn.leaves_out);
    }

    #[test]
    fn what_goes_from_one_to_another_is_written_together() {
        let services = [
            ("a/1", 40),
            ("p/1", 10),
            ("p/2", 45),
            ("q/1", 46),
            ("z/1", 48),
        ];
        let turn = turn(&services, None, None);
        assert_eq!(names(&turn), ["p/1", "a/1", "q/1", "p/2"]);
    }

    #[test]
    fn one_large_service_at_a_time_leaves_half_of_the_room() {
        let services = [
            ("a/1", 1_000),
            ("a/2", 900),
            ("b/1", 800),
            ("c/1", 30),
            ("c/2", 30),
        ];
        let part = |unfinished, last| {
            let turn = turn(&services, unfinished, last);
            assert_eq!(names(&turn), ["c/1"]);
            assert!(turn.leaves_out);
            turn.part.unwrap().to_string()
        };
        assert_eq!(part(None, None), "a/2");
        assert_eq!(part(Some("a/1"), Some("a/1")), "a/1");
        assert_eq!(part(None, Some("a/1")), "b/1");
        assert_eq!(part(Some("gone/1"), Some("b/1")), "a/2");
    }
}
