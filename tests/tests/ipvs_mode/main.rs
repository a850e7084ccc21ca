//! IPVS mode on a real kernel: what is written, how destinations drain, how modes and proxies
//! follow each other. Needs a kernel with IPVS, see `scripts/vm`, and `cargo build -p viprule`.
//! Packets that every mode must treat alike are in the traffic suite, which runs in IPVS mode with
//! `VIPRULE_MODE=ipvs`.

#![allow(
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "helpers of tests fail and tell as tests do"
)]

mod balancing;
mod cleanup;
mod counters;
mod drain;
mod golden;
mod handover;
mod own_addresses;
mod repair;
mod rolling;
mod scene;
mod steps;
#[path = "../traffic/support/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the traffic suite's, and all of it is used there"
)]
mod support;
mod switch;
