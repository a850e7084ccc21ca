//! Reads our tables.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use netlink_batch::{Error, Socket};
use nfnetlink::Family;
use nfnetlink::nftables::native::{
    self, Base, Rule, TableFlags, TableId, elements, find_set, sets,
};
use nfnetlink::nftables::{self, find_chain};
use viprule_dataplane::nftables::{
    BaseChain, Chain, FrontendSet, Key, Object, Observation, Piece, Row, Set, SetName, TABLE,
};
use viprule_dataplane::{Fingerprint, State};

use super::{NftablesWriter, Specs};
use crate::{WriteError, clock};

/// How often what changes while it is read is read again.
const ATTEMPTS: u32 = 10;
/// How long is waited before elements are read again that don't add up: the kernel's hash table is
/// growing.
const GROWING: Duration = Duration::from_millis(2);

pub(super) const fn table(family: Family) -> TableId<'static> {
    TableId {
        family,
        name: TABLE,
    }
}

/// A set of ours, as a list of them told.
struct Found {
    set: Set,
    count: Option<u32>,
}

impl NftablesWriter {
    pub(super) fn observe_everything<V: From<(Key, Object)>>(
        &mut self,
    ) -> Result<State<Key, V>, WriteError> {
        let mut observation = Observation::new();
        for family in self.families.clone() {
            if !self.read_table(family, &mut observation)? {
                continue;
            }
            let found = self.read_sets(family, &mut observation)?;
            for found in &found {
                self.read_elements(found, &mut observation)?;
            }
            // Those for a timeout of session affinity are there with its set, or with its rule.
            let timeouts = found.iter().filter_map(|found| match found.set.name {
                SetName::Frontends {
                    of: FrontendSet::Sticky(seconds),
                    ..
                } => Some(seconds),
                _ => None,
            });
            let timeouts: BTreeSet<u32> = timeouts.collect();
            let sticky = timeouts
                .into_iter()
                .flat_map(|seconds| Row::all().map(move |row| Chain::StickyFor { row, seconds }));
            let chains = Chain::all().chain(sticky).map(|chain| chain.to_string());
            let bases = BaseChain::ALL.iter().map(ToString::to_string);
            for name in chains.chain(bases) {
                self.read_chain(family, &name, &mut observation)?;
            }
        }
        Ok(self.finish_observation(observation))
    }

    pub(super) fn observe_pieces<V: From<(Key, Object)>>(
        &mut self,
        pieces: &BTreeSet<Piece>,
    ) -> Result<State<Key, V>, WriteError> {
        let mut observation = Observation::new();
        for piece in pieces {
            match *piece {
                Piece::Table(family) => {
                    self.read_table(family, &mut observation)?;
                }
                Piece::Set(set) => {
                    let name = set.name.to_string();
                    let found = find_set(
                        &mut self.committer.socket,
                        table(set.family),
                        &name,
                        |listed| (listed.set, listed.count),
                    );
                    if let Some((spec, count)) = found.map_err(reading)?
                        && let Some(set) = observation.set(set.family, &spec)
                    {
                        self.read_elements(&Found { set, count }, &mut observation)?;
                    }
                }
                Piece::Chain(family, chain) => {
                    self.read_chain(family, &chain.to_string(), &mut observation)?;
                }
                Piece::BaseChain(family, chain) => {
                    self.read_chain(family, &chain.to_string(), &mut observation)?;
                }
            }
        }
        Ok(observation.finish())
    }

    fn finish_observation<V: From<(Key, Object)>>(
        &mut self,
        observation: Observation<V>,
    ) -> State<Key, V> {
        self.unusable = observation.unusable().collect();
        observation.finish()
    }

    /// False where there is no such table.
    fn read_table<V: From<(Key, Object)>>(
        &mut self,
        family: Family,
        observation: &mut Observation<V>,
    ) -> Result<bool, WriteError> {
        let socket = &mut self.committer.socket;
        let found = nftables::find_table(socket, family, TABLE, |table| table.flags);
        let flags = found.map_err(reading)?.map(TableFlags::of_bits);
        if let Some(flags) = flags {
            observation.table(family, flags);
        }
        Ok(flags.is_some())
    }

    /// Reads sets without their elements. Returns those whose elements are ours.
    fn read_sets<V: From<(Key, Object)>>(
        &mut self,
        family: Family,
        observation: &mut Observation<V>,
    ) -> Result<Vec<Found>, WriteError> {
        for _ in 0..ATTEMPTS {
            let mut listed = Vec::new();
            self.committer.watch.heard.begin_reading();
            let result = sets(&mut self.committer.socket, table(family), |found| {
                listed.push((found.set, found.count));
            });
            match result {
                Ok(()) => {}
                // What is committed to other tables moves none of ours in the list.
                Err(Error::Interrupted) => {
                    self.committer.watch.absorb()?;
                    if self
                        .committer
                        .watch
                        .heard
                        .contents_changed_meanwhile(family)
                    {
                        continue;
                    }
                }
                Err(error) => return Err(reading(error)),
            }
            let found = listed.into_iter().filter_map(|(spec, count)| {
                let set = observation.set(family, &spec)?;
                Some(Found { set, count })
            });
            return Ok(found.collect());
        }
        Err(reading(Error::Interrupted))
    }

    /// Reads the elements of a set.
    ///
    /// While the kernel's hash table grows a list of them may have one twice and lack another one, and
    /// nothing says so. So there have to be as many as the set says; where it says nothing, two lists
    /// have to tell the same.
    fn read_elements<V: From<(Key, Object)>>(
        &mut self,
        found: &Found,
        observation: &mut Observation<V>,
    ) -> Result<(), WriteError> {
        if found.count == Some(0) {
            return Ok(());
        }
        let (set, mut count) = (found.set, found.count);
        let spec = spec(&mut self.specs, set);
        let start = observation.len();
        let (mut seen, mut before) = (HashSet::new(), None);
        for attempt in 0..ATTEMPTS {
            self.committer.watch.heard.begin_reading();
            let mut listed = 0_usize;
            let socket = &mut self.committer.socket;
            let result = elements(socket, table(set.family), spec, |element| {
                listed += 1;
                let native = &element.element;
                if seen.insert(Fingerprint::of(&(&native.key, &native.end))) {
                    observation.element(set, &element);
                }
            });
            match result {
                Ok(()) => {}
                // Commits elsewhere do not matter to this list.
                Err(Error::Interrupted) => {
                    self.committer.watch.absorb()?;
                    if self
                        .committer
                        .watch
                        .heard
                        .touched_meanwhile(&Piece::Set(set))
                    {
                        observation.truncate(start);
                        seen.clear();
                        (count, before) = (count_of(&mut self.committer.socket, set)?, None);
                        continue;
                    }
                }
                Err(error) => return Err(reading(error)),
            }
            let complete = match count {
                Some(count) => seen.len() >= usize::try_from(count).unwrap_or(usize::MAX),
                None => before.replace(seen.len()) == Some(seen.len()) && listed == seen.len(),
            };
            if complete {
                return Ok(());
            }
            clock::sleep(GROWING * attempt);
        }
        // Elements of others that have ended count, but are not told.
        Ok(())
    }

    fn read_chain<V: From<(Key, Object)>>(
        &mut self,
        family: Family,
        name: &str,
        observation: &mut Observation<V>,
    ) -> Result<(), WriteError> {
        let rules = self.rules(family, name)?;
        let rules: Vec<Rule> = rules.into_iter().map(|(_, rule)| rule).collect();
        // Whatever the rules are: the kernel lets none lead to a chain with a hook, and somebody may
        // have made one with a name of ours before us.
        let id = table(family).chain(name);
        let socket = &mut self.committer.socket;
        let found = find_chain(socket, id, |chain| chain.base.and_then(Base::of));
        if let Some(base) = found.map_err(reading)? {
            observation.chain(family, name, base, rules);
        }
        Ok(())
    }

    /// The rules of a chain with their handles.
    pub(super) fn rules(
        &mut self,
        family: Family,
        name: &str,
    ) -> Result<Vec<(u64, Rule)>, WriteError> {
        let id = table(family).chain(name);
        for _ in 0..ATTEMPTS {
            let (mut rules, mut unreadable) = (Vec::new(), None);
            self.committer.watch.heard.begin_reading();
            let result = nftables::rules(&mut self.committer.socket, id, |raw| {
                match Rule::read(family, &raw) {
                    Ok(rule) => rules.push((raw.handle, rule)),
                    Err(error) => unreadable = Some(error),
                }
            });
            match result {
                Ok(()) => {}
                // The kernel counts rules of this chain only to find where to go on.
                Err(Error::Interrupted) => {
                    self.committer.watch.absorb()?;
                    let base = BaseChain::parse(name).map(|chain| Piece::BaseChain(family, chain));
                    let piece = base
                        .or_else(|| Chain::parse(name).map(|chain| Piece::Chain(family, chain)));
                    let heard = &self.committer.watch.heard;
                    if piece.is_some_and(|piece| heard.touched_meanwhile(&piece)) {
                        continue;
                    }
                }
                Err(error) => return Err(reading(error)),
            }
            if let Some(error) = unreadable {
                let operation = format!("reading a rule of chain {family} {TABLE} {name}");
                return Err(WriteError::failed(operation, error));
            }
            return Ok(rules);
        }
        Err(reading(Error::Interrupted))
    }
}

/// What a set is made with.
pub(super) fn spec(specs: &mut Specs, set: Set) -> &native::Set {
    specs.entry(set).or_insert_with(|| set.spec())
}

/// How many elements a set has, where the kernel tells.
fn count_of(socket: &mut Socket, set: Set) -> Result<Option<u32>, WriteError> {
    let name = set.name.to_string();
    let found = find_set(socket, table(set.family), &name, |listed| listed.count);
    Ok(found.map_err(reading)?.flatten())
}

pub(super) fn reading(error: Error) -> WriteError {
    WriteError::netlink("reading our nf_tables", error)
}
