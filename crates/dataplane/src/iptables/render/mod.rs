//! From plan to desired state.

mod base;
mod service;

pub use base::{base, entry_points};
pub use service::service;
