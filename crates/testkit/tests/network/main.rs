//! The kit itself, tried in real namespaces with real traffic. Needs root: see
//! `viprule_testkit::netns::require_privileges`.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod agent;
mod dump;
mod load;
mod manifests;
mod netns;
mod pod_server;
mod probes;
mod support;
mod traffic;
mod world;
