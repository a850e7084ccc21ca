//! What virtual servers and destinations count.

use netlink_batch::{AttrError, Attrs};

use crate::uapi::stats;
use crate::wire;

/// Counts since the object was made or zeroed, and rates. The kernel sums them up every other
/// second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that were scheduled. Old kernels count it and packets modulo 2^32.
    pub connections: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Packets to clients.
    pub packets_out: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// The same, averaged over some seconds.
    pub rates: Rates,
}

/// Averages of some seconds, per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Rates {
    /// Connections.
    pub connections: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Packets to clients.
    pub packets_out: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
}

/// Collects the one or the other list of statistics.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    narrow: Stats,
    wide: Option<Stats>,
}

impl Lists {
    /// The list whose counters may have 32 bits, which every kernel sends.
    pub(crate) fn narrow(&mut self, attrs: Attrs<'_>) -> Result<(), AttrError> {
        self.narrow = read(attrs)?;
        Ok(())
    }

    /// The list with 64 bits, since Linux 4.1.
    pub(crate) fn wide(&mut self, attrs: Attrs<'_>) -> Result<(), AttrError> {
        self.wide = Some(read(attrs)?);
        Ok(())
    }

    pub(crate) fn best(&self) -> Stats {
        self.wide.unwrap_or(self.narrow)
    }
}

fn read(attrs: Attrs<'_>) -> Result<Stats, AttrError> {
    let mut found = Stats::default();
    for attr in attrs {
        let attr = attr?;
        let place = match attr.kind {
            stats::CONNS => &mut found.connections,
            stats::INPKTS => &mut found.packets_in,
            stats::OUTPKTS => &mut found.packets_out,
            stats::INBYTES => &mut found.bytes_in,
            stats::OUTBYTES => &mut found.bytes_out,
            stats::CPS => &mut found.rates.connections,
            stats::INPPS => &mut found.rates.packets_in,
            stats::OUTPPS => &mut found.rates.packets_out,
            stats::INBPS => &mut found.rates.bytes_in,
            stats::OUTBPS => &mut found.rates.bytes_out,
            _ => continue,
        };
        *place = wire::counter(&attr)?;
    }
    Ok(found)
}
