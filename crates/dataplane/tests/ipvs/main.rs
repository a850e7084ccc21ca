//! IPVS mode: what each rule of the contract makes of a Service, and what holds for all of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod balancing;
mod frontends;
mod node;
mod observation;
mod properties;
mod rules;
mod world;
