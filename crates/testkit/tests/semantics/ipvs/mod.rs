//! IPVS mode.

mod agreement;
mod contract;
mod generated;
mod golden;

mod mutations;
