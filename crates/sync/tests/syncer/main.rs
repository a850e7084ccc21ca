//! What is written when: the sync loop's decisions, in front of a kernel in memory.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;
mod contention;
mod flows;
mod ipvs;
mod ledger;
mod leftovers;
mod memory;
mod oversized;
mod paths;
mod quarantine;
mod sync;
mod turns;
mod unknown;
mod withheld;
mod world;
