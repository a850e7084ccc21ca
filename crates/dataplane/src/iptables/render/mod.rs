//! From plan to desired state.

mod foundation;
mod service;

pub use foundation::{foundation, links};
pub use service::service;
