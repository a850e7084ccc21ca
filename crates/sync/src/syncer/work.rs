//! What is written next, and what stays though nobody wants it.

use viprule_dataplane::{Dataplane, ObjectKey as _};
use viprule_service::model::ServiceId;

use super::Syncer;
use crate::desired::knows_less;
use crate::turn::Turn;
use crate::{FragmentId, WriterFor};

/// Something that is written or removed on its own, in the order of writing.
#[derive(Debug, Clone)]
pub(super) enum WorkItem<K> {
    /// A fragment is brought to what it shall be, or nearer to that in so many steps at most.
    Fragment(FragmentId, Option<usize>),
    /// An object that belongs to no fragment is removed.
    Orphan(Box<K>),
}

impl<K> WorkItem<K> {
    const fn whole(id: FragmentId) -> Self {
        Self::Fragment(id, None)
    }

    const fn fragment(&self) -> Option<&FragmentId> {
        match self {
            Self::Fragment(id, _) => Some(id),
            Self::Orphan(_) => None,
        }
    }
}

impl<D: Dataplane, W: WriterFor<D>> Syncer<D, W> {
    /// What the next transaction is to hold, in the order of writing, and whether there is more.
    pub(super) fn work(&mut self, room: Option<u64>) -> (Vec<WorkItem<D::Key>>, bool) {
        if self.applied.take_container_changes() {
            self.owed.insert(FragmentId::EntryPoints);
        }
        let owed = self.owed.iter().filter(|_| !self.removing);
        let owed = owed.filter(|id| !self.is_withheld(id)).cloned();
        let Some(room) = room else {
            let items = owed.map(WorkItem::whole).chain(self.removable());
            return (items.collect(), false);
        };
        let (mut items, mut services) = (Vec::new(), Vec::new());
        for id in owed {
            match id {
                FragmentId::Service(id) => {
                    let size = self.size(&id);
                    services.push((id, size));
                }
                id => items.push(WorkItem::whole(id)),
            }
        }
        let unfinished = self.unfinished.as_ref().and_then(|it| match &it.id {
            FragmentId::Service(id) => Some(id),
            _ => None,
        });
        let mut handovers = std::mem::take(&mut self.handovers);
        handovers.retain(|(from, to)| self.owes(from) || self.owes(to));
        self.handovers = handovers;
        let last = self.last_part.as_ref();
        let turn = Turn::of(services, room, unfinished, last, &self.handovers);
        let whole = turn.whole.into_iter().map(FragmentId::Service);
        items.extend(whole.map(WorkItem::whole));
        if let Some(id) = turn.part {
            let steps = usize::try_from(room / 2).unwrap_or(usize::MAX);
            items.push(WorkItem::Fragment(
                FragmentId::Service(id.clone()),
                Some(steps),
            ));
            self.last_part = Some(id);
        }
        if turn.leaves_out && !self.complete {
            // What leads to the Services may be there for the sake of those that are left out.
            items.retain(|item| item.fragment() != Some(&FragmentId::EntryPoints));
        }
        items.sort_by(|a, b| a.fragment().cmp(&b.fragment()));
        // Who is still to be written may want what is nobody's.
        if !turn.leaves_out {
            items.extend(self.removable());
        }
        (items, turn.leaves_out)
    }

    /// What it costs to write a Service, or to remove it.
    fn size(&self, id: &ServiceId) -> u64 {
        if self.tracker.service(id).is_some() {
            return self.tracker.size(id);
        }
        let own = self.applied.own(&FragmentId::Service(id.clone()));
        own.map_or(0, |own| u64::try_from(own.len()).unwrap_or(u64::MAX))
    }

    /// Objects of nobody that go.
    fn removable(&self) -> impl Iterator<Item = WorkItem<D::Key>> {
        let orphans = self.applied.orphans().keys().rev();
        let removable = orphans.filter(|key| {
            let keeps = self.is_excluded(key) || self.stays(key) || self.is_of_refused(key);
            key.is_removable() && !self.stuck.contains_key(key) && !keeps
        });
        removable.cloned().map(Box::new).map(WorkItem::Orphan)
    }

    /// True for what an operator wants to stay though nobody wants it. A part of what somebody wants
    /// is not: whoever has the whole says which parts it has.
    fn is_excluded(&self, key: &D::Key) -> bool {
        self.dataplane.is_excluded(key)
            && key
                .whole()
                .is_none_or(|whole| self.applied.holders(&whole) == 0)
    }

    /// True for what may be asked for by what can't be used. Whether a part of what a Service has is
    /// wanted, that Service says, if it is known whole.
    pub(super) fn stays(&self, key: &D::Key) -> bool {
        if self.removing {
            return false;
        }
        let Some(whole) = key.whole() else {
            return self.leftovers.contains(key);
        };
        if self.applied.holders(&whole) == 0 && self.leftovers.contains(key) {
            return true;
        }
        // Also before it is written: a look may only then tell of what is in it.
        self.tracker.known_in_part().any(|id| {
            let rendered = || self.render_service(id).get(&whole).is_some();
            self.has(&FragmentId::Service(id.clone()), &whole) || rendered()
        })
    }

    /// True where an object is a fragment's, as far as we know.
    fn has(&self, id: &FragmentId, key: &D::Key) -> bool {
        let own = self.applied.own(id);
        own.is_some_and(|own| own.get(key).is_some())
    }

    /// True for a Service that is not known whole and has rules from before: those know better.
    fn is_withheld(&self, id: &FragmentId) -> bool {
        let FragmentId::Service(service) = id else {
            return false;
        };
        !self.leftovers.is_empty()
            && self.tracker.withholds(service)
            && self.applied.own(id).is_none()
            && knows_less(
                &self.tracker,
                service,
                &self.render_service(service),
                |key| self.leftovers.contains(key),
            )
    }

    /// True for a part of what a Service has that the kernel refuses: what it had before stays, also
    /// what an earlier process wrote.
    fn is_of_refused(&self, key: &D::Key) -> bool {
        if self.quarantined.is_empty() {
            return false;
        }
        let Some(whole) = key.whole().filter(|_| !self.removing) else {
            return false;
        };
        let mut refused = self.quarantined.keys().cloned().map(FragmentId::Service);
        refused.any(|id| self.has(&id, &whole))
    }
}
