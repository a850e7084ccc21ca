//! The node agent: what happens when, and what follows from it.

mod descriptors;
mod flows;
pub(crate) mod host_settings;
mod host_watch;
mod inputs;
mod news;
mod node_report;
mod prerequisites;
mod repair_backoff;
mod run;
mod seccomp;
mod served;
mod servers;
#[doc(hidden)]
pub mod simulation;
mod supervisor;
mod sync_loop;
mod sync_thread;
mod takeover;
mod telemetry;
mod watches;

pub use run::{prepare_host, run};
pub use served::count_served;
pub(crate) use telemetry::Cause;
