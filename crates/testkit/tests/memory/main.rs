//! The kernel in memory against the real one: the same messages get the same answers, byte for
//! byte but for port numbers and the names of processes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod hooks;
mod ipset;
mod ipvs;
mod listening;
mod nftables;
mod op;
mod reading;
mod route;
mod script;
mod sequences;
mod worlds;
mod writer;
