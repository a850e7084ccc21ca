//! The program: what the operator sees.

pub mod agent;
pub mod cli;
pub mod config;
