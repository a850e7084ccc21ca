//! Reads chains and rules.

use std::collections::BTreeSet;

use netlink_batch::Error;
use nfnetlink::nftables;
use nfnetlink::xtables::Rule;
use viprule_dataplane::netfilter::{Key, Object, Observation, Piece, Table};
use viprule_dataplane::{ObjectKey, State};

use super::{NftWriter, chains};
use crate::WriteError;

/// How often a chain that changes while it is read is read again.
pub(super) const ATTEMPTS: usize = 10;

impl NftWriter {
    pub(super) fn observe_everything<V: From<(Key, Object)>>(
        &mut self,
    ) -> Result<State<Key, V>, WriteError> {
        self.known = super::Known::default();
        let mut pieces = Vec::new();
        for family in self.families.clone() {
            let listed = self.list(family)?;
            self.known.bases.extend(listed.bases());
            self.known.tables.extend(listed.tables());
            pieces.extend(listed.pieces);
        }
        self.read(&pieces)
    }

    pub(super) fn observe_pieces<V: From<(Key, Object)>>(
        &mut self,
        pieces: &BTreeSet<Piece>,
    ) -> Result<State<Key, V>, WriteError> {
        self.forget_handles(|piece| pieces.contains(piece));
        let mut present = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let (table, name) = place(piece);
            let id = chains::id(table, &name);
            let found =
                nftables::find_chain(&mut self.committer.socket, id, |chain| chain.base.is_some());
            let is_base = found.map_err(reading)?;
            if is_base.is_some() {
                self.known.tables.insert(table);
            }
            // A base chain with one of our names is another program's.
            let exists = is_base == Some(matches!(piece, Piece::Base(..)));
            if exists {
                present.push(*piece);
            }
            if let Piece::Base(table, base) = piece {
                if exists {
                    self.known.bases.insert((*table, *base));
                } else {
                    self.known.bases.remove(&(*table, *base));
                }
            }
        }
        self.read(&present)
    }

    fn read<V: From<(Key, Object)>>(
        &mut self,
        pieces: &[Piece],
    ) -> Result<State<Key, V>, WriteError> {
        let mut observation = Observation::new(self.layout);
        let (mut handles, mut rules) = (Vec::new(), Vec::new());
        for piece in pieces {
            match piece {
                Piece::Owned(table, chain) => {
                    self.rules(piece, &mut handles, &mut rules)?;
                    let rules = std::mem::take(&mut rules);
                    if let Some(keys) = observation.chain(*table, *chain, rules) {
                        let handles = handles.iter().copied();
                        self.known.rules.extend(keys.into_iter().zip(handles));
                    }
                }
                Piece::Base(table, base) => {
                    self.rules(piece, &mut handles, &mut rules)?;
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
    ///
    /// The kernel says that the dump was interrupted whatever was committed meanwhile. It counts
    /// rules of this chain only to find where to go on, so what it handed out is right as long as
    /// this chain was not touched.
    fn rules(
        &mut self,
        piece: &Piece,
        handles: &mut Vec<u64>,
        rules: &mut Vec<Rule>,
    ) -> Result<(), WriteError> {
        let (table, name) = place(piece);
        for _ in 0..ATTEMPTS {
            handles.clear();
            rules.clear();
            let mut unreadable = None;
            self.committer.watch.heard.begin_reading();
            let (socket, sets) = (&mut self.committer.socket, &mut self.sets);
            let result = nftables::rules(socket, chains::id(table, &name), |raw| {
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
            match result {
                Ok(()) => {}
                Err(Error::Interrupted) => {
                    self.committer.watch.absorb()?;
                    if self.committer.watch.heard.touched_meanwhile(piece) {
                        continue;
                    }
                }
                Err(error) => return Err(reading(error)),
            }
            return match unreadable {
                Some(error) => Err(WriteError::failed(
                    format!("reading a rule of {table} {name}"),
                    error,
                )),
                None => Ok(()),
            };
        }
        Err(reading(Error::Interrupted))
    }

    /// Learns the handles of a chain's rules anew.
    pub(super) fn look_up_handles(&mut self, piece: Piece) -> Result<(), WriteError> {
        self.sets.begin();
        self.forget_handles(|other| *other == piece);
        self.read::<Object>(&[piece]).map(|_| ())
    }

    fn forget_handles(&mut self, within: impl Fn(&Piece) -> bool) {
        self.known.rules.retain(|key, _| !within(&key.piece()));
        self.known.jumps.retain(|key, _| !within(&key.piece()));
    }
}

fn place(piece: &Piece) -> (Table, String) {
    match piece {
        Piece::Owned(table, chain) => (*table, chain.to_string()),
        Piece::Base(table, base) => (*table, base.name().to_owned()),
    }
}

pub(super) fn reading(error: Error) -> WriteError {
    WriteError::netlink("reading nf_tables chains and rules", error)
}
