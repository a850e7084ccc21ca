//! What Services do to real traffic: the real program writes the rules of a node in namespaces of
//! its own, clients and backends are on all sides of it. Needs root, see
//! `viprule_testkit::netns::require_privileges`, and `cargo build -p viprule`.

#![allow(
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "helpers of tests fail and tell as tests do"
)]

mod affinity;
mod change;
mod confined;
mod counters;
mod detect_local;
mod foreign;
mod legacy;
mod node_ports;
mod owner;
mod protocols;
mod refusal;
mod restart;
mod source_address;
mod source_ports;
mod spread;
#[allow(
    dead_code,
    reason = "the suite ipvs uses it too, and other parts of it"
)]
mod support;
mod switch;
mod takeover;
mod tenants;
mod waiting;
