//! IPVS mode on a kernel that has it: `scripts/vm` runs these, with `--ignored`.

#![allow(clippy::panic, clippy::unwrap_used, reason = "these are tests")]

mod common;
mod drain;
mod foreign;
mod former;
mod halfway;
mod link;
mod settings;
mod sync;
mod traffic;
mod way;
