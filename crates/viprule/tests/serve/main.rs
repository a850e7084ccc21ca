//! What the agent serves over HTTP, on real sockets. Ports are fixed, so that every test has a
//! network namespace of its own.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may fail")]

mod debug;
mod metrics;
mod node_ports;
mod proxy_health;
mod server;
mod support;
