//! One pod: its network namespace, its servers and its life from binding to deletion.

mod answer;
mod container;
mod network;
mod server;
mod status;
mod switches;
mod worker;

pub use answer::Identity;
pub use server::PodServer;
pub use switches::Switches;

pub(super) use worker::Worker;
