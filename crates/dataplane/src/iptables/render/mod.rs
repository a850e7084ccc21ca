//! From plan to desired state.

mod builder;
mod foundation;
mod service;

pub(crate) use builder::{Draft, loopback};
pub(crate) use foundation::{forward_ours, keyed, mark_masquerade, postrouting};
pub use foundation::{foundation, links, place_of};
pub use service::service;
