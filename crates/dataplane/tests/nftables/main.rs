//! nftables mode.

#![allow(clippy::panic, clippy::unwrap_used, reason = "these are tests")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a golden file is read, and packets are sent inside a namespace"
)]

mod base;
mod frontends;
mod kernel;
mod node;
mod observed;
mod properties;
mod world;
