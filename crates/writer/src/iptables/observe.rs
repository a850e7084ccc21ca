//! Reads chains and rules.

use std::collections::BTreeSet;

use netlink_batch::Error;
use nfnetlink::Family;
use nfnetlink::nftables;
use nfnetlink::xtables::Rule;
use viprule_dataplane::iptables::{BaseChain, Key, Kind, Object, Observation, Part, Table};
use viprule_dataplane::ownership::Chain;
use viprule_dataplane::{ObjectKey, State};

use super::{IptablesWriter, chains};
use crate::WriteError;

/// How often a chain that changes while it is read is read again.
const ATTEMPTS: usize = 10;

impl IptablesWriter {
    pub(super) fn observe_everything<V: From<Object>>(
        &mut self,
    ) -> Result<State<Key, V>, WriteError> {
        self.known = super::Known::default();
        let mut parts = Vec::new();
        for family in self.families.clone() {
            parts.extend(self.list(family)?);
        }
        self.read(&parts)
    }

    pub(super) fn observe_parts<V: From<Object>>(
        &mut self,
        parts: &BTreeSet<Part>,
    ) -> Result<State<Key, V>, WriteError> {
        self.forget_handles(|part| parts.contains(part));
        let mut present = Vec::with_capacity(parts.len());
        for part in parts {
            let (table, name) = match part {
                Part::Owned(table, chain) => (*table, chain.to_string()),
                Part::Base(table, base) => (*table, base.name().to_owned()),
            };
            let exists = nftables::chain_exists(&mut self.socket, chains::id(table, &name))
                .map_err(|error| reading(&error))?;
            if exists {
                self.known.tables.insert(table);
                present.push(*part);
            }
            if let Part::Base(table, base) = part {
                if exists {
                    self.known.bases.insert((*table, *base));
                } else {
                    self.known.bases.remove(&(*table, *base));
                }
            }
        }
        self.read(&present)
    }

    /// Lists the chains of a family that are ours or hold rules of ours.
    fn list(&mut self, family: Family) -> Result<Vec<Part>, WriteError> {
        for _ in 0..ATTEMPTS {
            let mut parts = Vec::new();
            let mut tables = BTreeSet::new();
            let result = nftables::chains(&mut self.socket, family, |chain| {
                let Some(kind) = Kind::parse(chain.table) else {
                    return;
                };
                let table = Table { family, kind };
                tables.insert(table);
                if let Some(ours) = Chain::parse(chain.name) {
                    parts.push(Part::Owned(table, ours));
                } else if let Some(base) = BaseChain::parse(chain.name)
                    && chain.base.is_some()
                {
                    parts.push(Part::Base(table, base));
                }
            });
            match result {
                Ok(()) => {
                    let bases = parts.iter().filter_map(|part| match part {
                        Part::Base(table, base) => Some((*table, *base)),
                        Part::Owned(..) => None,
                    });
                    self.known.bases.extend(bases);
                    self.known.tables.extend(tables);
                    return Ok(parts);
                }
                Err(Error::Interrupted) => {}
                Err(error) => return Err(reading(&error)),
            }
        }
        Err(reading(&Error::Interrupted))
    }

    fn read<V: From<Object>>(&mut self, parts: &[Part]) -> Result<State<Key, V>, WriteError> {
        let mut observation = Observation::new(self.layout);
        let (mut handles, mut rules) = (Vec::new(), Vec::new());
        for part in parts {
            match part {
                Part::Owned(table, chain) => {
                    self.rules(*table, &chain.to_string(), &mut handles, &mut rules)?;
                    let rules = std::mem::take(&mut rules);
                    if let Some(keys) = observation.chain(*table, *chain, rules) {
                        let handles = handles.iter().copied();
                        self.known.rules.extend(keys.into_iter().zip(handles));
                    }
                }
                Part::Base(table, base) => {
                    self.rules(*table, base.name(), &mut handles, &mut rules)?;
                    for (handle, rule) in handles.iter().zip(&rules) {
                        if let Some(key) = observation.base_rule(*table, *base, rule) {
                            self.known.jumps.insert(key, *handle);
                        }
                    }
                }
            }
        }
        Ok(observation.finish())
    }

    /// Reads a chain's rules with their handles.
    fn rules(
        &mut self,
        table: Table,
        name: &str,
        handles: &mut Vec<u64>,
        rules: &mut Vec<Rule>,
    ) -> Result<(), WriteError> {
        for _ in 0..ATTEMPTS {
            handles.clear();
            rules.clear();
            let mut unreadable = None;
            let (socket, sets) = (&mut self.socket, &mut self.sets);
            let result = nftables::rules(socket, chains::id(table, name), |raw| {
                let set_name = |index| sets.name(index);
                match Rule::decode_with(table.family, raw.attrs.clone(), set_name) {
                    Ok(rule) => {
                        handles.push(raw.handle);
                        rules.push(rule);
                    }
                    Err(error) => unreadable = Some(error),
                }
            });
            self.sets.check()?;
            match (result, unreadable) {
                (Err(Error::Interrupted), _) => {}
                (Err(error), _) => return Err(reading(&error)),
                (Ok(()), Some(error)) => {
                    return Err(WriteError::Failed {
                        operation: format!("reading a rule of {table} {name}"),
                        reason: error.to_string(),
                    });
                }
                (Ok(()), None) => return Ok(()),
            }
        }
        Err(reading(&Error::Interrupted))
    }

    /// Learns the handles of a chain's rules anew.
    pub(super) fn look_up_handles(&mut self, part: Part) -> Result<(), WriteError> {
        self.sets.begin();
        self.forget_handles(|other| *other == part);
        self.read::<Object>(&[part]).map(|_| ())
    }

    fn forget_handles(&mut self, within: impl Fn(&Part) -> bool) {
        self.known.rules.retain(|key, _| !within(&key.part()));
        self.known.jumps.retain(|key, _| !within(&key.part()));
    }
}

fn reading(error: &Error) -> WriteError {
    WriteError::netlink("reading nf_tables chains and rules", error)
}
