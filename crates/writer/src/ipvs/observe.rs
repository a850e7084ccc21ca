//! Reads what is there.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipvs_netlink::proc::{self, Line};
use ipvs_netlink::{Destination, Ipvs, ServerId};
use netlink_batch::retry_stale;
use viprule_dataplane::ipvs::{Key, Netfilter, Object, Observation, Observed, Piece};
use viprule_dataplane::{ObjectKey as _, Scope, State, netfilter};

use super::IpvsWriter;
use super::servers::{PART, unreadable};
use crate::clock;
use crate::{WriteError, Writer as _};

/// How often virtual servers that change while they are read are read again.
const ATTEMPTS: u32 = 10;
/// Room for some 6,000 Services with 5 endpoints each, bytes of address space only until used.
const ROOM: usize = 64 << 10;

impl IpvsWriter {
    pub(super) fn read<V: From<(Key, Object)>>(
        &mut self,
        scope: &Scope<Piece>,
    ) -> Result<State<Key, V>, WriteError> {
        let servers = scope.contains(&Piece::Servers);
        let mut observation = if servers {
            Observation::<V>::with_capacity(ROOM)
        } else {
            Observation::new()
        };
        // Whose a virtual server is shows on the link and in the sets.
        if scope.contains(&Piece::Link) {
            if let Some(addresses) = self.addresses.observe()? {
                tell(&mut observation, addresses);
            }
        } else if servers && let Some((_, addresses)) = self.addresses.read()? {
            tell(&mut observation, &addresses);
        }
        if servers || scope.contains(&Piece::Sets) {
            self.sets.observe(&mut observation)?;
        }
        if servers {
            observation.owners_told();
            read_servers(self.servers.ipvs(), &mut observation)?;
        }
        if let Some(scope) = in_netfilter(scope) {
            observation.netfilter(self.netfilter.observe::<Netfilter<V>>(&scope)?);
        }
        let Observed {
            state,
            mut draining,
        } = observation.finish();
        if servers {
            draining.sort_unstable();
            self.servers.drain.found(&draining, clock::now());
            let retired = &mut self.retired;
            retired.found(|server| state.get(&Key::Server(*server)).is_some());
        }
        let retired = &self.retired;
        Ok(match scope {
            Scope::Everything if retired.is_empty() => state,
            _ => state.filter(|key| scope.contains(&key.piece()) && !retired.hides(key)),
        })
    }
}

/// Reads all virtual servers with their destinations, whoever's they are.
///
/// Destinations come from the kernel's table as text, which leaves out virtual servers where other
/// network namespaces have some too: those are asked one by one.
pub(super) fn read_servers<V: From<(Key, Object)>>(
    ipvs: &mut Ipvs,
    observation: &mut Observation<V>,
) -> Result<(), WriteError> {
    let mut servers = Vec::new();
    // One that is told twice counts once.
    retry_stale(ATTEMPTS, || {
        ipvs.servers(|entry| {
            observation.server(entry.id, entry.server);
            servers.push(entry.id);
        })
    })
    .map_err(|error| WriteError::of("reading virtual servers", error, PART))?;
    let (mut server, mut told) = (None, Vec::with_capacity(servers.len()));
    proc::read(|line| match line {
        Line::Server(line) => {
            server = line.id.server();
            told.extend(server);
        }
        Line::Destination(line) => {
            if let Some(server) = server {
                // The table has no thresholds.
                let content = Destination::new(line.forwarding, line.weight);
                observation.destination(server, line.id, content);
            }
        }
    })
    .map_err(unreadable)?;
    told.sort_unstable();
    servers.sort_unstable();
    servers.dedup();
    // A firewall mark is never ours.
    servers.retain(|id| matches!(id, ServerId::Address { .. }) && told.binary_search(id).is_err());
    for server in servers {
        // What is told twice counts once here too.
        retry_stale(ATTEMPTS, || {
            ipvs.destinations(&server, |it| {
                observation.destination(server, it.id, it.destination);
            })
        })
        .map_err(|error| WriteError::of("reading destinations", error, PART))?;
    }
    Ok(())
}

/// Tells of the link and its addresses.
pub(super) fn tell<V: From<(Key, Object)>>(
    observation: &mut Observation<V>,
    addresses: &BTreeSet<IpAddr>,
) {
    observation.link();
    for address in addresses {
        observation.address(*address);
    }
}

/// What the netfilter writer is to read, if anything.
fn in_netfilter(scope: &Scope<Piece>) -> Option<Scope<netfilter::Piece>> {
    match scope {
        Scope::Everything => Some(Scope::Everything),
        Scope::Pieces(pieces) => {
            let pieces = pieces.iter().filter_map(|piece| match piece {
                Piece::Netfilter(piece) => Some(*piece),
                _ => None,
            });
            let pieces: BTreeSet<_> = pieces.collect();
            (!pieces.is_empty()).then_some(Scope::Pieces(pieces))
        }
    }
}
