//! The node agent: what happens when, and what follows from it.

mod fragment;
pub mod host_settings;
mod keeper;
mod report;
mod run;
mod syncer;

pub use fragment::FragmentId;
pub use report::{Report, Touched};
pub use run::{RunOptions, run};
pub use syncer::{SyncError, Syncer, desired};
