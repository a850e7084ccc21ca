//! What a look at the kernel keeps of each object. The first one keeps more: of what earlier runs, or
//! another proxy, left there.

use viprule_dataplane::{Content, Fingerprint};
use viprule_service::model::ServiceId;
use viprule_service::plan::FlowDestination;

/// An object's fingerprint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Print(pub(super) Fingerprint);

impl<O: Content> From<O> for Print {
    fn from(object: O) -> Self {
        Self(object.fingerprint())
    }
}

/// An object's fingerprint, and the UDP frontend that it serves if it does. Rules of Services
/// that went while nobody was running are the only evidence of the flows that led there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observed {
    pub(super) print: Fingerprint,
    pub(super) udp: Option<FlowDestination>,
}

impl<O: Content> From<O> for Observed {
    fn from(object: O) -> Self {
        Self {
            print: object.fingerprint(),
            udp: object.udp_frontend(),
        }
    }
}

/// The same, and the Service that the object says it is of.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) observed: Observed,
    pub(super) service: Option<ServiceId>,
}

impl<O: Content> From<O> for Named {
    fn from(object: O) -> Self {
        Self {
            service: object.service(),
            observed: object.into(),
        }
    }
}
