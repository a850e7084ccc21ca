//! What packets of earlier connections left in sets.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use nfnetlink::nftables::native::Value;

use super::Walker;
use super::flight::Written;
use crate::walker::{Affinity, Origin, Packet, Remembered, WalkError};

/// Elements that packets wrote, by their sets' names and keys.
pub(super) type Memory = BTreeMap<(Box<str>, Value), Written>;

/// An id that no endpoint has.
const NOBODY: u32 = 1 << 31;

impl Walker<'_> {
    /// What connections that are remembered have left: each is walked, and what it wrote where it
    /// came to its endpoint stays until it ends. Where it can't come there any more it left the id of
    /// an endpoint that is gone. Of two with one key the later one counts.
    pub(super) fn memory(&self, packet: &Packet, affinity: &Affinity) -> Result<Memory, WalkError> {
        let mut latest: Vec<&Remembered> = affinity.iter().collect();
        latest.sort_by_key(|entry| entry.seconds_ago);
        let mut all: BTreeMap<_, Option<Written>> = BTreeMap::new();
        for entry in latest {
            for (place, written) in self.left_by(packet, entry)? {
                let lasts = written
                    .seconds
                    .is_none_or(|it| u64::from(entry.seconds_ago) < it);
                all.entry(place).or_insert(lasts.then_some(written));
            }
        }
        let lasting = all.into_iter();
        Ok(lasting
            .filter_map(|(place, written)| Some((place, written?)))
            .collect())
    }

    fn left_by(&self, like: &Packet, entry: &Remembered) -> Result<Memory, WalkError> {
        if entry.client.is_ipv4() != entry.frontend.is_ipv4() {
            return Ok(Memory::new());
        }
        let origin = if entry.client == like.source.ip() {
            like.origin.clone()
        } else if self.host.is_local(&entry.client) {
            Origin::Node
        } else {
            Origin::Interface("eth0".to_owned())
        };
        let earlier = Packet {
            source: SocketAddr::new(entry.client, like.source.port()),
            destination: entry.frontend,
            protocol: entry.protocol,
            origin,
        };
        let before = self.states.get(..1).unwrap_or_default();
        let nothing = Memory::new();
        let ended = self.way(&earlier, &nothing, before)?;
        let ways = || ended.keys().map(|(_, packet)| packet);
        let came_there =
            ways().find(|packet| packet.is_sent && packet.destination == entry.endpoint);
        let written = match came_there.or_else(|| ways().next()) {
            Some(packet) => packet.written.iter(),
            None => return Ok(Memory::new()),
        };
        let there = written.filter_map(|(place, it)| Some((place.clone(), it.clone()?)));
        if came_there.is_some() {
            return Ok(there.collect());
        }
        let of_nobody = there.map(|(place, it)| {
            let data = it.data.map(|_| NOBODY.into());
            (place, Written { data, ..it })
        });
        Ok(of_nobody.collect())
    }
}
