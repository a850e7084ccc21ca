//! From plan to desired state.

mod chains;
mod foundation;
mod service;

pub(super) use chains::links;
pub(super) use foundation::foundation;
pub(super) use service::service;

use crate::iptables;
use crate::ipvs::{Key, Object};

/// An object of netfilter as one of IPVS mode.
fn netfilter((key, object): (iptables::Key, iptables::Object)) -> (Key, Object) {
    (Key::Netfilter(key), Object::Netfilter(object))
}
