//! IPVS mode's virtual servers, link and sets while another mode serves.
//!
//! The other mode's rules translate new connections before they reach IPVS. Those that IPVS has go
//! on: its destinations get nothing new and go when their connections are over, their virtual
//! servers with the last of them, each address with its last virtual server, the link and the sets
//! with the last of all. Until then the sets
//! and addresses say whose the servers are, so that all of it is found again after a restart.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipvs_netlink::{Ipvs, Protocol, ServerId};
use netlink_batch::Socket;
use nfnetlink::Family;
use viprule_dataplane::family::{in_netfilter, of_ipvs};
use viprule_dataplane::ipvs::{Key, Object, Observation, Observed};
use viprule_dataplane::ownership::Set;
use viprule_dataplane::{Fingerprint, State};
use viprule_service::model;

use super::drain::Drain;
use super::dummy;
use super::observe::{self, tell};
use super::outcome::Outcome;
use super::servers::{self, Servers};
use super::sets::Sets;
use super::stage::Tagged;
use crate::clock;
use crate::leftovers::{Leftover, Removal};
use crate::{ApplyError, Tag, WriteError};

/// Nobody is told of these objects one by one.
const TAG: Tag = Tag(0);

/// What IPVS mode left behind.
#[derive(Debug)]
pub struct Former {
    route: Socket,
    sets: Sets,
    servers: Option<Servers>,
    found: Found,
    /// New connections are kept away.
    stopped: bool,
}

/// What there was at the beginning.
#[derive(Debug, Default)]
struct Found {
    has_link: bool,
    addresses: BTreeSet<IpAddr>,
    sets: Vec<Set>,
    servers: BTreeSet<ServerId>,
    destinations: Vec<Tagged<(ServerId, ipvs_netlink::DestinationId)>>,
}

/// How far a drain has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// What is gone since the last time, and what can't go.
    pub removal: Removal,
    /// Virtual servers of UDP that are gone since: tracked flows to them lead nowhere now.
    pub udp: Vec<SocketAddr>,
    /// When to go on; `None` at the end.
    pub next: Option<Duration>,
}

impl Former {
    /// Looks for what IPVS mode left of these families in the network namespace of the calling thread.
    /// Changes nothing, and loads no module. `None` where there is nothing.
    pub fn find(families: &[Family]) -> Result<Option<Self>, WriteError> {
        // Opening would load the module.
        let servers = if Ipvs::is_loaded() {
            let ipvs = Ipvs::open().map_err(servers::unusable)?;
            Some(Servers::new(ipvs, Drain::new(None)))
        } else {
            None
        };
        let mut former = Self {
            route: dummy::open()?,
            sets: Sets::open(families)?,
            servers,
            found: Found::default(),
            stopped: false,
        };
        former.look(families)?;
        let found = &former.found;
        let nothing = !found.has_link && found.sets.is_empty() && found.servers.is_empty();
        Ok((!nothing).then_some(former))
    }

    fn look(&mut self, families: &[Family]) -> Result<(), WriteError> {
        let Observed { state, draining } = self.read::<Fingerprint>()?;
        let mut here = Vec::new();
        for (key, _) in state {
            match key {
                Key::Link => self.found.has_link = true,
                Key::Address(address) => {
                    self.found.addresses.insert(address);
                }
                Key::Server(server) => {
                    self.found.servers.insert(server);
                }
                Key::Destination {
                    server,
                    destination,
                } => here.push((server, destination)),
                _ => {}
            }
        }
        self.found.sets = self.sets.names()?;
        here.extend(draining);
        here.retain(|(server, _)| families.contains(&of_ipvs(server.family())));
        self.found.destinations = here.into_iter().map(tagged).collect();
        let servers = &mut self.found.servers;
        servers.retain(|server| families.contains(&of_ipvs(server.family())));
        let addresses = self.found.addresses.len();
        let family = |ip: &IpAddr| in_netfilter(model::Family::of(ip));
        self.found
            .addresses
            .retain(|ip| families.contains(&family(ip)));
        // The link has the others' addresses.
        self.found.has_link &= self.found.addresses.len() == addresses;
        Ok(())
    }

    fn read<V: From<(Key, Object)>>(&mut self) -> Result<Observed<V>, WriteError> {
        let mut observation = Observation::<V>::new();
        let link = dummy::read(&mut self.route)?;
        if let Some((_, addresses)) = &link {
            tell(&mut observation, addresses);
        }
        // Without these nothing could be ours.
        if link.is_some() || !self.sets.names()?.is_empty() {
            self.sets.observe(&mut observation)?;
            if let Some(servers) = &mut self.servers {
                observation.owners_told();
                observe::read_servers(servers.ipvs(), &mut observation)?;
            }
        }
        Ok(observation.finish())
    }

    /// What is there of it, but for what is excluded.
    pub fn observe(&mut self) -> Result<State<Key, Object>, WriteError> {
        let Observed { state, .. } = self.read()?;
        let servers = &self.found.servers;
        Ok(state.filter(|key| match key {
            Key::Server(server) | Key::Destination { server, .. } => servers.contains(server),
            _ => true,
        }))
    }

    /// Leaves virtual servers on these addresses alone, and their destinations as they are.
    pub fn exclude(&mut self, is_excluded: impl Fn(&IpAddr) -> bool) {
        let excluded = |server: &ServerId| server.address().is_some_and(|it| is_excluded(&it));
        self.found.servers.retain(|server| !excluded(server));
        self.found.destinations.retain(|it| !excluded(&it.what.0));
    }

    /// Lets a destination have so long for its connections to end; without end where `limit` is
    /// `None`.
    pub fn set_drain_timeout(&mut self, limit: Option<Duration>) {
        if let Some(servers) = &mut self.servers {
            servers.drain.set_limit(limit, clock::now());
        }
    }

    /// What there was at the beginning, in the order of removal.
    pub fn leftovers(&self) -> Vec<Leftover> {
        let Found {
            has_link,
            sets,
            servers,
            ..
        } = &self.found;
        let servers = (!servers.is_empty()).then_some(Leftover::VirtualServers(servers.len()));
        let link = has_link.then_some(Leftover::Link);
        let sets = sets.iter().map(|set| Leftover::Set(set.to_string()));
        servers.into_iter().chain(link).chain(sets).collect()
    }

    /// Removes what no connection uses any more. To be called again when the time is over that it
    /// tells, until it tells none. Returns at once, but for up to half a second at the end, where
    /// the kernel has still to free rules that used the sets.
    pub fn drain(&mut self) -> Result<Progress, WriteError> {
        let mut progress = Progress::default();
        if let Some(servers) = &mut self.servers
            && !self.found.servers.is_empty()
        {
            let mut outcome = Outcome::default();
            let drained = if self.stopped {
                let due = servers.drain.due(clock::now());
                servers.remove_idle(&due, |_| None, &mut outcome)
            } else {
                servers.release(&self.found.destinations, &mut outcome)
            };
            settle(drained)?;
            self.stopped = true;
            self.found.destinations = Vec::new();
            let before = self.found.servers.len();
            let idle = |server: &&ServerId| !servers.drain.has_server(server);
            let idle: Vec<Tagged<ServerId>> = self
                .found
                .servers
                .iter()
                .filter(idle)
                .copied()
                .map(tagged)
                .collect();
            settle(servers.delete(&idle, &mut outcome))?;
            for it in &idle {
                self.found.servers.remove(&it.what);
                progress.udp.extend(udp(&it.what));
            }
            let gone = before - self.found.servers.len();
            if gone > 0 {
                let gone = Leftover::VirtualServers(gone);
                progress.removal.removed.push(gone);
            }
            progress.next = servers.drain.rest(clock::now());
            // Something else keeps them: look again.
            if progress.next.is_none() && !self.found.servers.is_empty() {
                progress.next = Some(Duration::from_secs(1));
            }
        }
        if self.found.servers.is_empty() {
            self.remove_rest(&mut progress.removal)?;
        } else {
            self.free_addresses()?;
        }
        Ok(progress)
    }

    /// Takes addresses without a virtual server from the link: they may be another machine's by now.
    fn free_addresses(&mut self) -> Result<(), WriteError> {
        let used = self.found.servers.iter().filter_map(ServerId::address);
        let used: BTreeSet<IpAddr> = used.collect();
        let free: Vec<IpAddr> = self.found.addresses.difference(&used).copied().collect();
        for (address, reason) in dummy::free(&mut self.route, &free)? {
            tracing::warn!(%address, reason, "can't be taken from the link");
        }
        self.found.addresses.retain(|it| used.contains(it));
        Ok(())
    }

    /// Removes all at once, whoever uses it.
    pub fn remove(&mut self) -> Result<Removal, WriteError> {
        let mut removal = Removal::default();
        let ours = std::mem::take(&mut self.found.servers);
        let ours: Vec<_> = ours.into_iter().map(tagged).collect();
        if let Some(servers) = &mut self.servers
            && !ours.is_empty()
        {
            let mut outcome = Outcome::default();
            settle(servers.delete(&ours, &mut outcome))?;
            let gone = Leftover::VirtualServers(ours.len());
            match outcome.reason(TAG) {
                None => removal.removed.push(gone),
                Some(reason) => removal.left.push((gone, reason.to_owned())),
            }
        }
        self.remove_rest(&mut removal)?;
        Ok(removal)
    }

    /// Removes the link and the sets.
    fn remove_rest(&mut self, removal: &mut Removal) -> Result<(), WriteError> {
        if std::mem::take(&mut self.found.has_link) {
            match dummy::remove(&mut self.route) {
                Ok(()) => removal.removed.push(Leftover::Link),
                Err(reason) => removal.left.push((Leftover::Link, reason)),
            }
        }
        let sets = std::mem::take(&mut self.found.sets);
        let numbered: Vec<_> = (0..)
            .zip(&sets)
            .map(|(at, set)| Tagged {
                tag: Tag(at),
                old: true,
                what: *set,
            })
            .collect();
        let mut outcome = Outcome::default();
        settle(self.sets.destroy(&numbered, &mut outcome))?;
        for it in &numbered {
            let set = Leftover::Set(it.what.to_string());
            match outcome.reason(it.tag) {
                None => removal.removed.push(set),
                Some(reason) => removal.left.push((set, reason.to_owned())),
            }
        }
        Ok(())
    }
}

const fn tagged<T>(what: T) -> Tagged<T> {
    Tagged {
        tag: TAG,
        old: true,
        what,
    }
}

/// Lost answers are no failure here: the next look shows what became of it.
fn settle<P>(result: Result<(), ApplyError<P>>) -> Result<(), WriteError> {
    match result {
        Err(ApplyError::Failed(error)) => Err(error),
        _ => Ok(()),
    }
}

fn udp(server: &ServerId) -> Option<SocketAddr> {
    match server {
        ServerId::Address {
            address,
            port,
            protocol: Protocol::Udp,
        } => Some(SocketAddr::new(*address, *port)),
        _ => None,
    }
}
