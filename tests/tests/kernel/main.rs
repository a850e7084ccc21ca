//! What the real program does to a real kernel, without traffic. Each test has a network namespace
//! of its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod apply;
mod cleanup;
mod confined;
mod contention;
mod follow;
mod former;
mod legacy;
mod log;
mod nftables;
mod parts;
mod repair;
mod rival;
mod size;
mod start;
mod support;
mod takeover;
