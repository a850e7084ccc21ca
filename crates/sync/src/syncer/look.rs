//! Looks at the kernel, and what follows from what is there.

use std::marker::PhantomData;

use viprule_dataplane::{Content as _, Dataplane, Fingerprint, ObjectKey as _, Scope, State};
use viprule_service::model::ServiceId;
use viprule_service::plan::FlowDestination;
use viprule_writer::{PieceOf, WriteError};

use super::Syncer;
use crate::{FragmentId, SyncError, WriterFor};

/// What is kept of an object: its fingerprint, and the UDP frontend that it serves if it does. Rules
/// of Services that went while nobody was running are the only evidence of the flows that led there.
struct Observed<D> {
    print: Fingerprint,
    udp: Option<FlowDestination>,
    dataplane: PhantomData<D>,
}

impl<D: Dataplane> From<(D::Key, D::Object)> for Observed<D> {
    fn from((key, object): (D::Key, D::Object)) -> Self {
        Self {
            print: object.fingerprint(),
            udp: D::udp_frontend(&key, &object),
            dataplane: PhantomData,
        }
    }
}

/// The same, and the Service that the object says it is of.
struct Named<D> {
    observed: Observed<D>,
    service: Option<ServiceId>,
}

impl<D: Dataplane> From<(D::Key, D::Object)> for Named<D> {
    fn from((key, object): (D::Key, D::Object)) -> Self {
        Self {
            service: object.service(),
            observed: (key, object).into(),
        }
    }
}

impl<D: Dataplane, W: WriterFor<D>> Syncer<D, W> {
    /// Corrects the applied state by what the kernel has, and owes what may differ from the plans.
    pub(super) fn look(&mut self, scope: &Scope<PieceOf<W>>) -> Result<(), SyncError> {
        if *scope == Scope::Everything {
            tracing::debug!("looking at everything");
        }
        let seen = if self.found.is_none() {
            self.first_look(scope)?
        } else {
            if !self.tracker.withholds_anything() {
                self.leftovers.clear();
            }
            self.writer.observe(scope)?
        };
        self.take_changes();
        self.owed.extend(self.applied.correct(scope, seen));
        let refused: Vec<ServiceId> = self.quarantined.keys().cloned().collect();
        for id in refused {
            self.keep(id);
        }
        if *scope == Scope::Everything {
            self.owed
                .extend([FragmentId::Base, FragmentId::EntryPoints]);
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

    /// What the kernel has of a refused Service stays that Service's, also what was written of it
    /// before the refusal, or by somebody else since.
    pub(super) fn keep(&mut self, refused: ServiceId) {
        let desired = self.render_service(&refused);
        self.applied.adopt(&FragmentId::Service(refused), &desired);
    }

    /// Looks at what others left.
    fn first_look(
        &mut self,
        scope: &Scope<PieceOf<W>>,
    ) -> Result<State<D::Key, Fingerprint>, WriteError> {
        self.tracker.complete();
        let seen: State<D::Key, Observed<D>> = if self.tracker.withholds_anything() {
            let seen = self.writer.observe::<Named<D>>(scope)?;
            let tracker = &self.tracker;
            let may_be_wanted = seen.iter().filter(|(_, named)| {
                let service = named.service.as_ref();
                service.is_none_or(|id| tracker.may_have_more(id))
            });
            self.leftovers = may_be_wanted.map(|(key, _)| key.clone()).collect();
            let seen = seen.into_iter();
            seen.map(|(key, named)| (key, named.observed)).collect()
        } else {
            self.writer.observe(scope)?
        };
        // Kubelet makes the others on every node.
        let proxys = seen.iter().filter(|(key, _)| key.is_removable());
        self.found = Some(proxys.count());
        let udp = seen.iter().filter_map(|(_, observed)| observed.udp);
        self.found_udp = udp.collect();
        let seen = seen.into_iter();
        Ok(seen.map(|(key, observed)| (key, observed.print)).collect())
    }
}
