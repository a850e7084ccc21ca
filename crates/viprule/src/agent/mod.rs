//! The node agent: what happens when, and what follows from it.

mod books;
mod fragment;
pub mod host_settings;
mod keeper;
mod report;
mod rival;
mod run;
mod syncer;
mod write;

pub use fragment::FragmentId;
pub use report::{Report, Touched};
pub use run::{RunOptions, run};
pub use syncer::{SyncError, Syncer, desired};
