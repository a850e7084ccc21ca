//! What virtual servers count.

use ipvs_netlink::{Ipvs, ServerId, Stats};
use netlink_batch::retry_stale;

use super::{probe, servers};
use crate::WriteError;

/// How often virtual servers that change while they are read are read again.
const ATTEMPTS: u32 = 10;

/// Reads what virtual servers count, with a socket of its own: one listing for all. The kernel sums
/// up every two seconds.
#[derive(Debug)]
pub struct Counters {
    ipvs: Ipvs,
}

impl Counters {
    /// Opens the IPVS of the calling thread's network namespace.
    pub fn open() -> Result<Self, WriteError> {
        probe::open().map(|ipvs| Self { ipvs })
    }

    /// All virtual servers of the namespace, whoever made them, with their counts.
    pub fn read(&mut self) -> Result<impl Iterator<Item = (ServerId, Stats)> + use<>, WriteError> {
        let servers = retry_stale(ATTEMPTS, || {
            let mut servers = Vec::new();
            self.ipvs
                .servers(|entry| servers.push((entry.id, entry.stats)))?;
            Ok(servers)
        });
        servers
            .map(Vec::into_iter)
            .map_err(|error| WriteError::of("reading counters", error, servers::PART))
    }
}
