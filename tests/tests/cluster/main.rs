//! Real clusters: etcd, kube-apiserver and kube-controller-manager, nodes with real traffic, and on
//! the nodes viprule or real kube-proxy. Needs root, the folder that `scripts/components` prints in
//! `VIPRULE_COMPONENTS`, and `cargo build -p viprule`.
//!
//! Counts and times are those of a quick run; the environment may ask for more, see
//! [`support::setting`].

#![allow(
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "helpers of tests fail and tell as tests do"
)]

mod agent;
mod container;
mod harness;
mod outage;
mod restart;
mod scenarios;
mod support;
mod takeover;
