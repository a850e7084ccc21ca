#![doc = include_str!("../README.md")]

mod check;
mod config;
mod destination;
mod encode;
mod entry;
mod genl;
mod ipvs;
mod name;
pub mod proc;
mod protocol;
mod reason;
mod requests;
mod scheduler;
mod server;
mod stats;
pub mod text;
mod uapi;
mod wire;

/// The socket, its errors and the attributes are of [`netlink_batch`].
pub use netlink_batch;

pub use check::Invalid;
pub use config::{Info, Timeouts, Version};
pub use destination::{Checksum, Destination, DestinationId, Forwarding, Tunnel};
pub use entry::{DestinationEntry, ServerEntry};
pub use ipvs::{Error, Ipvs};
pub use protocol::{Family, Protocol};
pub use reason::Reason;
pub use requests::Requests;
pub use scheduler::{Engine, EngineError, Scheduler, SchedulerError};
pub use server::{Netmask, Server, ServerFlags, ServerId};
pub use stats::{Rates, Stats};

#[cfg(test)]
mod tests;
