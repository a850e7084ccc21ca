//! What the tests share.

pub(crate) mod busy;
pub(crate) mod golden;
mod machine;
mod place;
mod run;
mod stage;
mod verdict;

pub(crate) use machine::{Turn, alone, rate, shared};
pub(crate) use place::{Place, at};
pub(crate) use run::Run;
pub(crate) use stage::{CLUSTER_CIDR, Stage};
pub(crate) use verdict::{Loaded, PATIENCE, Watched, even, flawless, timed_out};
pub(crate) use viprule_testkit::LIMIT;
