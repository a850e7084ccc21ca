//! Sorts diffs by kind of object.

use std::collections::BTreeSet;

use ipvs_netlink::{Destination, DestinationId, Server, ServerId};
use nfnetlink::ipset::{Entry, Spec};
use std::net::IpAddr;
use viprule_dataplane::ipvs::{Key, Object};
use viprule_dataplane::ownership::Set;
use viprule_dataplane::{Diff, Write, netfilter};

use crate::Tag;

/// What is to be written and removed.
#[derive(Debug, Default)]
pub(super) struct Staged {
    pub(super) link: Option<Tag>,
    pub(super) sets: Vec<Tagged<(Set, Spec)>>,
    pub(super) entries: Vec<Tagged<(Set, Entry)>>,
    pub(super) servers: Vec<Tagged<(ServerId, Server)>>,
    pub(super) destinations: Vec<Tagged<(ServerId, DestinationId, Destination)>>,
    pub(super) addresses: Vec<Tagged<IpAddr>>,
    pub(super) netfilter: Vec<(Tag, Chains)>,
    pub(super) gone: Gone,
}

/// What is to be removed.
#[derive(Debug, Default)]
pub(super) struct Gone {
    pub(super) link: Option<Tag>,
    pub(super) sets: Vec<Tagged<Set>>,
    pub(super) entries: Vec<Tagged<(Set, Entry)>>,
    pub(super) servers: Vec<Tagged<ServerId>>,
    pub(super) destinations: Vec<Tagged<(ServerId, DestinationId)>>,
    pub(super) addresses: Vec<Tagged<IpAddr>>,
}

/// An object with whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tagged<T> {
    pub(super) tag: Tag,
    /// True where it is there already.
    pub(super) old: bool,
    pub(super) what: T,
}

/// A diff of chains and rules.
#[derive(Debug, Default)]
pub(super) struct Chains {
    writes: Vec<(netfilter::Key, bool, netfilter::Object)>,
    deletes: Vec<netfilter::Key>,
}

impl Chains {
    /// True where nothing is replaced or removed.
    pub(super) fn is_new(&self) -> bool {
        self.deletes.is_empty() && self.writes.iter().all(|(_, is_old, _)| !is_old)
    }

    /// Hands the diff to `stage`.
    pub(super) fn with<R>(
        &self,
        stage: impl FnOnce(&Diff<'_, netfilter::Key, (), netfilter::Object>) -> R,
    ) -> R {
        let writes = self.writes.iter().map(|(key, is_old, new)| Write {
            key,
            old: is_old.then_some(&()),
            new,
        });
        stage(&Diff {
            writes: writes.collect(),
            deletes: self.deletes.iter().map(|key| (key, &())).collect(),
        })
    }
}

impl Staged {
    pub(super) fn add<A>(&mut self, tag: Tag, diff: &Diff<'_, Key, A, Object>) {
        let mut chains = Chains::default();
        for write in &diff.writes {
            self.add_write(tag, write, &mut chains);
        }
        for (key, _) in &diff.deletes {
            self.gone.add(tag, key, &mut chains);
        }
        if !(chains.writes.is_empty() && chains.deletes.is_empty()) {
            self.netfilter.push((tag, chains));
        }
    }

    fn add_write<A>(&mut self, tag: Tag, write: &Write<'_, Key, A, Object>, chains: &mut Chains) {
        let old = write.old.is_some();
        match (*write.key, write.new) {
            (Key::Link, _) => self.link = Some(tag),
            (Key::Set(set), Object::Set(spec)) => self.sets.push(Tagged {
                tag,
                old,
                what: (set, *spec),
            }),
            (Key::Entry { set, entry }, _) => self.entries.push(Tagged {
                tag,
                old,
                what: (set, entry),
            }),
            (Key::Server(id), Object::Server(server)) => self.servers.push(Tagged {
                tag,
                old,
                what: (id, *server),
            }),
            (
                Key::Destination {
                    server,
                    destination,
                },
                Object::Destination(content),
            ) => self.destinations.push(Tagged {
                tag,
                old,
                what: (server, destination, *content),
            }),
            (Key::Address(address), _) => self.addresses.push(Tagged {
                tag,
                old,
                what: address,
            }),
            (Key::Netfilter(key), Object::Netfilter(object)) => {
                chains.writes.push((key, old, object.clone()));
            }
            // The content is of another kind than the key: no dataplane renders that.
            (Key::Set(_) | Key::Server(_) | Key::Destination { .. } | Key::Netfilter(_), _) => {}
        }
    }

    /// How many elements, virtual servers and destinations are to be written.
    pub(super) const fn len(&self) -> usize {
        self.entries.len() + self.servers.len() + self.destinations.len()
    }

    /// Keeps what one tag gives up and another one wants.
    pub(super) fn keep_what_is_wanted(&mut self) {
        let gone = &mut self.gone;
        keep(&mut gone.entries, self.entries.iter().map(|it| it.what));
        keep(&mut gone.servers, self.servers.iter().map(|it| it.what.0));
        let wanted = self.destinations.iter().map(|it| (it.what.0, it.what.1));
        keep(&mut gone.destinations, wanted);
        keep(&mut gone.addresses, self.addresses.iter().map(|it| it.what));
    }
}

fn keep<T: Ord + Copy>(gone: &mut Vec<Tagged<T>>, wanted: impl Iterator<Item = T>) {
    if gone.is_empty() {
        return;
    }
    let going: BTreeSet<T> = gone.iter().map(|it| it.what).collect();
    let kept: BTreeSet<T> = wanted.filter(|it| going.contains(it)).collect();
    if !kept.is_empty() {
        gone.retain(|it| !kept.contains(&it.what));
    }
}

impl Gone {
    fn add(&mut self, tag: Tag, key: &Key, chains: &mut Chains) {
        match *key {
            Key::Link => self.link = Some(tag),
            Key::Set(set) => self.sets.push(gone(tag, set)),
            Key::Entry { set, entry } => self.entries.push(gone(tag, (set, entry))),
            Key::Server(id) => self.servers.push(gone(tag, id)),
            Key::Destination {
                server,
                destination,
            } => self.destinations.push(gone(tag, (server, destination))),
            Key::Address(address) => self.addresses.push(gone(tag, address)),
            Key::Netfilter(key) => chains.deletes.push(key),
        }
    }

    /// Leaves out what goes with something larger. Destinations of virtual servers that `may_wait`
    /// for connections are stopped first.
    pub(super) fn leave_out_what_goes_along(&mut self, may_wait: impl Fn(&ServerId) -> bool) {
        if !self.servers.is_empty() {
            let servers = self.servers.iter().map(|it| it.what);
            let servers: BTreeSet<ServerId> = servers.filter(|it| !may_wait(it)).collect();
            self.destinations.retain(|it| !servers.contains(&it.what.0));
        }
        if !self.sets.is_empty() {
            let sets: BTreeSet<Set> = self.sets.iter().map(|it| it.what).collect();
            self.entries.retain(|it| !sets.contains(&it.what.0));
        }
        if self.link.is_some() {
            self.addresses.clear();
        }
    }
}

pub(super) const fn gone<T>(tag: Tag, what: T) -> Tagged<T> {
    Tagged {
        tag,
        old: true,
        what,
    }
}

#[cfg(test)]
mod tests {
    use ipvs_netlink::{Family, Protocol, Scheduler};
    use viprule_dataplane::{State, diff};

    use super::*;

    fn server(last: u8) -> ServerId {
        ServerId::Address {
            address: [10, 1, 0, last].into(),
            port: 80,
            protocol: Protocol::Tcp,
        }
    }

    fn destination(server: ServerId) -> (Key, Object) {
        let destination = DestinationId {
            address: [10, 244, 0, 1].into(),
            port: 8080,
        };
        let key = Key::Destination {
            server,
            destination,
        };
        (key, Object::Destination(Destination::masqueraded(1)))
    }

    fn service(last: u8) -> State<Key, Object> {
        let server = server(last);
        let content = Server::new(Scheduler::RR, Family::Ipv4);
        [
            (Key::Server(server), Object::Server(content)),
            destination(server),
            (Key::Address([10, 1, 0, last].into()), Object::Address),
        ]
        .into_iter()
        .collect()
    }

    #[test]
    fn what_one_gives_up_and_another_wants_stays() {
        let (nothing, mut staged) = (State::default(), Staged::default());
        staged.add(Tag(0), &diff(&service(1), &nothing));
        staged.add(Tag(1), &diff(&nothing, &service(1)));
        staged.add(Tag(2), &diff(&service(2), &nothing));
        staged.keep_what_is_wanted();
        let gone = &staged.gone;
        let lens = [
            gone.servers.len(),
            gone.destinations.len(),
            gone.addresses.len(),
        ];
        assert_eq!(lens, [1, 1, 1]);
        assert_eq!(gone.servers[0].what, server(2));
        assert_eq!(staged.servers.len(), 1);
    }

    #[test]
    fn destinations_go_with_their_server_and_addresses_with_the_link() {
        let nothing: State<Key, Object> = State::default();
        let mut staged = Staged::default();
        staged.add(Tag(0), &diff(&service(1), &nothing));
        let other = [destination(server(2))].into_iter().collect();
        staged.add(Tag(1), &diff(&other, &nothing));
        staged.gone.leave_out_what_goes_along(|_| true);
        assert_eq!(staged.gone.destinations.len(), 2);
        staged.gone.leave_out_what_goes_along(|_| false);
        let left: Vec<_> = staged
            .gone
            .destinations
            .iter()
            .map(|it| it.what.0)
            .collect();
        assert_eq!(left, [server(2)]);
        assert_eq!(staged.gone.addresses.len(), 1);
        staged.gone.link = Some(Tag(2));
        staged.gone.leave_out_what_goes_along(|_| false);
        assert_eq!(staged.gone.addresses, []);
    }
}
