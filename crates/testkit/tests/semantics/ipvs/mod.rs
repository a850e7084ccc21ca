//! IPVS mode.

pub(crate) mod agreement;
mod contract;
mod generated;
mod golden;

mod mutations;
