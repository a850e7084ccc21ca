//! Virtual servers that nobody wants any more while connections use them.
//!
//! Their destinations are at weight 0: whoever comes anew is refused, as by a Service without
//! endpoints. Their address and what says whose they are stay in the kernel until the last
//! connection has ended. Whoever observes does not see any of that.
//!
//! Nothing is kept over a restart: such a server is then one that nobody wants, and retires anew.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use ipvs_netlink::ServerId;
use nfnetlink::Family;
use nfnetlink::ipset::Entry;
use viprule_dataplane::ipvs::{Key, signs};
use viprule_dataplane::ownership::{Set, SetName};

use super::servers::drains;
use super::stage::{Gone, Staged};

/// The virtual servers that wait for the end of their connections.
#[derive(Debug, Default)]
pub(super) struct Retired {
    servers: BTreeSet<ServerId>,
    /// Addresses and elements of sets that are there for them alone.
    held: BTreeSet<Key>,
    /// Addresses that stay for nobody's connections.
    barred: BTreeSet<IpAddr>,
}

impl Retired {
    /// The API server is there: with its address on the link this node could not reach it.
    pub(super) fn bar(&mut self, api_server: &[SocketAddr]) {
        self.barred = api_server.iter().map(SocketAddr::ip).collect();
    }

    /// True for a virtual server that may wait for the end of its connections.
    pub(super) fn may_wait(&self, server: &ServerId) -> bool {
        drains(server) && !server.address().is_some_and(|it| self.barred.contains(&it))
    }

    /// Takes out of what goes the virtual servers that have connections, and what they need.
    pub(super) fn hold_back(
        &mut self,
        gone: &mut Gone,
        has_connections: impl Fn(&ServerId) -> bool,
    ) {
        let busy = |server: &ServerId| self.may_wait(server) && has_connections(server);
        let busy: BTreeSet<ServerId> = gone.servers.iter().map(|it| it.what).filter(busy).collect();
        gone.servers.retain(|it| !busy.contains(&it.what));
        self.servers.extend(busy);
        if self.servers.is_empty() {
            return;
        }
        let needed = self.needed();
        let mut stays = |key: Key| {
            let stays = needed.contains(&key);
            if stays {
                self.held.insert(key);
            }
            stays
        };
        gone.addresses.retain(|it| !stays(Key::Address(it.what)));
        gone.entries.retain(|it| {
            let (set, entry) = it.what;
            !stays(Key::Entry { set, entry })
        });
    }

    /// What is staged is wanted again. Of what waits here nobody else knows that it is there.
    pub(super) fn wanted(&mut self, staged: &mut Staged) {
        if self.is_empty() {
            return;
        }
        for it in &mut staged.servers {
            it.old |= self.servers.remove(&it.what.0);
        }
        for it in &staged.addresses {
            self.held.remove(&Key::Address(it.what));
        }
        for it in &staged.entries {
            let (set, entry) = it.what;
            self.held.remove(&Key::Entry { set, entry });
        }
    }

    /// True for an object that is there for these servers alone.
    pub(super) fn hides(&self, key: &Key) -> bool {
        match key {
            Key::Server(server) => self.servers.contains(server),
            key => self.held.contains(key),
        }
    }

    /// Takes a look at all virtual servers over. Those that are gone wait for nothing any more.
    pub(super) fn found(&mut self, is_there: impl Fn(&ServerId) -> bool) {
        self.servers.retain(is_there);
    }

    /// Those whose last connection has ended.
    pub(super) fn over(&self, has_connections: impl Fn(&ServerId) -> bool) -> Vec<ServerId> {
        let over = |server: &&ServerId| !(self.may_wait(server) && has_connections(server));
        self.servers.iter().filter(over).copied().collect()
    }

    /// These are gone.
    pub(super) fn end(&mut self, servers: &[ServerId]) {
        for server in servers {
            self.servers.remove(server);
        }
    }

    /// What no virtual server needs any more.
    pub(super) fn free(&self) -> BTreeSet<Key> {
        if self.held.is_empty() {
            return BTreeSet::new();
        }
        let needed = self.needed();
        self.held.difference(&needed).copied().collect()
    }

    /// These are gone, too.
    pub(super) fn let_go(&mut self, free: &BTreeSet<Key>) {
        self.held.retain(|key| !free.contains(key));
    }

    /// True where nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.servers.is_empty() && self.held.is_empty()
    }

    /// What says whose these are, and what keeps the host's ports at their addresses shut.
    fn needed(&self) -> BTreeSet<Key> {
        let shut = self.servers.iter().filter_map(|server| {
            let address = server.address()?;
            let family = match address {
                IpAddr::V4(_) => Family::Ipv4,
                IpAddr::V6(_) => Family::Ipv6,
            };
            let name = SetName::IpvsIps;
            let set = Set { name, family };
            let entry = Entry::Ip(address);
            Some(Key::Entry { set, entry })
        });
        self.servers.iter().flat_map(signs).chain(shut).collect()
    }
}

#[cfg(test)]
mod tests {
    use ipvs_netlink::Protocol;
    use nfnetlink::ipset::IpPort;
    use viprule_dataplane::ipvs::Object;
    use viprule_dataplane::{State, diff};

    use super::*;
    use crate::Tag;

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 0, 1));

    fn server(port: u16, protocol: Protocol) -> ServerId {
        ServerId::Address {
            address: IP,
            port,
            protocol,
        }
    }

    fn entry(name: SetName, entry: Entry) -> Key {
        let family = Family::Ipv4;
        let set = Set { name, family };
        Key::Entry { set, entry }
    }

    fn cluster_ip(port: u16) -> Key {
        let at = IpPort {
            address: IP,
            protocol: Protocol::Tcp.number(),
            port,
        };
        entry(SetName::ClusterIp, Entry::IpPort(at))
    }

    fn shut() -> Key {
        entry(SetName::IpvsIps, Entry::Ip(IP))
    }

    /// What is staged when these objects go.
    fn gone(keys: &[Key]) -> Gone {
        let objects: State<Key, Object> = keys.iter().map(|key| (*key, Object::Entry)).collect();
        let mut staged = Staged::default();
        staged.add(Tag(0), &diff(&objects, &State::<Key, Object>::default()));
        staged.gone
    }

    fn retired(keys: &[Key]) -> (Retired, Gone) {
        let mut retired = Retired::default();
        let mut gone = gone(keys);
        retired.hold_back(&mut gone, |_| true);
        (retired, gone)
    }

    #[test]
    fn what_a_busy_server_needs_stays_and_is_not_seen() {
        let tcp = server(80, Protocol::Tcp);
        let keys = [Key::Server(tcp), Key::Address(IP), cluster_ip(80), shut()];
        let other = cluster_ip(81);
        let (mut retired, gone) = retired(&[&keys[..], &[other]].concat());
        assert!(gone.servers.is_empty() && gone.addresses.is_empty());
        assert_eq!(gone.entries.len(), 1);
        assert!(keys.iter().all(|key| retired.hides(key)));
        assert!(!retired.hides(&other));
        assert!(retired.free().is_empty());
        assert_eq!(retired.over(|_| true), []);
        assert_eq!(retired.over(|_| false), [tcp]);
        retired.end(&[tcp]);
        let free = retired.free();
        assert_eq!(free, keys[1..].iter().copied().collect());
        // Whoever can't remove it now tries again.
        assert_eq!(retired.free(), free);
        retired.let_go(&free);
        assert!(retired.is_empty());
        assert!(!keys.iter().any(|key| retired.hides(key)));
    }

    #[test]
    fn idle_ones_and_those_of_udp_go_at_once() {
        for (protocol, busy) in [(Protocol::Udp, true), (Protocol::Tcp, false)] {
            let mut retired = Retired::default();
            let mut gone = gone(&[Key::Server(server(80, protocol)), Key::Address(IP)]);
            retired.hold_back(&mut gone, |_| busy);
            assert_eq!((gone.servers.len(), gone.addresses.len()), (1, 1));
        }
    }

    #[test]
    fn an_address_stays_until_its_last_server_has_gone() {
        let servers = [80, 81].map(|port| server(port, Protocol::Tcp));
        let keys = servers.map(Key::Server);
        let (mut retired, _) = retired(&keys);
        // Another Service had it until now.
        let mut last = gone(&[Key::Address(IP)]);
        retired.hold_back(&mut last, |_| true);
        assert_eq!(last.addresses, []);
        retired.end(&servers[..1]);
        assert!(retired.free().is_empty());
        retired.end(&servers[1..]);
        assert_eq!(retired.free(), [Key::Address(IP)].into());
    }

    #[test]
    fn what_is_wanted_again_is_nothing_of_theirs() {
        let tcp = server(80, Protocol::Tcp);
        let (mut retired, _) = retired(&[Key::Server(tcp), Key::Address(IP), cluster_ip(80)]);
        let mut staged = Staged::default();
        let wanted: State<_, _> = [(Key::Address(IP), Object::Address)].into_iter().collect();
        staged.add(Tag(0), &diff(&State::<Key, Object>::default(), &wanted));
        retired.wanted(&mut staged);
        assert!(!retired.hides(&Key::Address(IP)));
        assert!(retired.hides(&Key::Server(tcp)));
        retired.end(&[tcp]);
        assert_eq!(retired.free(), [cluster_ip(80)].into());
    }

    #[test]
    fn an_address_of_the_api_server_waits_for_nobody() {
        let tcp = server(80, Protocol::Tcp);
        let (mut retired, _) = retired(&[Key::Server(tcp), Key::Address(IP)]);
        retired.bar(&[SocketAddr::new(IP, 6443)]);
        assert_eq!(retired.over(|_| true), [tcp]);
        let mut gone = gone(&[Key::Server(server(81, Protocol::Tcp))]);
        retired.hold_back(&mut gone, |_| true);
        assert_eq!(gone.servers.len(), 1);
    }
}
