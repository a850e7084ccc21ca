//! Destinations that go.

use std::collections::{BTreeMap, BTreeSet};

use ipvs_netlink::proc::{self, Line};
use ipvs_netlink::{Destination, DestinationId, Reason, ServerId};
use viprule_dataplane::ipvs::Piece;

use super::{PART, Servers, Why, drains, unreadable};
use crate::clock;
use crate::ipvs::drain::{Seen, Stamp};
use crate::ipvs::outcome::Outcome;
use crate::ipvs::stage::Tagged;
use crate::{ApplyError, Tag, WriteError};

/// Virtual servers from which on their destinations are read from the kernel's table as text:
/// asking for each one's costs more then.
const TABLE_FROM: usize = 128;
/// The tag of what nobody asked for just now.
const NOBODY: Tag = Tag(u32::MAX);

/// A destination that is to go.
type GoneDestination = Tagged<(ServerId, DestinationId)>;

impl Servers {
    /// Lets destinations go: those of UDP at once, others when no connection uses them any more.
    pub(in crate::ipvs) fn release(
        &mut self,
        destinations: &[GoneDestination],
        outcome: &mut Outcome,
    ) -> Result<(), ApplyError<Piece>> {
        let (at_once, draining): (Vec<GoneDestination>, Vec<GoneDestination>) = destinations
            .iter()
            .copied()
            .partition(|it| !drains(&it.what.0));
        self.delete_destinations(&at_once, outcome)?;
        self.stop(&draining, outcome)?;
        let mut servers: Vec<ServerId> = draining.iter().map(|it| it.what.0).collect();
        servers.sort_unstable();
        servers.dedup();
        let tags: BTreeMap<_, Tag> = draining.iter().map(|it| (it.what, it.tag)).collect();
        self.remove_idle(&servers, |id| tags.get(id).copied(), outcome)
    }

    /// Lets no new connections come to destinations, and notes them as draining.
    fn stop(
        &mut self,
        destinations: &[GoneDestination],
        outcome: &mut Outcome,
    ) -> Result<(), ApplyError<Piece>> {
        let (now, drained) = (clock::now(), drained());
        for it in destinations {
            self.drain.begin(it.what.0, it.what.1, now);
        }
        let mut gone = Vec::new();
        let sent = self.send(
            destinations,
            |requests, it| {
                let (server, id) = &it.what;
                requests.set_destination(server, id, &drained)
            },
            |it, why| {
                gone.push(it.what);
                let harmless = matches!(
                    why,
                    Why::Kernel(Reason::NoServer | Reason::NoDestination, _)
                );
                if !harmless {
                    outcome.refuse(it.tag, || {
                        format!("destination {} of {}: {why}", it.what.1, it.what.0)
                    });
                }
            },
        );
        for (server, id) in gone {
            self.drain.end(&server, &id);
        }
        outcome.sent("draining destinations", PART, sent)
    }

    /// Looks at the draining destinations of these virtual servers and deletes those that no
    /// connection uses, or whose time is up.
    pub(in crate::ipvs) fn remove_idle(
        &mut self,
        servers: &[ServerId],
        tag: impl Fn(&(ServerId, DestinationId)) -> Option<Tag>,
        outcome: &mut Outcome,
    ) -> Result<(), ApplyError<Piece>> {
        let seen = self.look(servers)?;
        let now = (clock::now(), Stamp::now());
        let (mut removable, mut unstamped) = (Vec::new(), Vec::new());
        for server in servers {
            let judged = self
                .drain
                .judge(server, now, |id| seen.get(&(*server, *id)).copied());
            let going = judged.removable;
            let staying = judged
                .unstamped
                .into_iter()
                .filter(|id| !going.contains(id));
            unstamped.extend(staying.map(|id| (*server, id)));
            removable.extend(going.into_iter().map(|id| Tagged {
                // What began to drain earlier is nobody's.
                tag: tag(&(*server, id)).unwrap_or(NOBODY),
                old: true,
                what: (*server, id),
            }));
        }
        self.stamp(&unstamped, outcome)?;
        self.delete_destinations(&removable, outcome)
    }

    /// Lets the kernel keep when destinations were first seen to drain.
    fn stamp(
        &mut self,
        destinations: &[(ServerId, DestinationId)],
        outcome: &mut Outcome,
    ) -> Result<(), ApplyError<Piece>> {
        let drained = drained();
        let sent = self.send(
            destinations,
            |requests, (server, id)| requests.set_destination(server, id, &drained),
            // The next look shows what became of it.
            |(server, id), why| tracing::debug!(%server, destination = %id, %why, "not stamped"),
        );
        outcome.sent("draining destinations", PART, sent)
    }

    /// Weights and connections of the destinations of these virtual servers, in order.
    fn look(
        &mut self,
        servers: &[ServerId],
    ) -> Result<BTreeMap<(ServerId, DestinationId), Seen>, WriteError> {
        let (mut seen, mut told) = (BTreeMap::new(), BTreeSet::new());
        if servers.len() >= TABLE_FROM {
            let mut server = None;
            proc::read(|line| match line {
                Line::Server(line) => {
                    let id = line.id.server();
                    server = id.filter(|id| servers.binary_search(id).is_ok());
                    told.extend(server);
                }
                Line::Destination(line) => {
                    if let Some(server) = server {
                        let it = Seen {
                            weight: line.weight,
                            connections: line.active.saturating_add(line.inactive),
                            threshold: None,
                        };
                        seen.insert((server, line.id), it);
                    }
                }
            })
            .map_err(unreadable)?;
        }
        // The table leaves out servers where other network namespaces have some too, and thresholds.
        let drain = &self.drain;
        let unsure = |id: &&ServerId| !told.contains(id) || drain.is_unsure(id);
        for server in servers.iter().filter(unsure) {
            let read = self.ipvs.destinations(server, |entry| {
                let it = Seen {
                    weight: entry.destination.weight,
                    connections: entry.active.saturating_add(entry.inactive),
                    threshold: Some(entry.destination.upper_threshold),
                };
                seen.insert((*server, entry.id), it);
            });
            // A look that misses something is put right by the next one.
            match read {
                Err(error) if !error.is_stale() => {
                    return Err(WriteError::of("looking at destinations", error, PART));
                }
                _ => {}
            }
        }
        Ok(seen)
    }

    fn delete_destinations(
        &mut self,
        destinations: &[GoneDestination],
        outcome: &mut Outcome,
    ) -> Result<(), ApplyError<Piece>> {
        let mut left = Vec::new();
        let sent = self.send(
            destinations,
            |requests, it| {
                requests.delete_destination(&it.what.0, &it.what.1);
                Ok(())
            },
            |it, why| match why {
                Why::Kernel(Reason::NoServer | Reason::NoDestination, _) => {}
                why => {
                    left.push(it.what);
                    let (server, id) = &it.what;
                    if it.tag == NOBODY {
                        tracing::warn!(%server, destination = %id, %why, "can't be removed");
                    } else {
                        outcome.refuse(it.tag, || format!("destination {id} of {server}: {why}"));
                    }
                }
            },
        );
        outcome.sent("removing destinations", PART, sent)?;
        for it in destinations {
            if !left.contains(&it.what) {
                self.drain.end(&it.what.0, &it.what.1);
            }
        }
        Ok(())
    }
}

/// A destination that drains from now on.
fn drained() -> Destination {
    let mut drained = Destination::masqueraded(0);
    drained.upper_threshold = Stamp::now().map_or(0, Stamp::threshold);
    drained
}
