//! The node agent: what happens when, and what follows from it.

mod descriptors;
mod flows;
mod front;
pub(crate) mod host_settings;
mod host_watch;
mod inputs;
mod keeper;
mod news;
mod patience;
mod rival;
mod run;
mod seccomp;
mod served;
mod servers;
#[doc(hidden)]
pub mod simulation;
mod surroundings;
mod sync_thread;
mod takeover;
mod telemetry;
mod watches;

pub use run::{prepare_host, run};
pub use served::count_served;
pub(crate) use telemetry::Cause;
