//! From what is there to a state.

use std::net::IpAddr;

use ipvs_netlink::{Destination, DestinationId, Server, ServerFlags, ServerId};
use nfnetlink::ipset::{Entry, Spec};

use super::ownership::owns_server;
use super::{Key, Object};
use crate::netfilter;
use crate::ownership::Set;
use crate::state::State;

/// Collects what the kernel has into a state, leaving out what is foreign.
///
/// Which virtual servers are ours shows in our sets and on our link, so those must be told whenever
/// servers are. `V` is [`Object`], or [`Fingerprint`](crate::Fingerprint) where contents need not
/// be kept.
#[derive(Debug)]
pub struct Observation<V> {
    /// All but chains and rules. Up to `owners` in order.
    objects: Vec<(Key, V)>,
    netfilter: Vec<(Key, V)>,
    draining: Vec<(ServerId, DestinationId)>,
    /// How many objects tell whose servers are, once all that do are told.
    owners: Option<usize>,
    /// The server that was asked for last, and whether it is ours.
    asked: Option<(ServerId, bool)>,
    /// Whose these are is not known yet.
    servers: Vec<(ServerId, Server)>,
    destinations: Vec<(ServerId, DestinationId, Destination)>,
}

/// What was observed.
#[derive(Debug)]
pub struct Observed<V> {
    /// What is ours.
    pub state: State<Key, V>,
    /// Destinations of our servers that get no new connections: they wait for the end of those that
    /// they have.
    pub draining: Vec<(ServerId, DestinationId)>,
}

/// The value of a chain or rule, read as netfilter's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Netfilter<V>(pub V);

impl<V: From<(Key, Object)>> From<(netfilter::Key, netfilter::Object)> for Netfilter<V> {
    fn from((key, object): (netfilter::Key, netfilter::Object)) -> Self {
        Self((Key::Netfilter(key), Object::Netfilter(object)).into())
    }
}

impl<V: From<(Key, Object)>> Observation<V> {
    /// Nothing observed yet.
    pub const fn new() -> Self {
        Self {
            objects: Vec::new(),
            netfilter: Vec::new(),
            draining: Vec::new(),
            owners: None,
            asked: None,
            servers: Vec::new(),
            destinations: Vec::new(),
        }
    }

    /// The same with room for so many objects besides chains and rules. Room that is not used costs
    /// nothing, and to grow costs a copy.
    pub fn with_capacity(objects: usize) -> Self {
        Self {
            objects: Vec::with_capacity(objects),
            ..Self::new()
        }
    }

    /// The link is there.
    pub fn link(&mut self) {
        self.keep(Key::Link, Object::Link);
    }

    /// An address is on the link. The one that IPv6 gives each link is nobody's.
    pub fn address(&mut self, address: IpAddr) {
        if !matches!(address, IpAddr::V6(ip) if ip.is_unicast_link_local()) {
            self.keep(Key::Address(address), Object::Address);
        }
    }

    /// A set of ours is there.
    pub fn set(&mut self, set: Set, spec: Spec) {
        self.keep(Key::Set(set), Object::Set(spec));
    }

    /// A set of ours has an element.
    pub fn entry(&mut self, set: Set, entry: Entry) {
        self.keep(Key::Entry { set, entry }, Object::Entry);
    }

    /// The link, the sets and all that is in them were told. What is foreign is then left out as it
    /// is told, and takes no memory.
    pub fn owners_told(&mut self) {
        if self.owners.is_none() {
            self.objects.sort_unstable_by_key(|(key, _)| *key);
            self.owners = Some(self.objects.len());
        }
    }

    /// A virtual server is there, whoever's.
    pub fn server(&mut self, id: ServerId, server: Server) {
        let Some(owners) = self.owners else {
            self.servers.push((id, server));
            return;
        };
        if self.is_ours(&id, owners) {
            self.keep(Key::Server(id), Object::Server(normalized(server)));
        }
    }

    /// A virtual server has a destination, whoever's.
    pub fn destination(&mut self, server: ServerId, id: DestinationId, content: Destination) {
        let Some(owners) = self.owners else {
            self.destinations.push((server, id, content));
            return;
        };
        if !self.is_ours(&server, owners) {
            return;
        }
        if content.weight == 0 {
            self.draining.push((server, id));
        } else {
            let key = Key::Destination {
                server,
                destination: id,
            };
            self.keep(key, Object::Destination(content));
        }
    }

    fn keep(&mut self, key: Key, object: Object) {
        self.objects.push((key, V::from((key, object))));
    }

    /// The kernel tells a server's destinations one behind the other.
    fn is_ours(&mut self, server: &ServerId, owners: usize) -> bool {
        match self.asked {
            Some((asked, answer)) if asked == *server => answer,
            _ => {
                let owners = &self.objects[..owners];
                let has = |key: &Key| owners.binary_search_by(|(it, _)| it.cmp(key)).is_ok();
                let answer = owns_server(server, has);
                self.asked = Some((*server, answer));
                answer
            }
        }
    }

    /// Chains and rules are there.
    pub fn netfilter(&mut self, state: State<netfilter::Key, Netfilter<V>>) {
        self.netfilter.extend(
            state
                .into_iter()
                .map(|(key, Netfilter(value))| (Key::Netfilter(key), value)),
        );
    }

    /// All that is ours.
    pub fn finish(mut self) -> Observed<V> {
        self.owners_told();
        for (id, server) in std::mem::take(&mut self.servers) {
            self.server(id, server);
        }
        for (server, id, content) in std::mem::take(&mut self.destinations) {
            self.destination(server, id, content);
        }
        let mut objects = self.objects;
        let owners = self.owners.unwrap_or_default();
        // In place: there may be many, and what is in order costs the state nothing.
        objects[owners..].sort_unstable_by_key(|(key, _)| *key);
        let before = |(key, _): &(Key, V)| !matches!(key, Key::Address(_));
        let addresses = objects[..owners].partition_point(before);
        objects[addresses..].rotate_left(owners - addresses);
        objects.extend(self.netfilter);
        Observed {
            state: objects.into_iter().collect(),
            draining: self.draining,
        }
    }
}

impl<V: From<(Key, Object)>> Default for Observation<V> {
    fn default() -> Self {
        Self::new()
    }
}

/// In the form that is rendered: without the kernel's own flag, and without a timeout that nothing
/// uses.
fn normalized(mut server: Server) -> Server {
    server.flags.remove(ServerFlags::HASHED);
    if !server.flags.contains(ServerFlags::PERSISTENT) {
        server.timeout = 0;
    }
    server
}
