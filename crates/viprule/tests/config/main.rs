//! Configuration: files, flags, and what changes mean.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod changes;
mod files;
mod reload;
mod rules;
mod source_ports;
mod support;
