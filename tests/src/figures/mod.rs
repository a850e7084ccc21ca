//! Data sets, times and tables of what measures.

#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "prints figures that need no 53 bits"
)]

pub mod cluster;
pub mod objects;
pub mod report;
pub mod samples;
