//! The first look at the kernel: what earlier runs, or another proxy, left there.

use viprule_dataplane::ipvs;
use viprule_dataplane::netfilter::{Object, udp_destination};
use viprule_dataplane::{Content, Fingerprint};
use viprule_service::model::ServiceId;
use viprule_service::plan::FlowDestination;

/// An object's fingerprint, and the UDP frontend that it serves if it does. Rules of Services
/// that went while nobody was running are the only evidence of the flows that led there.
#[derive(Debug, Clone, Copy)]
pub struct Glimpse {
    pub(super) print: Fingerprint,
    pub(super) udp: Option<FlowDestination>,
}

impl Glimpse {
    /// A look at an object that serves this UDP frontend, as far as its content tells.
    pub fn new(object: &impl Content, udp: Option<FlowDestination>) -> Self {
        Self {
            print: object.fingerprint(),
            udp,
        }
    }
}

impl From<Object> for Glimpse {
    fn from(object: Object) -> Self {
        let udp = match &object {
            Object::Rule(rule) => udp_destination(rule),
            _ => None,
        };
        Self::new(&object, udp)
    }
}

/// IPVS mode's virtual servers tell by their keys.
impl From<ipvs::Object> for Glimpse {
    fn from(object: ipvs::Object) -> Self {
        Self::new(&object, None)
    }
}

/// The same, and the Service that the object says it is of.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) glimpse: Glimpse,
    pub(super) service: Option<ServiceId>,
}

impl<O: Content> From<O> for Named
where
    Glimpse: From<O>,
{
    fn from(object: O) -> Self {
        Self {
            service: object.service(),
            glimpse: object.into(),
        }
    }
}
