//! From messages to the kernel, and what it said.

use std::collections::BTreeSet;

use netlink_batch::Errno;
use nfnetlink::nftables::{self, CommitError, Position};
use nfnetlink::xtables::Rule;
use viprule_dataplane::ObjectKey;
use viprule_dataplane::netfilter::{BaseChain, Key, Part, Table};
use viprule_dataplane::ownership::Chain;

use super::{NftWriter, chains, rivals};
use crate::netfilter::order::{self, Beside};
use crate::{ApplyError, Refusal, Tag, WriteError};

/// Size of a part while nothing leads to our chains yet, bytes: keeps memory small, and the
/// kernel's commit lock free for others every now and then.
const UNLINKED_PART: usize = 4 << 20;
/// Size of a part otherwise, bytes: the kernel validates everything reachable with each part.
const LINKED_PART: usize = 16 << 20;

/// Largest transaction that we listen during, bytes: the kernel puts each of its messages into words
/// then, and keeps them until all are done.
const LISTENED_TO: usize = 32 << 10;
/// How often a transaction is sent pinned. Beside somebody who commits without a pause no pinned
/// one may ever be in time.
const PINNED_TRIES: usize = 16;

impl NftWriter {
    /// The largest part to send.
    pub(super) fn part_limit(&self) -> usize {
        let wanted = if self.known.linked() {
            LINKED_PART
        } else {
            UNLINKED_PART
        };
        wanted
            .min(self.socket.send_capacity())
            .min(self.largest_part)
    }

    /// Adds what comes last and sends it all.
    pub(super) fn finish(&mut self) -> Result<(), ApplyError<Part>> {
        self.stage_jumps()?;
        self.stage_deletes()?;
        self.send()
    }

    /// Sends what is staged so far as one transaction. What others commit meanwhile elsewhere costs
    /// no more than another try.
    ///
    /// Where they never pause, or were in between while nobody listened, it is sent to be applied to
    /// whatever is there: it makes, flushes and deletes what has names of ours, so nothing else can be
    /// hit. What others did to that just before is heard afterwards, or counts as unknown, and is put
    /// right then. A rule that goes from a built-in chain is the exception: handles count anew in a
    /// table that was made again, so its handle may be another program's rule by now.
    pub(super) fn send(&mut self) -> Result<(), ApplyError<Part>> {
        if self.transaction.is_empty() {
            return Ok(());
        }
        for tried in 0.. {
            self.watch.absorb(&mut self.socket)?;
            if !(self.staged.unheard || self.watch.touched().is_empty()) {
                return Err(self.foreign());
            }
            let may_unpin = tried >= PINNED_TRIES || self.staged.unheard;
            let pinned = self.staged.in_shared || !may_unpin;
            let bytes = self.transaction.len();
            match self.try_to_send(pinned)? {
                Ok(handles) => {
                    self.staged.written.transactions += 1;
                    self.staged.written.bytes += bytes;
                    self.settle(handles);
                    break;
                }
                Err(CommitError::GenerationMoved) if pinned => {
                    self.staged.unheard = bytes > LISTENED_TO;
                    if self.staged.in_shared && (self.staged.unheard || tried >= PINNED_TRIES) {
                        let error = CommitError::<Tag>::GenerationMoved;
                        return Err(ApplyError::Unknown(error.to_string()));
                    }
                }
                Err(error) if pinned => return Err(self.refused(error)),
                Err(error) => {
                    let error = of_itself(error);
                    if is_of_others(&error) {
                        self.watch.absorb(&mut self.socket)?;
                        if !self.watch.touched().is_empty() {
                            return Err(self.foreign());
                        }
                    }
                    return Err(self.refused(error));
                }
            }
        }
        self.check_sets()
    }

    /// Returns the handles that the kernel told, or what it says against the transaction.
    fn try_to_send(
        &mut self,
        pinned: bool,
    ) -> Result<Result<Vec<u64>, CommitError<Tag>>, WriteError> {
        let before = self.watch.generation();
        if pinned {
            self.transaction.pin(before);
        } else {
            self.transaction.unpin();
        }
        let mut listens = None;
        let quiet = self.transaction.len() > LISTENED_TO;
        if quiet {
            self.watch.pause()?;
        }
        let (transaction, watch) = (&mut self.transaction, &mut self.watch);
        // At once, before somebody who waited for our commit to end tells what theirs does.
        let result = transaction.commit_then(&mut self.socket, || {
            if quiet {
                listens = Some(watch.listen_again());
            }
        });
        let made = match &result {
            Ok(committed) => committed.generation,
            Err(CommitError::Refused { generation, .. }) => *generation,
            Err(CommitError::TooLarge { .. } | CommitError::NotSent(_)) => Some(before),
            Err(CommitError::GenerationMoved | CommitError::Unknown) => None,
        };
        // Unpinned, others may have been in between, whom nobody heard.
        let made = made.filter(|_| pinned || !quiet);
        let result = result.map(|committed| {
            let echoes: Vec<u64> = committed.echoes.iter().map(|echo| echo.handle).collect();
            if committed.echoes_lost {
                Vec::new()
            } else {
                echoes
            }
        });
        if quiet && listens.is_none() {
            listens = Some(self.watch.listen_again());
        }
        self.watch.committed(made, listens.transpose()?);
        Ok(result)
    }

    /// Others touched what is ours: where parts were sent before, those are not in anybody's
    /// books yet.
    fn foreign(&self) -> ApplyError<Part> {
        if self.staged.written.transactions > 0 {
            ApplyError::Unknown("others changed the rule set between two parts".to_owned())
        } else {
            ApplyError::Foreign(self.watch.touched().clone())
        }
    }

    fn refused(&mut self, error: CommitError<Tag>) -> ApplyError<Part> {
        let partly = self.staged.written.transactions > 0;
        let refused = |refusals| ApplyError::Refused { refusals, partly };
        match error {
            CommitError::GenerationMoved | CommitError::Unknown => {
                ApplyError::Unknown(error.to_string())
            }
            CommitError::Refused { refusals, .. } => refused(
                refusals
                    .into_iter()
                    .map(|refusal| Refusal {
                        tag: refusal.tag,
                        reason: self.reason(&refusal),
                    })
                    .collect(),
            ),
            // Only one object alone can be larger than a part.
            CommitError::TooLarge { .. } => refused(vec![Refusal {
                tag: self.staged.last_tag,
                reason: error.to_string(),
            }]),
            CommitError::NotSent(error) => {
                WriteError::netlink("committing to nf_tables", &error).into()
            }
        }
    }

    /// Why something was refused, with what the kernel leaves unsaid.
    fn reason(&mut self, refusal: &nftables::Refusal<Tag>) -> String {
        let jump = refusal.subject.as_ref();
        let jump = jump.filter(|it| rivals::is_jump_to_base(it, refusal.errno));
        match jump.and_then(|jump| self.base_chains(jump)) {
            Some(why) => format!("{refusal}; {why}"),
            None => refusal.to_string(),
        }
    }

    /// Takes over what the part that was just sent has made and removed.
    fn settle(&mut self, handles: Vec<u64>) {
        let staged = &mut self.staged;
        staged.in_shared = false;
        self.known.tables.append(&mut staged.tables);
        self.known.bases.append(&mut staged.bases);
        for key in staged.gone.drain(..) {
            self.known.forget(&key);
        }
        for (key, handle) in staged.echoes.drain(..).zip(handles) {
            self.known.remember(key, handle);
        }
        self.transaction.begin(Some(self.watch.generation()));
    }

    fn stage_jumps(&mut self) -> Result<(), ApplyError<Part>> {
        let jumps = std::mem::take(&mut self.staged.jumps);
        for ((tag, key, rule), place) in order::beside(jumps, &self.known.jumps) {
            let position = match place {
                Beside::Head => Position::Head,
                Beside::Before(next) => Position::Before(next),
                Beside::Behind(previous) => Position::After(previous),
            };
            self.stage_jump(tag, key, position, &rule)?;
        }
        Ok(())
    }

    fn stage_jump(
        &mut self,
        tag: Tag,
        key: Key,
        position: Position,
        rule: &Rule,
    ) -> Result<(), ApplyError<Part>> {
        let Key::Jump { table, base, .. } = key else {
            return Ok(());
        };
        self.stage_base(tag, table, base)?;
        self.add_rule(tag, key, base.name(), position, rule)
    }

    fn stage_base(
        &mut self,
        tag: Tag,
        table: Table,
        base: BaseChain,
    ) -> Result<(), ApplyError<Part>> {
        let place = (table, base);
        if self.known.bases.contains(&place) || self.staged.bases.contains(&place) {
            return Ok(());
        }
        self.fit(tag, |transaction, staged| {
            let hook = chains::hook(table, base);
            transaction.new_base_chain(chains::id(table, base.name()), hook);
            staged.bases.insert(place);
        })
    }

    fn stage_deletes(&mut self) -> Result<(), ApplyError<Part>> {
        let deletes = std::mem::take(&mut self.staged.deletes);
        let chains = order::dying(&deletes);
        self.look_up_unknown(&deletes, &chains)?;
        for (tag, key) in deletes {
            match key {
                Key::Chain { table, chain } => {
                    let name = chain.to_string();
                    self.fit(tag, |transaction, _| {
                        transaction.flush_chain(chains::id(table, &name));
                        transaction.delete_chain(chains::id(table, &name));
                    })?;
                }
                // Goes with its chain.
                Key::Rule { table, chain, .. } if chains.contains(&(table, chain)) => {
                    self.staged.gone.push(key);
                }
                Key::Rule { .. } | Key::Jump { .. } => {
                    let Some(handle) = self.known.handle(&key) else {
                        continue;
                    };
                    let name = key.chain_name();
                    self.fit(tag, |transaction, staged| {
                        transaction.delete_rule(chains::id(key.table(), &name), handle);
                        staged.in_shared |= matches!(key, Key::Jump { .. });
                        staged.gone.push(key);
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Learns the handles of what is to be deleted by handle, where they aren't known.
    fn look_up_unknown(
        &mut self,
        deletes: &[(Tag, Key)],
        chains: &BTreeSet<(Table, Chain)>,
    ) -> Result<(), ApplyError<Part>> {
        let goes_with_chain = |key: &Key| matches!(key, Key::Rule { table, chain, .. } if chains.contains(&(*table, *chain)));
        let unknown: BTreeSet<Part> = deletes
            .iter()
            .map(|(_, key)| key)
            .filter(|key| !matches!(key, Key::Chain { .. }))
            .filter(|key| self.known.handle(key).is_none() && !goes_with_chain(key))
            .map(ObjectKey::part)
            .collect();
        for part in unknown {
            self.look_up_handles(part)?;
        }
        Ok(())
    }
}

/// True for what the kernel may say for the sake of what others did just before: something is there
/// already, is there no more, or is in use.
fn is_of_others(error: &CommitError<Tag>) -> bool {
    match error {
        CommitError::Refused { refusals, .. } => {
            refusals.iter().all(|it| found_otherwise(it.errno))
        }
        CommitError::GenerationMoved | CommitError::Unknown => true,
        CommitError::TooLarge { .. } | CommitError::NotSent(_) => false,
    }
}

/// Of refusals those that are about the objects themselves, where there are any: the others may
/// follow from them, or be for the sake of what others did.
fn of_itself(error: CommitError<Tag>) -> CommitError<Tag> {
    match error {
        CommitError::Refused {
            mut refusals,
            generation,
        } if refusals.iter().any(|it| !found_otherwise(it.errno)) => {
            refusals.retain(|it| !found_otherwise(it.errno));
            CommitError::Refused {
                refusals,
                generation,
            }
        }
        error => error,
    }
}

fn found_otherwise(errno: Errno) -> bool {
    [Errno::NOENT, Errno::EXIST, Errno::BUSY].contains(&errno)
}
