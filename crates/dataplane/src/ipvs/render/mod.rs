//! From plan to desired state.

mod base;
mod chains;
mod service;

pub(super) use base::base;
pub(super) use chains::entry_points;
pub(super) use service::service;

use crate::ipvs::{Key, Object};
use crate::netfilter;

/// An object of netfilter as one of IPVS mode.
fn from_netfilter((key, object): (netfilter::Key, netfilter::Object)) -> (Key, Object) {
    (Key::Netfilter(key), Object::Netfilter(object))
}
