//! What commits do to the rules of a node.

use super::Transition;
use crate::error::{Error, Result};
use crate::netns::Namespace;
use netlink_batch::socket::NETFILTER;
use netlink_batch::{Message, Socket};
use nfnetlink::nftables::native::elements_of;
use nfnetlink::nftables::{Change, Event, GROUP, Object};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use viprule_dataplane::nftables::{
    Element, ElementContent, FrontendSet, Set, SetName, TABLE, decode,
};
use viprule_service::plan::Frontend;

/// Listens to the rule set's notifications in a node's namespace, until it is dropped. A listener
/// makes every commit there somewhat dearer.
#[derive(Debug)]
pub struct RuleWatch {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Seen {
    transitions: Vec<Transition>,
    lost: bool,
}

/// Rules and elements that lead to endpoints, commit by commit.
#[derive(Debug, Default)]
struct Rules {
    /// By table, chain and handle.
    endpoint_of: BTreeMap<(String, u64), String>,
    /// By frontend, in the tables of viprule's nftables mode.
    rows: BTreeMap<Frontend, Row>,
    /// Frontends whose row the commit under way changed.
    changed: BTreeSet<Frontend>,
    /// How many rules or frontends lead to each endpoint, now and before the commit under way.
    now: BTreeMap<String, usize>,
    before: BTreeMap<String, usize>,
}

/// The elements of a frontend.
#[derive(Debug, Default)]
struct Row {
    /// `namespace/name:port`
    name: Option<Box<str>>,
    slots: BTreeMap<u16, SocketAddr>,
    /// Endpoints that it was counted for.
    counted: BTreeSet<String>,
}

impl RuleWatch {
    /// Begins; what the rule set holds already is not known to it.
    pub fn start(node: &Namespace) -> Result<Self> {
        const ROOM: usize = 64 << 20;
        let opened = node.run(|| {
            let mut socket = Socket::open(NETFILTER)?;
            socket.allow_receive(ROOM)?;
            socket.join(GROUP)?;
            Ok(socket)
        })?;
        let socket = opened.map_err(|error: netlink_batch::Error| Error::Malformed {
            what: format!("listening to the rules of {}", node.name()),
            why: error.to_string(),
        })?;
        let (stop, seen) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Seen>>::default());
        let (stopped, shared) = (Arc::clone(&stop), Arc::clone(&seen));
        let thread = thread::Builder::new()
            .name("rule watch".to_owned())
            .spawn(move || listen(socket, &stopped, &shared))
            .map_err(Error::io("starting a thread"))?;
        Ok(Self {
            stop,
            seen,
            thread: Some(thread),
        })
    }

    /// Everything since the start, in order. Fails if notifications were lost.
    pub fn transitions(&self) -> Result<Vec<Transition>> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.lost {
            return Err(Error::Malformed {
                what: "notifications of the rule set".to_owned(),
                why: "some were lost; this machine is too slow for a listener".to_owned(),
            });
        }
        Ok(seen.transitions.clone())
    }
}

impl Drop for RuleWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(mut socket: Socket, stop: &AtomicBool, seen: &Mutex<Seen>) {
    const PAUSE: Duration = Duration::from_millis(50);
    let mut rules = Rules::default();
    while !stop.load(Ordering::Relaxed) {
        let mut made = Vec::new();
        let received = socket.receive(Some(PAUSE), |message| rules.take(&message, &mut made));
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.transitions.append(&mut made);
        seen.lost |= received.is_err();
    }
}

impl Rules {
    fn take(&mut self, message: &Message<'_>, made: &mut Vec<Transition>) {
        let Ok(Some(event)) = Event::read(message) else {
            return;
        };
        match event.object {
            Object::Rule {
                table,
                chain,
                handle,
            } => {
                let key = (format!("{:?} {table} {chain}", event.family), handle);
                self.rule(event.change, key, comment(message.payload));
            }
            Object::Elements { table: TABLE, set } => {
                let name = SetName::parse(set);
                if let (Some(name), Some(family)) = (name, event.family) {
                    self.elements(event.change, Set { family, name }, message);
                }
            }
            Object::Generation(_) => {
                self.count_rows();
                self.commit(Instant::now(), made);
            }
            _ => {}
        }
    }

    fn rule(&mut self, change: Change, key: (String, u64), endpoint: Option<String>) {
        if change == Change::New {
            if let Some(endpoint) = endpoint {
                *self.now.entry(endpoint.clone()).or_default() += 1;
                self.endpoint_of.insert(key, endpoint);
            }
        } else if let Some(endpoint) = self.endpoint_of.remove(&key) {
            self.count_less(&endpoint);
        }
    }

    fn count_less(&mut self, endpoint: &str) {
        if let Some(count) = self.now.get_mut(endpoint) {
            *count -= 1;
            if *count == 0 {
                self.now.remove(endpoint);
            }
        }
    }

    fn elements(&mut self, change: Change, set: Set, message: &Message<'_>) {
        let found = elements_of(&set.spec(), message).unwrap_or_default();
        let is_new = change == Change::New;
        for (element, content) in found.iter().filter_map(|it| decode(set, &it.element)) {
            let Some(frontend) = element.frontend() else {
                continue;
            };
            let row = self.rows.entry(frontend).or_default();
            match (element, content) {
                (
                    Element::Frontend {
                        set: FrontendSet::Services,
                        ..
                    },
                    content,
                ) => {
                    row.name = match content {
                        ElementContent::Named(name) if is_new => Some(name),
                        _ => None,
                    };
                }
                (Element::Endpoint { slot, .. }, ElementContent::Endpoint(endpoint)) if is_new => {
                    row.slots.insert(slot, endpoint);
                }
                (Element::Endpoint { slot, .. }, _) => {
                    row.slots.remove(&slot);
                }
                _ => continue,
            }
            self.changed.insert(frontend);
        }
    }

    /// Counts anew where the frontends lead whose row changed.
    fn count_rows(&mut self) {
        for frontend in std::mem::take(&mut self.changed) {
            let Some(row) = self.rows.get_mut(&frontend) else {
                continue;
            };
            let slots = row.slots.values();
            let leads: BTreeSet<String> = match &row.name {
                Some(name) => slots.map(|at| format!("{name} -> {at}")).collect(),
                None => BTreeSet::new(),
            };
            let before = std::mem::replace(&mut row.counted, leads.clone());
            if row.name.is_none() && row.slots.is_empty() {
                self.rows.remove(&frontend);
            }
            for endpoint in leads {
                *self.now.entry(endpoint).or_default() += 1;
            }
            for endpoint in before {
                self.count_less(&endpoint);
            }
        }
    }

    fn commit(&mut self, at: Instant, made: &mut Vec<Transition>) {
        let difference =
            |from: &BTreeMap<String, usize>, to: &BTreeMap<String, usize>, used: bool| {
                let new = to.keys().filter(|endpoint| !from.contains_key(*endpoint));
                let made = new.map(|endpoint| Transition {
                    at,
                    endpoint: endpoint.clone(),
                    used,
                });
                made.collect::<Vec<_>>()
            };
        made.extend(difference(&self.now, &self.before, false));
        made.extend(difference(&self.before, &self.now, true));
        self.before.clone_from(&self.now);
    }
}

/// The comment of a rule that leads to an endpoint.
fn comment(rule: &[u8]) -> Option<String> {
    const ARROW: &[u8] = b" -> ";
    let arrow = rule.windows(ARROW.len()).position(|part| part == ARROW)?;
    let printable = |byte: &u8| (0x20..0x7f).contains(byte);
    let before = rule[..arrow].iter().rev().take_while(|it| printable(it));
    let after = rule[arrow..].iter().take_while(|it| printable(it));
    let text = &rule[arrow - before.count()..arrow + after.count()];
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_found_among_bytes() {
        let rule = b"\x01\0comment\0\0default/web:http -> 10.244.0.5:8080\0\0\xff";
        assert_eq!(
            comment(rule).as_deref(),
            Some("default/web:http -> 10.244.0.5:8080")
        );
        assert_eq!(comment(b"\0default/web:http\0"), None);
        assert_eq!(comment(b" -> x").as_deref(), Some(" -> x"));
    }

    #[test]
    fn only_what_a_commit_leaves_different_is_a_transition() {
        let mut rules = Rules::default();
        let add = |rules: &mut Rules, handle, endpoint: &str| {
            let key = ("nat KUBE-SVC-A".to_owned(), handle);
            rules.rule(Change::New, key, Some(endpoint.to_owned()));
        };
        let delete = |rules: &mut Rules, handle| {
            let key = ("nat KUBE-SVC-A".to_owned(), handle);
            rules.rule(Change::Deleted, key, None);
        };
        let commit = |rules: &mut Rules| {
            let mut made = Vec::new();
            rules.commit(Instant::now(), &mut made);
            let made = made.into_iter().map(|it| (it.endpoint, it.used));
            made.collect::<Vec<_>>()
        };
        add(&mut rules, 1, "a");
        add(&mut rules, 2, "b");
        assert_eq!(
            commit(&mut rules),
            [("a".to_owned(), true), ("b".to_owned(), true)]
        );
        // kube-proxy writes the whole chain anew.
        delete(&mut rules, 1);
        delete(&mut rules, 2);
        add(&mut rules, 3, "b");
        add(&mut rules, 4, "c");
        assert_eq!(
            commit(&mut rules),
            [("a".to_owned(), false), ("c".to_owned(), true)]
        );
        assert_eq!(commit(&mut rules), []);
    }
}
