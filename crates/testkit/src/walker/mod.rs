//! What happens to a packet, worked out from a dataplane's state instead of tried on a kernel.
//!
//! A walker takes the first packet of a connection through everything that a dataplane has written
//! and says how it ends, exactly: with the probability of every ending. It reads the same `State`
//! that is diffed and written, not text, so it works on desired and on observed states alike.

mod affinity;
mod error;
pub mod iptables;
pub mod ipvs;
pub mod nftables;
mod outcome;
mod packet;

pub use affinity::{Affinity, Remembered};
pub use error::WalkError;
pub use outcome::{Distribution, Outcome};
pub use packet::{Host, Origin, Packet};

/// A dataplane that packets can be walked through.
pub trait Walk {
    /// How the first packet of a connection ends, given the connections that session affinity
    /// still remembers.
    ///
    /// # Errors
    ///
    /// Where the packet makes no sense, or meets something that the walker has no model of.
    fn walk(&self, packet: &Packet, affinity: &Affinity) -> Result<Distribution, WalkError>;
}
