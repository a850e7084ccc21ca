//! Packets on their way.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use nfnetlink::nftables::native::Value;

use crate::walker::Packet;

/// A packet on its way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InFlight {
    /// The source as it was sent; `None` once masqueraded.
    pub(super) source: Option<SocketAddr>,
    pub(super) destination: SocketAddr,
    /// True once a rule said where it goes, be it where it would have gone anyway.
    pub(super) is_sent: bool,
    /// `IPS_DST_NAT`: the destination is another one than before.
    pub(super) is_translated: bool,
    /// `skb->mark`.
    pub(super) mark: u32,
    /// `skb->priority`.
    pub(super) priority: u32,
    /// What it changed in sets, by their names and keys; `None` where it removed an element.
    pub(super) written: BTreeMap<(Box<str>, Value), Option<Written>>,
}

/// An element that a packet wrote.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Written {
    /// What a map has for it.
    pub(super) data: Option<Value>,
    /// Seconds until it ends, unless it stays.
    pub(super) seconds: Option<u64>,
}

/// Packets with the probability that the packet has come so far in this shape.
pub(super) type Packets = BTreeMap<InFlight, f64>;

/// Makes a shape more probable.
pub(super) fn add(packets: &mut Packets, packet: InFlight, probability: f64) {
    *packets.entry(packet).or_default() += probability;
}

impl InFlight {
    pub(super) const fn new(packet: &Packet) -> Self {
        Self {
            source: Some(packet.source),
            destination: packet.destination,
            is_sent: false,
            is_translated: false,
            mark: 0,
            priority: 0,
            written: BTreeMap::new(),
        }
    }
}
