//! What was told to exist, so that a list which says that most of it is gone is noticed.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use viprule_service::model::Event;

use super::bound::LIST_OBJECTS;
use super::present::Present;
use crate::doubt::is_most;

/// Objects that were told to exist, as a hash each.
#[derive(Debug, Default)]
pub(super) struct Known {
    keys: RandomState,
    told: HashSet<u64>,
    /// A list was believed.
    listed: bool,
    /// So many Services with endpoints are served already.
    served: usize,
}

/// Why a list is not believed before another one says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// So many of the known objects are missing.
    Missing {
        /// How many.
        missing: usize,
        /// Of so many.
        known: usize,
    },
    /// The first list has nothing at all.
    Nothing,
    /// The first list has far less than is served already.
    Fewer {
        /// So many Services, or slices of so many.
        listed: usize,
        /// So many are served.
        served: usize,
    },
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing { missing, known } => {
                write!(f, "the list lacks {missing} of {known} that were there")
            }
            Self::Nothing => f.write_str("the list is empty"),
            Self::Fewer { listed, served } => write!(
                f,
                "the first list has {listed} Services, and the kernel serves {served}"
            ),
        }
    }
}

impl Known {
    /// Nothing, where so many Services with endpoints are served already.
    pub(super) fn nothing(served: usize) -> Self {
        Self {
            served,
            ..Self::default()
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.told.len()
    }

    /// True where a watch told of more than a list may have, and of as much again.
    pub(super) fn is_full(&self) -> bool {
        self.told.len() as u64 > 2 * LIST_OBJECTS
    }

    /// Takes note of what is told.
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::ServiceApplied(service) => {
                let key = self.key(service.id.namespace(), service.id.name());
                self.told.insert(key);
            }
            Event::ServiceDeleted(id) => {
                let key = self.key(id.namespace(), id.name());
                self.told.remove(&key);
            }
            Event::SliceApplied(slice) => {
                let key = self.key(slice.id.service.namespace(), &slice.id.name);
                self.told.insert(key);
            }
            Event::SliceDeleted(id) => {
                let key = self.key(id.service.namespace(), &id.name);
                self.told.remove(&key);
            }
            Event::SliceMoved {
                namespace,
                name,
                to: None,
            } => {
                let key = self.key(namespace, name);
                self.told.remove(&key);
            }
            Event::ServiceCidrApplied(cidr) => {
                let key = self.key("", &cidr.name);
                self.told.insert(key);
            }
            Event::ServiceCidrDeleted(name) => {
                let key = self.key("", name);
                self.told.remove(&key);
            }
            _ => {}
        }
    }

    /// Forgets all but these.
    pub(super) fn keep(&mut self, present: &Present) {
        let kept: HashSet<u64> = self.named(present).collect();
        self.told = kept;
    }

    /// Whether such a list is to be doubted, where so many objects were known before it began.
    /// `again`: another one was, before.
    pub(super) fn doubt(&self, present: &Present, before: usize, again: bool) -> Option<Doubt> {
        if matches!(present, Present::Node(_)) {
            return None;
        }
        let missing = self.told.len().saturating_sub(self.named(present).count());
        let many = is_most(missing, before);
        let nothing = present.is_empty();
        if many || nothing && missing > 0 {
            return Some(Doubt::Missing {
                missing,
                known: before,
            });
        }
        if self.listed || again {
            return None;
        }
        if nothing {
            return Some(Doubt::Nothing);
        }
        let (listed, served) = (present.services()?, self.served);
        let missing = served.saturating_sub(listed);
        is_most(missing, served).then_some(Doubt::Fewer { listed, served })
    }

    /// A list was believed.
    pub(super) fn listed(&mut self) {
        self.listed = true;
    }

    /// Those of a list that are known.
    fn named<'a>(&'a self, present: &'a Present) -> impl Iterator<Item = u64> + 'a {
        let keys = present
            .names()
            .map(|(namespace, name)| self.key(namespace, name));
        keys.filter(|key| self.told.contains(key))
    }

    fn key(&self, namespace: &str, name: &str) -> u64 {
        self.keys.hash_one((namespace, name))
    }
}

#[cfg(test)]
mod tests {
    use viprule_service::model::{ServiceId, SliceId};

    use super::super::Resource;
    use super::super::present::Id;
    use super::*;

    fn id(name: usize) -> ServiceId {
        ServiceId::new("shop", &format!("s{name}")).unwrap()
    }

    /// So many slices are known; a list names these.
    fn slices(known: usize, listed: impl IntoIterator<Item = usize>) -> (Known, Present) {
        let mut told = Known::default();
        told.listed();
        for name in 0..known {
            let key = told.key("shop", &format!("s{name}-x"));
            told.told.insert(key);
        }
        let mut present = Present::none(Resource::EndpointSlice);
        for name in listed {
            // Whatever Service it belongs to now.
            let slice = SliceId::new(id(0), &format!("s{name}-x")).unwrap();
            present.note(Some(Id::Slice(slice)), true);
        }
        (told, present)
    }

    fn missing(missing: usize, known: usize) -> Doubt {
        Doubt::Missing { missing, known }
    }

    #[test]
    fn more_than_half_of_ten_is_doubted() {
        for (known, listed, doubt) in [
            (10, 0..5, None),
            (10, 0..4, Some(missing(6, 10))),
            (11, 0..6, None),
            (11, 0..5, Some(missing(6, 11))),
            (9, 0..1, None),
            (9, 0..0, Some(missing(9, 9))),
            // Another cluster's.
            (10, 10..50, Some(missing(10, 10))),
            (0, 0..0, None),
        ] {
            let (told, present) = slices(known, listed.clone());
            let found = told.doubt(&present, known, false);
            assert_eq!(found, doubt, "{listed:?} of {known}");
        }
    }

    #[test]
    fn nothing_at_the_start_is_doubted_once() {
        let nothing = Present::none(Resource::Service);
        let mut told = Known::default();
        assert_eq!(told.doubt(&nothing, 0, false), Some(Doubt::Nothing));
        assert_eq!(told.doubt(&nothing, 0, true), None);
        told.listed();
        assert_eq!(told.doubt(&nothing, 0, false), None);
        let node = Present::none(Resource::Node);
        assert_eq!(Known::default().doubt(&node, 0, false), None);
    }

    #[test]
    fn far_less_at_the_start_than_is_served_is_doubted_once() {
        for (served, listed, doubted) in [
            (9, 1, false),
            (10, 5, false),
            (10, 4, true),
            (11, 5, true),
            (11, 6, false),
            (0, 3, false),
        ] {
            let mut told = Known::nothing(served);
            let mut present = Present::none(Resource::Service);
            for name in 0..listed {
                present.note(Some(Id::Service(id(name))), true);
            }
            let doubt = doubted.then_some(Doubt::Fewer { listed, served });
            assert_eq!(
                told.doubt(&present, 0, false),
                doubt,
                "{listed} of {served}"
            );
            assert_eq!(told.doubt(&present, 0, true), None);
            told.listed();
            assert_eq!(told.doubt(&present, 0, false), None);
        }
        // Many slices of few Services.
        let mut slices = Present::none(Resource::EndpointSlice);
        for name in 0..40 {
            let slice = SliceId::new(id(name % 4), &format!("s{name}")).unwrap();
            slices.note(Some(Id::Slice(slice)), true);
        }
        let doubt = Known::nothing(10).doubt(&slices, 0, false);
        let (listed, served) = (4, 10);
        assert_eq!(doubt, Some(Doubt::Fewer { listed, served }));
    }

    #[test]
    fn there_is_an_end_to_what_a_watch_adds() {
        let mut told = Known::default();
        told.told.extend(0..2 * LIST_OBJECTS);
        assert!(!told.is_full());
        told.note(&Event::SliceMoved {
            namespace: "shop".into(),
            name: "absent".into(),
            to: None,
        });
        assert!(!told.is_full());
        told.told.insert(u64::MAX);
        assert!(told.is_full());
        // A list makes room.
        told.keep(&Present::none(Resource::Service));
        assert!(!told.is_full());
    }

    #[test]
    fn it_follows_what_is_told() {
        let (mut told, present) = slices(12, 3..12);
        told.note(&Event::SliceDeleted(SliceId::new(id(3), "s3-x").unwrap()));
        told.note(&Event::SliceMoved {
            namespace: "shop".into(),
            name: "s4-x".into(),
            to: None,
        });
        told.note(&Event::SliceMoved {
            namespace: "shop".into(),
            name: "s5-x".into(),
            to: Some(id(7)),
        });
        assert_eq!(told.len(), 10);
        told.keep(&present);
        assert_eq!(told.len(), 7);
    }
}
