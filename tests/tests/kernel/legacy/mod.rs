//! Legacy tables, written by the host's programs.

mod backend;
mod broken;
mod foreign;
mod payload;
mod support;
mod takeover;
