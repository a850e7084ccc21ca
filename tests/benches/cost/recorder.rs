//! A writer that encodes what viprule would send and keeps it.
//!
//! It does with a diff what `crates/writer/src/iptables` does, for what this benchmark stages, and
//! sends nothing: what it keeps is the floor's prepared bytes, and the time up to there is
//! viprule's own part. [`crate::first_sync`] and [`crate::change`] compare count and size of the
//! transactions with the real writer's.

use std::collections::BTreeSet;

use nfnetlink::nftables::{BaseChain as Hooked, ChainId, Hook, Position, Transaction};
use nfnetlink::xtables::Rule;
use viprule_dataplane::netfilter::{BaseChain, Key, Kind, Object, Piece, Place, Table, place_of};
use viprule_dataplane::{Diff, Scope, State};
use viprule_writer::{ApplyError, ForeignChanges, Tag, WriteError, Writer, Written};

/// As in `send.rs` of the writer, bytes.
const UNLINKED_PART: usize = 4 << 20;
const LINKED_PART: usize = 16 << 20;
/// As in `stage.rs` of the writer.
const ECHOES: usize = 256;

type Applied<T = ()> = Result<T, ApplyError<Piece>>;

/// Keeps transactions.
#[derive(Debug)]
pub(crate) struct Recorder {
    send_capacity: usize,
    linked: bool,
    made: BTreeSet<(Table, Option<BaseChain>)>,
    open: Transaction<Tag>,
    echoes: usize,
    jumps: Vec<(Tag, Key, Rule)>,
    deletes: Vec<(Tag, Key)>,
    written: Written,
    parts: Vec<Transaction<Tag>>,
}

impl Recorder {
    /// For sockets that can send this many bytes at once.
    pub(crate) fn new(send_capacity: usize) -> Self {
        Self {
            send_capacity,
            linked: false,
            made: BTreeSet::new(),
            open: Transaction::new(),
            echoes: 0,
            jumps: Vec::new(),
            deletes: Vec::new(),
            written: Written::default(),
            parts: Vec::new(),
        }
    }

    /// What was kept since the last question.
    pub(crate) fn take_parts(&mut self) -> Vec<Transaction<Tag>> {
        std::mem::take(&mut self.parts)
    }

    fn keep(&mut self) {
        if !self.open.is_empty() {
            self.written.transactions += 1;
            self.written.bytes += self.open.len();
            self.parts.push(std::mem::take(&mut self.open));
            self.echoes = 0;
        }
    }

    fn fit(&mut self, tag: Tag, add: impl Fn(&mut Transaction<Tag>)) {
        let wanted = if self.linked {
            LINKED_PART
        } else {
            UNLINKED_PART
        };
        let limit = wanted.min(self.send_capacity);
        let (mark, something) = (self.open.mark(), !self.open.is_empty());
        self.open.tag(tag);
        add(&mut self.open);
        if something && self.open.len() > limit {
            self.open.rollback(mark);
            self.keep();
            self.open.tag(tag);
            add(&mut self.open);
        }
    }

    fn table(&mut self, tag: Tag, table: Table) {
        if self.made.insert((table, None)) {
            self.fit(tag, |open| open.new_table(table.family, table.kind.name()));
        }
    }

    fn rule(&mut self, tag: Tag, key: &Key, chain: &str, position: Position, rule: &Rule) {
        let echo = self.echoes < ECHOES || matches!(key, Key::Jump { .. });
        let chain = id(key.table(), chain);
        self.fit(tag, |open| {
            open.new_rule(chain, position, echo, |attrs| rule.encode(attrs));
        });
        self.echoes += usize::from(echo);
    }

    fn write(&mut self, tag: Tag, key: Key, exists: bool, object: &Object) {
        let name = key.chain_name();
        let chain = id(key.table(), &name);
        match (key, object) {
            (Key::Chain { .. }, Object::Rules(rules)) if exists => self.fit(tag, |open| {
                open.flush_chain(chain);
                for rule in rules {
                    open.new_rule(chain, Position::End, false, |attrs| rule.encode(attrs));
                }
            }),
            (Key::Chain { table, chain: ours }, object) => {
                self.table(tag, table);
                self.fit(tag, |open| {
                    if ours.is_ours_alone() {
                        open.new_chain(chain);
                    } else {
                        open.ensure_chain(chain);
                    }
                });
                for rule in object.rules() {
                    self.fit(tag, |open| {
                        open.new_rule(chain, Position::End, false, |attrs| rule.encode(attrs));
                    });
                }
            }
            (
                Key::Rule {
                    table,
                    chain: shared,
                    ..
                },
                Object::Rule(rule),
            ) => {
                let position = match place_of(table, shared, rule) {
                    Place::Head => Position::Head,
                    Place::End => Position::End,
                };
                self.rule(tag, &key, &name, position, rule);
            }
            (Key::Jump { .. }, Object::Rule(rule)) => self.jumps.push((tag, key, rule.clone())),
            (Key::Rule { .. } | Key::Jump { .. }, _) => {}
        }
    }

    fn write_jumps(&mut self) {
        for (tag, key, rule) in std::mem::take(&mut self.jumps).into_iter().rev() {
            let Key::Jump { table, base, .. } = key else {
                continue;
            };
            if self.made.insert((table, Some(base))) {
                self.fit(tag, |open| {
                    open.new_base_chain(id(table, base.name()), hook(table, base));
                });
            }
            self.rule(tag, &key, base.name(), Position::Head, &rule);
            self.linked = true;
        }
    }

    fn write_deletes(&mut self) -> Applied {
        for (tag, key) in std::mem::take(&mut self.deletes) {
            let Key::Chain { table, .. } = key else {
                return Err(ApplyError::Unknown(format!(
                    "{key}: single rules have no handles here"
                )));
            };
            let name = key.chain_name();
            self.fit(tag, |open| {
                open.flush_chain(id(table, &name));
                open.delete_chain(id(table, &name));
            });
        }
        Ok(())
    }
}

impl Writer for Recorder {
    type Key = Key;
    type Object = Object;

    /// An empty kernel: only the first sync asks.
    fn observe<V: From<(Key, Object)>>(
        &mut self,
        _: &Scope<Piece>,
    ) -> Result<State<Key, V>, WriteError> {
        Ok(State::default())
    }

    fn stage<A>(&mut self, tag: Tag, diff: &Diff<'_, Key, A, Object>) -> Applied {
        for write in &diff.writes {
            self.write(tag, *write.key, write.old.is_some(), write.new);
        }
        self.deletes
            .extend(diff.deletes.iter().map(|(key, _)| (tag, **key)));
        Ok(())
    }

    fn commit(&mut self) -> Applied<Written> {
        self.write_jumps();
        self.write_deletes()?;
        self.keep();
        Ok(std::mem::take(&mut self.written))
    }

    fn foreign_changes(&mut self) -> Result<ForeignChanges<Piece>, WriteError> {
        Ok(ForeignChanges {
            scope: Scope::nothing(),
            by: Vec::new(),
        })
    }
}

fn id(table: Table, name: &str) -> ChainId<'_> {
    ChainId {
        family: table.family,
        table: table.kind.name(),
        name,
    }
}

/// The hooks of the chains that [`viprule_dataplane::netfilter::jumps`] names.
fn hook(table: Table, base: BaseChain) -> Hooked<'static> {
    let (hook, nat_priority) = match base {
        BaseChain::Prerouting => (Hook::Prerouting, -100),
        BaseChain::Input => (Hook::Input, 100),
        BaseChain::Forward => (Hook::Forward, 0),
        BaseChain::Output => (Hook::Output, -100),
        BaseChain::Postrouting => (Hook::Postrouting, 100),
    };
    match table.kind {
        Kind::Nat => Hooked::accepting("nat", hook, nat_priority),
        Kind::Filter | Kind::Mangle => Hooked::accepting("filter", hook, 0),
    }
}
