//! Making a transaction's changes visible and telling of them (`nf_tables_commit`).

use std::collections::BTreeMap;
use std::sync::Arc;

use netlink_batch::message::flags;
use netlink_batch::socket::NETFILTER;

use super::NfTables;
use super::ruleset::{Chain, Rule, Table};
use super::set::{Element, Set};
use super::uapi::{GROUP, op};
use super::write::{self, Head};
use crate::memory::Sender;
use crate::memory::answer::{Delivery, To};
use crate::memory::fields::Request;

/// `NLMSG_GOODSIZE`: notifications are put together up to this size, bytes.
const GOOD_SIZE: usize = 3776;

/// From so many elements on that come at once a set's list may be wrong.
const MANY: usize = 8;

/// One change of a transaction, in the order of its messages.
#[derive(Debug)]
pub(super) struct Change {
    seq: u32,
    flags: u16,
    what: What,
}

/// What is changed.
#[derive(Debug)]
pub(super) enum What {
    NewTable {
        table: u64,
    },
    DeleteTable {
        table: u64,
    },
    NewChain {
        table: u64,
        chain: u64,
    },
    UpdateChain {
        table: u64,
        chain: u64,
        policy: Option<bool>,
    },
    DeleteChain {
        table: u64,
        chain: u64,
    },
    NewRule {
        table: u64,
        chain: u64,
        rule: Arc<Rule>,
    },
    DeleteRule {
        table: u64,
        chain: u64,
        rule: Arc<Rule>,
    },
    /// Of one that is there as well.
    NewSet {
        table: u64,
        set: u64,
    },
    DeleteSet {
        table: u64,
        set: u64,
    },
    NewElement {
        table: u64,
        set: u64,
        element: Arc<Element>,
    },
    DeleteElement {
        table: u64,
        set: u64,
        element: Arc<Element>,
    },
}

impl Change {
    pub(super) fn new(request: &Request<'_>, what: What) -> Self {
        Self {
            seq: request.seq,
            flags: request.flags,
            what,
        }
    }
}

/// Notifications put together; those that were asked for go to the one who asked as well.
struct Told {
    port: u32,
    datagram: Vec<u8>,
    report: bool,
    deliveries: Vec<Delivery>,
}

impl NfTables {
    /// Nothing to change makes no generation.
    pub(super) fn commit(
        &mut self,
        sender: &Sender,
        first: &Request<'_>,
        changes: Vec<Change>,
        deliveries: &mut Vec<Delivery>,
    ) {
        if changes.is_empty() {
            return;
        }
        self.ruleset.generation = match self.ruleset.generation.wrapping_add(1) {
            0 => 1,
            next => next,
        };
        let mut told = Told {
            port: sender.port,
            datagram: Vec::new(),
            report: false,
            deliveries: Vec::new(),
        };
        self.note_growth(&changes);
        for change in changes {
            self.apply(change, &mut told);
        }
        told.flush();
        let report = first.flags & flags::ECHO != 0;
        let head = Head {
            port: sender.port,
            seq: first.seq,
            kind: op::NEW_GEN,
            flags: 0,
            generation: self.ruleset.generation,
        };
        write::generation(&mut told.datagram, head, &sender.identity);
        told.report = report;
        told.flush();
        deliveries.append(&mut told.deliveries);
    }

    fn apply(&mut self, change: Change, told: &mut Told) {
        let report = change.flags & flags::ECHO != 0;
        let head = Head {
            port: told.port,
            seq: change.seq,
            kind: 0,
            flags: change.flags & (flags::CREATE | flags::EXCL),
            generation: self.ruleset.generation,
        };
        let ruleset = &mut self.ruleset;
        match change.what {
            What::NewTable { table } => {
                told.of(ruleset.tables.get(&table), report, |out, table| {
                    write::table(out, head.of(op::NEW_TABLE), table);
                });
            }
            What::DeleteTable { table } => {
                let gone = ruleset.tables.remove(&table);
                self.last_handles.remove(&table);
                told.of(gone.as_ref(), report, |out, table| {
                    write::table(out, head.of(op::DEL_TABLE), table);
                });
            }
            What::NewChain { table, chain } => {
                told.chain(ruleset.tables.get(&table), chain, report, |out, at| {
                    write::chain(out, head.of(op::NEW_CHAIN), at.0, at.1);
                });
            }
            What::UpdateChain {
                table,
                chain,
                policy,
            } => {
                let updated = ruleset.chain_mut(table, chain);
                if let (Some(base), Some(accept)) =
                    (updated.and_then(|chain| chain.base.as_mut()), policy)
                {
                    base.accept = accept;
                }
                told.chain(ruleset.tables.get(&table), chain, report, |out, at| {
                    write::chain(out, head.of(op::NEW_CHAIN), at.0, at.1);
                });
            }
            What::DeleteChain { table, chain } => {
                told.chain(ruleset.tables.get(&table), chain, report, |out, at| {
                    write::chain(out, head.of(op::DEL_CHAIN), at.0, at.1);
                });
                if let Some(table) = ruleset.table_mut(table) {
                    table.chains.remove(&chain);
                }
            }
            What::NewRule { table, chain, rule } => {
                let append = change.flags & (flags::APPEND | flags::REPLACE) != 0;
                let mut head = head.of(op::NEW_RULE);
                head.flags |= if append { flags::APPEND } else { 0 };
                told.chain(ruleset.tables.get(&table), chain, report, |out, at| {
                    write::rule(out, head, at, &rule, previous(at.1, &rule));
                });
            }
            What::DeleteRule { table, chain, rule } => {
                if let Some(chain) = ruleset.chain_mut(table, chain) {
                    chain.slots.retain(|slot| !Arc::ptr_eq(&slot.rule, &rule));
                }
                let append = change.flags & (flags::APPEND | flags::REPLACE) != 0;
                let mut head = head.of(op::DEL_RULE);
                head.flags |= if append { flags::APPEND } else { 0 };
                told.chain(ruleset.tables.get(&table), chain, report, |out, at| {
                    write::rule(out, head, at, &rule, 0);
                });
            }
            what => self.apply_to_sets(what, head, report, told),
        }
    }

    fn apply_to_sets(&mut self, what: What, head: Head, report: bool, told: &mut Told) {
        let ruleset = &mut self.ruleset;
        match what {
            What::NewSet { table, set } => {
                told.set(ruleset.tables.get(&table), set, report, |out, at| {
                    write::set(out, head.of(op::NEW_SET), at.0, at.1);
                });
            }
            What::DeleteSet { table, set } => {
                told.set(ruleset.tables.get(&table), set, report, |out, at| {
                    write::set(out, head.of(op::DEL_SET), at.0, at.1);
                });
                if let Some(table) = ruleset.table_mut(table) {
                    table.sets.remove(&set);
                }
            }
            What::NewElement {
                table,
                set,
                element,
            } => {
                let mut head = head.of(op::NEW_ELEMENT);
                head.seq = 0;
                told.set(ruleset.tables.get(&table), set, report, |out, at| {
                    write::elements(out, head, at, [&*element]);
                });
            }
            What::DeleteElement {
                table,
                set,
                element,
            } => {
                if let Some(set) = ruleset.set_mut(table, set) {
                    set.count = set.count.saturating_sub(1);
                }
                let mut head = head.of(op::DEL_ELEMENT);
                head.seq = 0;
                told.set(ruleset.tables.get(&table), set, report, |out, at| {
                    write::elements(out, head, at, [&*element]);
                });
            }
            _ => {}
        }
    }

    /// Remembers where so many elements come that the table of hashes grows.
    fn note_growth(&mut self, changes: &[Change]) {
        if !self.shows_growth {
            return;
        }
        let mut came = BTreeMap::<_, usize>::new();
        for change in changes {
            if let What::NewElement { table, set, .. } = &change.what {
                *came.entry((*table, *set)).or_default() += 1;
            }
        }
        let many = came.into_iter().filter(|(_, count)| *count >= MANY);
        self.growing.extend(many.map(|(set, _)| set));
    }
}

/// The rule before a new one, which is told only of rules that are neither first nor last.
fn previous(chain: &Chain, rule: &Arc<Rule>) -> u64 {
    let place = chain
        .slots
        .iter()
        .position(|slot| Arc::ptr_eq(&slot.rule, rule));
    match place {
        Some(place) if place > 0 && place + 1 < chain.slots.len() => {
            chain.slots[place - 1].rule.handle
        }
        _ => 0,
    }
}

impl Head {
    fn of(mut self, kind: u16) -> Self {
        self.kind = kind;
        self
    }
}

impl Told {
    fn of<T>(
        &mut self,
        object: Option<&Arc<T>>,
        report: bool,
        write: impl FnOnce(&mut Vec<u8>, &T),
    ) {
        let Some(object) = object else { return };
        let mut message = Vec::new();
        write(&mut message, object);
        if report != self.report || self.datagram.len() + message.len() >= GOOD_SIZE {
            self.flush();
        }
        self.report = report;
        self.datagram.append(&mut message);
    }

    fn chain(
        &mut self,
        table: Option<&Arc<Table>>,
        chain: u64,
        report: bool,
        write: impl FnOnce(&mut Vec<u8>, (&Table, &Chain)),
    ) {
        self.of(table, report, |out, table| {
            if let Some(chain) = table.chains.get(&chain) {
                write(out, (table, chain));
            }
        });
    }

    fn set(
        &mut self,
        table: Option<&Arc<Table>>,
        set: u64,
        report: bool,
        write: impl FnOnce(&mut Vec<u8>, (&Table, &Set)),
    ) {
        self.of(table, report, |out, table| {
            if let Some(set) = table.sets.get(&set) {
                write(out, (table, set));
            }
        });
    }

    fn flush(&mut self) {
        if self.datagram.is_empty() {
            return;
        }
        let datagram = std::mem::take(&mut self.datagram);
        self.deliveries.push(Delivery {
            to: To::Group {
                protocol: NETFILTER,
                group: GROUP,
                except: self.report.then_some(self.port),
            },
            datagram: datagram.clone(),
        });
        if self.report {
            self.deliveries.push(Delivery::answer(self.port, datagram));
        }
    }
}
