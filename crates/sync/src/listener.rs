//! Who wants to know what becomes of Services.

use std::fmt;

use viprule_dataplane::{Fingerprint, State};
use viprule_service::model::ServiceId;

use crate::FragmentId;

/// Hears which objects of a Service the kernel has. Nothing is written meanwhile.
pub trait Listener<K>: fmt::Debug + Send {
    /// The kernel may have other objects of a Service now than before.
    fn changed(
        &mut self,
        service: &ServiceId,
        before: &State<K, Fingerprint>,
        after: &State<K, Fingerprint>,
    );
}

/// Tells the listener, if there is one, of a fragment that is a Service's.
pub(crate) fn tell<K>(
    listener: &mut Option<Box<dyn Listener<K>>>,
    id: &FragmentId,
    before: &State<K, Fingerprint>,
    after: &State<K, Fingerprint>,
) {
    if let (Some(listener), FragmentId::Service(service)) = (listener, id) {
        listener.changed(service, before, after);
    }
}
