//! Matches that ask another part of the kernel: IP sets, bridges, IPVS.

pub(super) mod ipvs;
pub(super) mod physdev;
pub(super) mod set;

pub use ipvs::{Forwarding, Ipvs};
pub use physdev::Physdev;
pub use set::{Direction, Directions};
