//! Keeps the kernel at what the plans say, whatever the dataplane.
//!
//! The caller decides when to write and when to look. [`Syncer`] plans and renders what changed,
//! compares it with what the kernel has, and makes the difference into transactions.

mod applied;
mod desired;
mod error;
mod fragment;
mod ledger;
mod listener;
mod part;
mod report;
mod syncer;
mod transaction;
mod turn;
mod writer_for;

pub use desired::{Compared, compared, desired};
pub use error::SyncError;
pub use fragment::FragmentId;
pub use ledger::{Ledger, NoLocal, ServiceCheck, Totals};
pub use listener::Listener;
pub use report::{Report, Touched};
pub use syncer::{Rooms, Syncer};
pub use writer_for::WriterFor;
