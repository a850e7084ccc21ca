//! Which Service something in the kernel is of.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

use viprule_dataplane::{Fingerprint, ObjectKey, State};
use viprule_service::model::ServiceId;
use viprule_sync::Listener;

/// Which Service has what, by what identifies it: whoever writes it tells.
#[derive(Debug)]
pub(super) struct Owners<K, I> {
    /// What a key identifies, where that has an owner.
    of: fn(&K) -> Option<I>,
    owners: Arc<RwLock<HashMap<I, ServiceId>>>,
}

impl<K, I> Clone for Owners<K, I> {
    fn clone(&self) -> Self {
        let (of, owners) = (self.of, self.owners.clone());
        Self { of, owners }
    }
}

impl<K, I: Eq + Hash> Owners<K, I> {
    pub(super) fn new(of: fn(&K) -> Option<I>) -> Self {
        let owners = Arc::default();
        Self { of, owners }
    }

    /// Lets `read` have them. Nothing changes meanwhile.
    pub(super) fn read<R>(&self, read: impl FnOnce(&HashMap<I, ServiceId>) -> R) -> R {
        read(&self.owners.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K: ObjectKey, I: Debug + Eq + Hash + Send + Sync> Listener<K> for Owners<K, I> {
    fn changed(
        &mut self,
        service: &ServiceId,
        before: &State<K, Fingerprint>,
        after: &State<K, Fingerprint>,
    ) {
        let mut owners = self.owners.write().unwrap_or_else(PoisonError::into_inner);
        let identified = |state: &State<K, Fingerprint>| -> Vec<I> {
            let keys = state.iter().map(|(key, _)| key);
            keys.filter_map(self.of).collect()
        };
        for id in identified(before) {
            // It may be another one's by now.
            if owners.get(&id) == Some(service) {
                owners.remove(&id);
            }
        }
        let now = identified(after).into_iter();
        owners.extend(now.map(|id| (id, service.clone())));
    }
}
