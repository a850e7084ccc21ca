//! The node agent: what happens when, and what follows from it.

mod books;
mod descriptors;
mod desired;
mod flows;
mod fragment;
mod front;
mod glimpse;
pub mod host_settings;
mod host_watch;
mod inputs;
mod keeper;
mod ledger;
mod mode;
mod news;
mod part;
mod patience;
mod pieces;
mod report;
mod rival;
mod run;
mod seccomp;
mod served;
mod servers;
#[doc(hidden)]
pub mod simulation;
mod surroundings;
mod sync_thread;
mod syncer;
mod takeover;
mod telemetry;
mod turn;
mod watches;
mod write;

pub use desired::{Compared, compared, desired};
pub use fragment::FragmentId;
pub use ledger::{Ledger, NoLocal, Totals};
pub use report::{Report, Touched};
pub use run::{prepare_host, run};
pub use served::count_served;
pub use syncer::{Rooms, SyncError, Syncer};
pub use takeover::{remove_all, remove_chains};
