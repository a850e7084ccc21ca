//! Histories from seeds: the agent's whole loop in one process, on a clock that is made, in front of
//! a kernel and an API server in memory, where everything happens that may happen.
//!
//! A seed is a test case: [`simulate`] runs it and says what was wrong, with a trace of what
//! happened. The same seed gives the same history.

mod chaos;
mod checks;
mod cluster;
mod history;
mod mode;
mod node;
mod odd;
mod settings;
mod storm;
mod trace;

pub use history::{Failure, ModeName, simulate};
