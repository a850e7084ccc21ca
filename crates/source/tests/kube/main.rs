//! The source against an API server that does as it is told.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod connecting;
mod doubting;
mod endless;
mod equal;
mod failing;
mod listing;
mod log;
mod pinned;
mod publishing;
mod server;
mod service_cidrs;
mod unasked;
mod watching;
mod world;
