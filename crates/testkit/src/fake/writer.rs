//! The kernel as a writer sees it.

use std::collections::HashMap;

use viprule_dataplane::netfilter::{Key, Object, Observation, Piece, Place, place_of};
use viprule_dataplane::ownership::Chain;
use viprule_dataplane::ownership::Layout;
use viprule_dataplane::{Diff, Scope, State};
use viprule_writer::{ApplyError, ForeignChanges, Refusal, Tag, WriteError, Writer, Written};

use super::faults::{Blame, Request};
use super::tables::{Act, Operation};
use super::{Kernel, Staged, tables};

impl Writer for Kernel {
    type Key = Key;
    type Object = Object;

    fn observe<V: From<(Key, Object)>>(
        &mut self,
        scope: &Scope<Piece>,
    ) -> Result<State<Key, V>, WriteError> {
        match (&mut self.touched, scope) {
            (touched, Scope::Everything) => *touched = Scope::nothing(),
            (Scope::Pieces(touched), Scope::Pieces(read)) => {
                touched.retain(|part| !read.contains(part));
            }
            (Scope::Everything, Scope::Pieces(_)) => {}
        }
        Ok(self.observed(scope))
    }

    fn stage<A>(
        &mut self,
        tag: Tag,
        diff: &Diff<'_, Key, A, Object>,
    ) -> Result<(), ApplyError<Piece>> {
        for write in &diff.writes {
            self.stage_write(tag, *write.key, write.new, write.old.is_some());
            let staged = self.staged.operations.len();
            if self.part_limit.is_some_and(|limit| staged >= limit) {
                let operations = std::mem::take(&mut self.staged.operations);
                self.send(&operations)
                    .inspect_err(|_| self.staged = Staged::default())?;
            }
        }
        let deletes = diff.deletes.iter().map(|(key, _)| (tag, **key));
        self.staged.deletes.extend(deletes);
        Ok(())
    }

    fn commit(&mut self) -> Result<Written, ApplyError<Piece>> {
        let mut operations = std::mem::take(&mut self.staged.operations);
        operations.append(&mut self.staged.jumps);
        operations.extend(self.deletions());
        let result = self.send(&operations).map(|()| self.staged.written);
        self.staged = Staged::default();
        result
    }

    fn foreign_changes(&mut self) -> Result<ForeignChanges<Piece>, WriteError> {
        let (scope, by) = (self.touched.clone(), std::mem::take(&mut self.by));
        Ok(ForeignChanges { scope, by })
    }
}

impl Kernel {
    fn stage_write(&mut self, tag: Tag, key: Key, object: &Object, exists: bool) {
        let mut add = |act| self.staged.operations.push(Operation { tag, key, act });
        match (key, object) {
            (Key::Chain { chain, .. }, object) => {
                let may_exist = !chain.is_ours_alone();
                add(if exists {
                    Act::Flush
                } else {
                    Act::NewChain { may_exist }
                });
                object
                    .rules()
                    .iter()
                    .cloned()
                    .for_each(|rule| add(Act::End(rule)));
            }
            (Key::Rule { table, chain, .. }, Object::Rule(rule)) => {
                add(match place_of(table, chain, rule) {
                    Place::Head => Act::Head(rule.clone()),
                    Place::End => Act::End(rule.clone()),
                });
            }
            (Key::Jump { .. }, Object::Rule(rule)) => {
                let act = Act::Jump(rule.clone());
                self.staged.jumps.push(Operation { tag, key, act });
            }
            (Key::Rule { .. } | Key::Jump { .. }, _) => unreachable!("{key} without its rule"),
        }
    }

    /// What is to be deleted, rules by their handles. A rule that isn't there gets a handle that
    /// nothing has, and a rule whose chain goes as well goes with it.
    fn deletions(&mut self) -> Vec<Operation> {
        let deletes = std::mem::take(&mut self.staged.deletes);
        let handles = self.handles();
        let gone = |key: &Key| match key {
            Key::Rule { table, chain, .. } => {
                let (table, chain) = (*table, *chain);
                deletes
                    .iter()
                    .any(|(_, other)| *other == Key::Chain { table, chain })
            }
            _ => false,
        };
        let kept = deletes.iter().filter(|(_, key)| !gone(key));
        kept.map(|(tag, key)| {
            let act = match key {
                Key::Chain { .. } => Act::DeleteChain,
                _ => Act::DeleteRule {
                    handle: handles.get(key).copied().unwrap_or(0),
                },
            };
            Operation {
                tag: *tag,
                key: *key,
                act,
            }
        })
        .collect()
    }

    fn handles(&self) -> HashMap<Key, u64> {
        let mut handles = HashMap::new();
        let mut observation = Observation::<Object>::new(Layout::Iptables);
        for (table, name, slots) in self.tables.chains() {
            if let Some(base) = tables::base(name) {
                for slot in slots {
                    let key = observation.base_rule(table, base, &slot.rule);
                    handles.extend(key.map(|key| (key, slot.handle)));
                }
            } else if let Some(chain) = Chain::parse(name) {
                let rules = slots.iter().map(|slot| slot.rule.clone()).collect();
                let keys = observation.chain(table, chain, rules).unwrap_or_default();
                handles.extend(keys.into_iter().zip(slots.iter().map(|slot| slot.handle)));
            }
        }
        handles
    }

    /// One transaction: all of it or nothing.
    fn send(&mut self, operations: &[Operation]) -> Result<(), ApplyError<Piece>> {
        if operations.is_empty() {
            return Ok(());
        }
        let partly = self.staged.written.transactions > 0;
        if let Some(scope) = self.foreign_scope() {
            return Err(if partly {
                ApplyError::Unknown("others changed the rule set between two parts".to_owned())
            } else {
                ApplyError::Foreign(scope)
            });
        }
        if self.faults.unknown == Some(false) {
            self.faults.unknown = None;
            return Err(ApplyError::Unknown("the answer was lost".to_owned()));
        }
        let mut tables = self.tables.clone();
        let mut refusals = Vec::new();
        for operation in operations {
            if let Err(refusal) = self.refusal(operation) {
                refusals.push(refusal);
            } else if let Err(reason) = tables.apply(operation) {
                let reason = reason.to_owned();
                refusals.push(Refusal {
                    tag: Some(operation.tag),
                    reason,
                });
            }
        }
        if !refusals.is_empty() {
            // The kernel says first what it can't tell the place of.
            refusals.sort_by_key(|refusal| refusal.tag.is_some());
            if refusals[0].tag.is_none() {
                refusals.truncate(1);
            }
            return Err(ApplyError::Refused { refusals, partly });
        }
        self.tables = tables;
        self.transactions += 1;
        self.requested
            .extend(operations.iter().map(|operation| operation.key));
        self.staged.written.transactions += 1;
        self.staged.written.bytes += operations.len();
        match self.faults.unknown.take() {
            Some(_) => Err(ApplyError::Unknown("the answer was lost".to_owned())),
            None => Ok(()),
        }
    }

    fn foreign_scope(&mut self) -> Option<Scope<Piece>> {
        let touched = Some(&self.touched)
            .filter(|touched| !touched.is_empty())
            .cloned();
        touched.or_else(|| self.faults.take_foreign())
    }

    fn refusal(&self, operation: &Operation) -> Result<(), Refusal> {
        let Some((blame, which)) = &self.faults.refused else {
            return Ok(());
        };
        let request = Request {
            key: &operation.key,
            rule: operation.rule(),
            deletes: operation.deletes(),
        };
        if !which(&request) {
            return Ok(());
        }
        let tag = (*blame == Blame::Told).then_some(operation.tag);
        Err(Refusal {
            tag,
            reason: "EINVAL".to_owned(),
        })
    }
}
