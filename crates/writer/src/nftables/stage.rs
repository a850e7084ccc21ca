//! From a diff to messages.

use std::collections::BTreeSet;

use nfnetlink::Family;
use nfnetlink::nftables::native::{self, Rule, TableFlags};
use nfnetlink::nftables::{ChainId, Position, Transaction};
use viprule_dataplane::nftables::{Chain, Element, ElementContent, Key, Object, Piece, Row, Set};
use viprule_dataplane::{Diff, Write};

use super::NftablesWriter;
use super::observe::{spec, table};
use crate::generation::found_otherwise;
use crate::{ApplyError, Tag};

/// Elements of one set that are written together at most: a message's worth of the largest.
const TOGETHER: usize = 512;

/// What a transaction holds besides its messages.
#[derive(Debug, Default)]
pub(super) struct Staged {
    /// To be removed behind all writes.
    deletes: Vec<(Tag, Key)>,
    /// The messages so far delete a rule by its handle.
    by_handle: bool,
    /// The messages so far make a table anew: they can't be sent in parts.
    anew: bool,
}

impl NftablesWriter {
    pub(super) fn discard(&mut self) {
        self.committer.discard();
        self.staged = Staged::default();
    }

    pub(super) fn stage_diff<A>(
        &mut self,
        tag: Tag,
        diff: &Diff<'_, Key, A, Object>,
    ) -> Result<(), ApplyError<Piece>> {
        let mut writes = &diff.writes[..];
        while let Some(first) = writes.first() {
            let set = set_of(first);
            let same = writes
                .iter()
                .take(TOGETHER)
                .take_while(|write| set.is_some() && set_of(write) == set);
            let (now, rest) = writes.split_at(same.count().max(1));
            if let Some(set) = set {
                let elements: Vec<_> = now.iter().filter_map(element).collect();
                self.stage_elements(tag, set, &elements)?;
            } else {
                self.stage_write(tag, first)?;
            }
            writes = rest;
        }
        let deletes = diff.deletes.iter().map(|(key, _)| (tag, **key));
        self.staged.deletes.extend(deletes);
        Ok(())
    }

    /// Elements, each with whether another value has to go first. A value of a map that changes goes
    /// and comes in one transaction: the kernel refuses a second one for a key.
    fn stage_elements(
        &mut self,
        tag: Tag,
        set: Set,
        elements: &[(native::Element, bool)],
    ) -> Result<(), ApplyError<Piece>> {
        self.fit(tag, |transaction, specs| {
            let spec = spec(specs, set);
            let table = table(set.family);
            let replaced = || elements.iter().filter(|(_, replaced)| *replaced);
            if replaced().next().is_some() {
                transaction.delete_elements(table, spec, replaced().map(|(element, _)| element));
            }
            transaction.add_elements(table, spec, elements.iter().map(|(element, _)| element));
        })
    }

    fn stage_write<A>(
        &mut self,
        tag: Tag,
        write: &Write<'_, Key, A, Object>,
    ) -> Result<(), ApplyError<Piece>> {
        match (*write.key, write.new) {
            (Key::Table(family), _) => {
                let unusable = self.unusable.contains(&family);
                self.staged.anew |= unusable;
                self.fit(tag, |transaction, _| {
                    if unusable {
                        transaction.delete_table(family, table(family).name);
                    }
                    transaction.new_table_with(table(family), TableFlags::default(), None);
                })
            }
            (Key::Set(set), _) => self.fit(tag, |transaction, specs| {
                transaction.new_set(table(set.family), spec(specs, set));
            }),
            (Key::Chain { family, chain }, object) => {
                let name = chain.to_string();
                let id = table(family).chain(&name);
                self.fit(tag, |transaction, _| {
                    transaction.ensure_chain(id);
                    // It may be there without our knowing: nothing else leads to it then.
                    transaction.flush_chain(id);
                    add_rules(transaction, id, object.rules());
                })
            }
            (Key::BaseChain { family, chain }, Object::Chain { rules, .. }) => {
                let name = chain.to_string();
                let id = table(family).chain(&name);
                let is_there = write.old.is_some();
                self.fit(tag, |transaction, _| {
                    // Where it is called can't be changed.
                    if is_there {
                        transaction.delete_chain(id);
                    }
                    transaction.new_base_chain(id, chain.base().to_chain());
                    add_rules(transaction, id, rules);
                })
            }
            (Key::StickyRule { family, row, .. }, Object::Rule(rule)) => {
                let name = Chain::Sticky(row).to_string();
                let id = table(family).chain(&name);
                self.fit(tag, |transaction, _| {
                    add_rules(transaction, id, std::slice::from_ref(&**rule));
                })
            }
            (Key::BaseChain { .. } | Key::StickyRule { .. } | Key::Element(_), _) => Ok(()),
        }
    }

    /// Adds what comes last and sends it all.
    pub(super) fn finish(&mut self) -> Result<(), ApplyError<Piece>> {
        self.stage_deletes()?;
        self.send()
    }

    fn stage_deletes(&mut self) -> Result<(), ApplyError<Piece>> {
        let mut deletes = std::mem::take(&mut self.staged.deletes);
        // Backwards, so that nothing is referred to that goes.
        deletes.sort_by(|(_, one), (_, other)| other.cmp(one));
        let dying: BTreeSet<Family> = deletes
            .iter()
            .filter_map(|(_, key)| match key {
                Key::Table(family) => Some(*family),
                _ => None,
            })
            .collect();
        // They go with their table.
        deletes.retain(|(_, key)| !dying.contains(&key.family()) || matches!(key, Key::Table(_)));
        let together = |(one, first): &(Tag, Key), (other, second): &(Tag, Key)| {
            let set = |key: &Key| match key {
                Key::Element(element) => Some(element.set()),
                _ => None,
            };
            one == other && set(first).is_some() && set(first) == set(second)
        };
        for some in deletes
            .chunk_by(together)
            .flat_map(|some| some.chunks(TOGETHER))
        {
            let Some((tag, first)) = some.first() else {
                continue;
            };
            match *first {
                Key::Element(element) => {
                    let set = element.set();
                    let elements: Vec<native::Element> = some
                        .iter()
                        .filter_map(|(_, key)| match key {
                            Key::Element(element) => Some(element.encode(&ElementContent::Member)),
                            _ => None,
                        })
                        .collect();
                    self.fit(*tag, |transaction, specs| {
                        transaction.delete_elements(table(set.family), spec(specs, set), &elements);
                    })?;
                }
                key => self.stage_delete(*tag, key)?,
            }
        }
        Ok(())
    }

    fn stage_delete(&mut self, tag: Tag, key: Key) -> Result<(), ApplyError<Piece>> {
        match key {
            Key::Table(family) => self.fit(tag, |transaction, _| {
                transaction.delete_table(family, table(family).name);
            }),
            Key::Set(set) => {
                let name = set.name.to_string();
                self.fit(tag, |transaction, _| {
                    transaction.delete_set(table(set.family), &name);
                })
            }
            Key::Chain { family, chain } => self.delete_chain(tag, family, &chain.to_string()),
            Key::BaseChain { family, chain } => self.delete_chain(tag, family, &chain.to_string()),
            Key::StickyRule {
                family,
                row,
                seconds,
            } => self.delete_rule(tag, family, row, seconds),
            Key::Element(_) => Ok(()),
        }
    }

    fn delete_chain(
        &mut self,
        tag: Tag,
        family: Family,
        name: &str,
    ) -> Result<(), ApplyError<Piece>> {
        let id = table(family).chain(name);
        self.fit(tag, |transaction, _| {
            transaction.flush_chain(id);
            transaction.delete_chain(id);
        })
    }

    /// The kernel knows rules by their handles only.
    fn delete_rule(
        &mut self,
        tag: Tag,
        family: Family,
        row: Row,
        seconds: u32,
    ) -> Result<(), ApplyError<Piece>> {
        let name = Chain::Sticky(row).to_string();
        let wanted = Key::StickyRule {
            family,
            row,
            seconds,
        };
        let rules = self.rules(family, &name)?;
        let ours = rules
            .iter()
            .filter(|(_, rule)| Key::of_sticky_rule(family, row, rule) == Some(wanted));
        let handles: Vec<u64> = ours.map(|(handle, _)| *handle).collect();
        let id = table(family).chain(&name);
        self.staged.by_handle |= !handles.is_empty();
        self.fit(tag, |transaction, _| {
            for handle in &handles {
                transaction.delete_rule(id, *handle);
            }
        })
    }

    /// Adds messages that must stay together, and sends what was there before if they would not
    /// fit.
    fn fit(
        &mut self,
        tag: Tag,
        add: impl Fn(&mut Transaction<Tag>, &mut super::Specs),
    ) -> Result<(), ApplyError<Piece>> {
        let limit = if self.staged.anew {
            usize::MAX
        } else {
            self.largest_part
        };
        let specs = &mut self.specs;
        if !self.committer.try_to_add(tag, limit, |it| add(it, specs)) {
            self.send()?;
            let specs = &mut self.specs;
            self.committer.add(tag, |it| add(it, specs));
        }
        Ok(())
    }

    /// Sends what is staged so far as one transaction.
    fn send(&mut self) -> Result<(), ApplyError<Piece>> {
        if self.committer.is_empty() {
            return Ok(());
        }
        let by_handle = std::mem::take(&mut self.staged.by_handle);
        let mut mistaken = true;
        let sent = self.committer.send(by_handle, |_, refusal| {
            mistaken &= found_otherwise(refusal.errno);
            refusal.to_string()
        });
        match sent {
            Ok(_) => {
                self.doubted = false;
                if std::mem::take(&mut self.staged.anew) {
                    self.unusable.clear();
                }
                Ok(())
            }
            // What is there is other than we know: only a look tells. Once more, and it is refused.
            Err(error @ ApplyError::Refused { .. }) if mistaken && !self.doubted => {
                self.doubted = true;
                Err(ApplyError::Unknown(error.to_string()))
            }
            Err(error) => Err(error),
        }
    }
}

fn set_of<A>(write: &Write<'_, Key, A, Object>) -> Option<Set> {
    match write.key {
        Key::Element(element) => Some(element.set()),
        _ => None,
    }
}

/// An element to be written, and whether it is there with another value.
fn element<A>(write: &Write<'_, Key, A, Object>) -> Option<(native::Element, bool)> {
    let (Key::Element(element), Object::Element(content)) = (write.key, write.new) else {
        return None;
    };
    Some((Element::encode(element, content), write.old.is_some()))
}

fn add_rules(transaction: &mut Transaction<Tag>, chain: ChainId<'_>, rules: &[Rule]) {
    for rule in rules {
        transaction.new_rule(chain, Position::End, false, |attrs| {
            rule.encode(chain.family, attrs);
        });
    }
}
