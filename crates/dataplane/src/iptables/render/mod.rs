//! From plan to desired state.

mod builder;
mod foundation;
mod service;

pub use foundation::{foundation, links, place_of};
pub use service::service;
