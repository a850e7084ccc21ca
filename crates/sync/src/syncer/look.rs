//! Looks at the kernel, and what follows from what is there.

use viprule_dataplane::{Dataplane, Fingerprint, NodeEffect, ObjectKey as _, Scope, State};
use viprule_service::model::ServiceId;
use viprule_writer::{PartOf, WriteError};

use super::Syncer;
use super::observed::{Named, Observed, Print};
use crate::{FragmentId, SyncError, WriterFor};

impl<D: Dataplane, W: WriterFor<D>> Syncer<D, W> {
    /// Corrects the applied state by what the kernel has, and owes what may differ from the plans.
    pub(super) fn look(&mut self, scope: &Scope<PartOf<W>>) -> Result<(), SyncError> {
        if *scope == Scope::Everything {
            tracing::debug!("looking at everything");
        }
        let seen = if self.found.is_none() {
            self.first_look(scope)?
        } else {
            if !self.tracker.withholds_anything() {
                self.leftovers.clear();
            }
            let seen = self.writer.observe::<Print>(scope)?.into_iter();
            seen.map(|(key, Print(print))| (key, print)).collect()
        };
        self.take_changes();
        let (dataplane, nothing) = (&mut self.dataplane, State::default());
        let mut effect = NodeEffect::Nothing;
        let changed = self.applied.correct(scope, seen, |lost| {
            if !D::ATOMIC {
                effect = effect.max(dataplane.applied(&lost, &nothing));
            }
        });
        self.owed.extend(changed);
        self.owe_for(effect);
        self.keep_refused();
        if *scope == Scope::Everything {
            self.owed
                .extend([FragmentId::Foundation, FragmentId::Links]);
            self.owed
                .extend(self.tracker.services().into_iter().map(FragmentId::Service));
        }
        if self.removing {
            self.applied.disown_all();
        }
        let quarantined = &self.quarantined;
        self.owed
            .retain(|id| !matches!(id, FragmentId::Service(id) if quarantined.contains_key(id)));
        Ok(())
    }

    /// [Keeps](Self::keep) what the kernel has of every refused Service.
    fn keep_refused(&mut self) {
        let refused: Vec<ServiceId> = self.quarantined.keys().cloned().collect();
        for id in refused {
            self.keep(&FragmentId::Service(id));
        }
    }

    /// What the kernel has of a refused Service stays that Service's, also what was written of it
    /// before the refusal, or by somebody else since.
    pub(super) fn keep(&mut self, refused: &FragmentId) {
        let (desired, _) = self.render(refused);
        let adopted = self.applied.adopt(refused, &desired);
        self.adopted(&adopted);
    }

    /// Looks at what others left.
    fn first_look(
        &mut self,
        scope: &Scope<PartOf<W>>,
    ) -> Result<State<D::Key, Fingerprint>, WriteError> {
        self.tracker.complete();
        let seen: State<D::Key, Observed> = if self.tracker.withholds_anything() {
            let seen = self.writer.observe::<Named>(scope)?;
            let tracker = &self.tracker;
            let may_be_wanted = seen.iter().filter(|(_, named)| {
                let service = named.service.as_ref();
                service.is_none_or(|id| tracker.may_have_more(id))
            });
            self.leftovers = may_be_wanted.map(|(key, _)| key.clone()).collect();
            let observed = seen.into_iter().map(|(key, named)| (key, named.observed));
            observed.collect()
        } else {
            self.writer.observe(scope)?
        };
        // Kubelet makes the others on every node.
        let proxys = seen.iter().filter(|(key, _)| key.is_removable());
        self.found = Some(proxys.count());
        let served = |(key, observed): &(D::Key, Observed)| observed.udp.or(D::udp_frontend(key));
        self.found_udp = seen.iter().filter_map(served).collect();
        let prints = seen
            .into_iter()
            .map(|(key, observed)| (key, observed.print));
        Ok(prints.collect())
    }

    /// Nobody's objects became a fragment's.
    pub(super) fn adopted(&mut self, objects: &State<D::Key, Fingerprint>) -> NodeEffect {
        if D::ATOMIC || objects.is_empty() {
            return NodeEffect::Nothing;
        }
        let effect = self.dataplane.applied(&State::default(), objects);
        // However the transaction ends.
        self.owe_for(effect);
        effect
    }
}
