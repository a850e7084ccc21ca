//! The program: what the operator sees.

pub mod agent;
pub mod cli;
pub mod config;
pub mod debug;
pub mod health;
pub mod http;
pub mod log;
pub mod metrics;
pub mod mode;
