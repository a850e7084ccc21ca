//! What exists in the files and can't be used.

use std::collections::BTreeSet;

use viprule_service::model::{Event, Refused, ServiceId};

use super::Manifests;
use super::object::{Key, Kind, Place};

impl Manifests {
    /// What is refused now and was not told, and the other way round. `unseen`: there are paths
    /// that could not be looked at. `unmirrored`: Endpoints that no Service needs.
    pub(super) fn tell_refused(&mut self, unseen: bool, unmirrored: &BTreeSet<Key>) -> Vec<Event> {
        let broken = self.files.iter().flat_map(|file| &file.broken);
        let broken = broken.filter(|key| !unmirrored.contains(key));
        let mut refused: BTreeSet<Refused> = broken.filter_map(|key| self.refused(key)).collect();
        if unseen || self.files.iter().any(|file| file.unattributed) {
            refused.insert(Refused::Unnamed);
        }
        let before = std::mem::take(&mut self.refused);
        let ended = before.difference(&refused).cloned();
        let ended: Vec<_> = ended.map(Event::NoLongerRefused).collect();
        let begun = refused.difference(&before).cloned().map(Event::Refused);
        let events = ended.into_iter().chain(begun).collect();
        self.refused = refused;
        events
    }

    fn refused(&self, key: &Key) -> Option<Refused> {
        let (namespace, name) = key.name.split_once('/')?;
        match key.kind {
            Kind::Node | Kind::ServiceCidr => None,
            // A name that Kubernetes would refuse is in no kernel.
            Kind::Service => ServiceId::new(namespace, name).ok().map(Refused::Service),
            // Endpoints have the Service's name.
            Kind::Endpoints => Some(Refused::Slice {
                namespace: namespace.into(),
                name: name.into(),
                service: Some(ServiceId::new(namespace, name).ok()?),
            }),
            Kind::EndpointSlice => Some(Refused::Slice {
                namespace: namespace.into(),
                name: name.into(),
                service: match self.published.get(key) {
                    Some(Place::Of(service, _)) => Some(service.clone()),
                    _ => None,
                },
            }),
        }
    }
}
