//! One transaction after the other, and what follows from the kernel's answers.

use std::collections::{BTreeMap, HashMap};

use viprule_dataplane::{
    Content as _, Dataplane, Diff, Fingerprint, NodeEffect, ObjectKey as _, RuleCounts, Scope,
    State, diff,
};
use viprule_writer::{ApplyError, PartOf, Refusal, Tag};

use super::Unfinished;
use super::pieces::Piece;
use crate::ledger::Note;
use crate::listener::tell;
use crate::part;
use crate::{FragmentId, Report, SyncError, Syncer, Touched, WriterFor};

/// What is staged in one transaction.
#[derive(Debug)]
struct Transaction<K> {
    fragments: Vec<Written<K>>,
    /// Objects that belong to no fragment, to be removed.
    orphans: Vec<K>,
    /// What is written already of what several fragments may want: keys and contents.
    written: HashMap<Fingerprint, Fingerprint>,
    /// What fragments let go and others may want.
    released: BTreeMap<K, Released>,
    /// What follows from fragments' having taken orphans over.
    effect: NodeEffect,
    /// So many of the fragments, the first ones, the dataplane takes for written.
    settled: usize,
}

/// An object that fragments of a transaction let go.
#[derive(Debug)]
struct Released {
    content: Fingerprint,
    /// How many of them.
    fragments: u32,
    /// The first one.
    tag: Tag,
    /// Its place in the transaction.
    at: usize,
}

/// A fragment that is staged.
#[derive(Debug)]
struct Written<K> {
    id: FragmentId,
    digest: State<K, Fingerprint>,
    note: Note,
    touched: Touched,
    rules: RuleCounts,
    /// It is all that the fragment shall be.
    finished: bool,
}

impl<K> Default for Transaction<K> {
    fn default() -> Self {
        Self {
            fragments: Vec::new(),
            orphans: Vec::new(),
            written: HashMap::new(),
            released: BTreeMap::new(),
            effect: NodeEffect::Nothing,
            settled: 0,
        }
    }
}

impl<D: Dataplane, W: WriterFor<D>> Syncer<D, W> {
    /// Tries to write these pieces. Afterwards they are written, or set aside because the kernel
    /// refuses them, or still owed and an attempt was used up.
    pub(crate) fn write(
        &mut self,
        pieces: &[Piece<D::Key>],
        attempts: &mut usize,
    ) -> Result<Report, SyncError> {
        match self.attempt(pieces) {
            Ok(report) => Ok(report),
            Err(ApplyError::Failed(error)) => Err(error.into()),
            Err(ApplyError::Foreign(scope)) => self.look_again(&scope, attempts),
            Err(ApplyError::Unknown(reason)) => {
                tracing::warn!(%reason, "looking at the kernel again");
                self.look_again(&Scope::Everything, attempts)
            }
            Err(ApplyError::Refused { refusals, partly }) => {
                if partly {
                    self.look(&Scope::Everything)?;
                }
                if self.learn_lacking() {
                    return Ok(Report::default());
                }
                if self.set_aside(pieces, &refusals)? {
                    // The rest is still owed.
                    return Ok(Report::default());
                }
                let first = refusals.first();
                let reason = first.map_or("no reason given", |refusal| &refusal.reason);
                self.bisect(pieces, reason, attempts)
            }
        }
    }

    fn look_again(
        &mut self,
        scope: &Scope<PartOf<W>>,
        attempts: &mut usize,
    ) -> Result<Report, SyncError> {
        *attempts = attempts.checked_sub(1).ok_or(SyncError::Contended)?;
        self.look(scope)?;
        Ok(Report::default())
    }

    /// Puts out of the way what the kernel says that it refused. Returns false where it did not
    /// say.
    fn set_aside(
        &mut self,
        pieces: &[Piece<D::Key>],
        refusals: &[Refusal],
    ) -> Result<bool, SyncError> {
        let mut told_apart = false;
        for Refusal { tag, reason } in refusals {
            let at = tag.and_then(|Tag(tag)| usize::try_from(tag).ok());
            if let Some(piece) = at.and_then(|at| pieces.get(at)) {
                told_apart |= self.set_one_aside(piece, reason)?;
            }
        }
        Ok(told_apart)
    }

    /// Returns false where it was set aside before.
    fn set_one_aside(&mut self, piece: &Piece<D::Key>, reason: &str) -> Result<bool, SyncError> {
        match piece {
            Piece::Fragment(id @ FragmentId::Service(service))
            | Piece::Part(id @ FragmentId::Service(service), _) => {
                self.owed.remove(id);
                if self.tracker().service(service).is_none() {
                    // What is left of it is removed object by object.
                    self.ledger.enter(id, &Note::Service(None));
                    self.departed.insert(service.clone());
                    let left = self.books.disown(id);
                    tell(&mut self.listener, id, &left, &State::default());
                    if !D::ATOMIC {
                        let effect = self.dataplane.settled(&left, &State::default());
                        self.owe_for(effect);
                    }
                    return Ok(!left.is_empty());
                }
                if let Some(cleaner) = &self.cleaner {
                    cleaner.withdraw(service);
                }
                let reason = reason.to_owned();
                let before = self.quarantined.insert(service.clone(), reason.clone());
                self.keep(id);
                if before.is_none() {
                    tracing::error!(%service, reason, "quarantined: the kernel refuses its rules; what it had before stays");
                }
                Ok(before.is_none())
            }
            Piece::Fragment(id) | Piece::Part(id, _) => Err(SyncError::Refused {
                share: id.clone(),
                reason: reason.to_owned(),
            }),
            Piece::Orphan(key) => {
                let before = self.stuck.insert((**key).clone(), reason.to_owned());
                if before.is_none() {
                    tracing::warn!(object = %key, reason, "the kernel won't let it go");
                }
                Ok(before.is_none())
            }
        }
    }

    /// Finds what the kernel refused by halves.
    fn bisect(
        &mut self,
        pieces: &[Piece<D::Key>],
        reason: &str,
        attempts: &mut usize,
    ) -> Result<Report, SyncError> {
        match pieces {
            [] => Ok(Report::default()),
            [only] => self.set_one_aside(only, reason).map(|_| Report::default()),
            _ => {
                let (first, second) = pieces.split_at(pieces.len() / 2);
                let mut report = self.write(first, attempts)?;
                report.join(self.write(second, attempts)?);
                Ok(report)
            }
        }
    }

    /// One transaction.
    fn attempt(&mut self, pieces: &[Piece<D::Key>]) -> Result<Report, ApplyError<PartOf<W>>> {
        let mut transaction = Transaction::default();
        match self.send(pieces, &mut transaction) {
            Ok(mut report) => {
                self.settle(transaction, &mut report);
                Ok(report)
            }
            Err(error) => {
                self.unsettle(&transaction);
                Err(error)
            }
        }
    }

    fn send(
        &mut self,
        pieces: &[Piece<D::Key>],
        transaction: &mut Transaction<D::Key>,
    ) -> Result<Report, ApplyError<PartOf<W>>> {
        let mut report = Report::default();
        for (at, piece) in pieces.iter().enumerate() {
            let tag = Tag(u32::try_from(at).unwrap_or(u32::MAX));
            match piece {
                Piece::Fragment(id) if self.owed.contains(id) => {
                    if *id == FragmentId::Links {
                        self.settle_early(transaction);
                    }
                    let written = self.stage_fragment(tag, id, None, transaction)?;
                    report.rules += written.rules;
                    transaction.fragments.push(written);
                }
                Piece::Part(id, steps) if self.owed.contains(id) => {
                    let written = self.stage_fragment(tag, id, Some(*steps), transaction)?;
                    report.rules += written.rules;
                    transaction.fragments.push(written);
                }
                Piece::Orphan(key) if !self.stuck.contains_key(&**key) => {
                    // Adopted by a fragment meanwhile, or gone.
                    let Some(print) = self.books.orphans().get(&**key) else {
                        continue;
                    };
                    let deletes = vec![(&**key, print)];
                    let writes = Vec::new();
                    self.writer.stage(tag, &Diff { writes, deletes })?;
                    transaction.orphans.push((**key).clone());
                }
                Piece::Fragment(_) | Piece::Part(..) | Piece::Orphan(_) => {}
            }
        }
        self.stage_released(transaction)?;
        self.announce_flows(&transaction.fragments);
        let sent = self.writer.commit()?;
        report.transactions = sent.transactions;
        report.bytes = sent.bytes;
        Ok(report)
    }

    /// Renders the links as for what stands before them in the transaction.
    fn settle_early(&mut self, transaction: &mut Transaction<D::Key>) {
        if D::ATOMIC {
            return;
        }
        let nothing = State::default();
        for Written { id, digest, .. } in &transaction.fragments {
            let before = self.books.own(id).unwrap_or(&nothing);
            self.dataplane.settled(before, digest);
        }
        transaction.settled = transaction.fragments.len();
        transaction.effect = NodeEffect::Nothing;
    }

    /// A transaction failed.
    fn unsettle(&mut self, transaction: &Transaction<D::Key>) {
        let (nothing, mut effect) = (State::default(), NodeEffect::Nothing);
        for Written { id, digest, .. } in &transaction.fragments[..transaction.settled] {
            let before = self.books.own(id).unwrap_or(&nothing);
            effect = effect.max(self.dataplane.settled(digest, before));
        }
        self.owe_for(effect);
    }

    /// Stages what turns a fragment into what it shall be, or so many steps of that, but for the removal
    /// of what others may want as well.
    fn stage_fragment(
        &mut self,
        tag: Tag,
        id: &FragmentId,
        steps: Option<usize>,
        transaction: &mut Transaction<D::Key>,
    ) -> Result<Written<D::Key>, ApplyError<PartOf<W>>> {
        let begun = self.unfinished.take_if(|it| it.id == *id);
        let Unfinished {
            desired,
            digest,
            note,
            ..
        } = begun.unwrap_or_else(|| self.begin(id));
        let (held, adopted) = self.books.held(id, &desired);
        transaction.effect = transaction.effect.max(self.adopted(&adopted));
        let mut written = Written {
            touched: Touched::nothing(id.to_string()),
            id: id.clone(),
            digest,
            note,
            rules: RuleCounts::default(),
            finished: true,
        };
        // A start on a kernel that has it all should cost no more than looking.
        if held != written.digest {
            let mut diff = part::with_contents(diff(&held, &written.digest), &desired);
            let mut after = None;
            if let Some(steps) = steps
                && part::cut(&mut diff, steps, |key, object| {
                    D::rules(key, object).total()
                })
            {
                let nothing = State::default();
                let own = self.books.own(id).unwrap_or(&nothing);
                after = Some(part::after(own, &held, &written.digest, &diff));
            }
            diff.writes.retain(|write| {
                let common = write.key.is_common();
                !common || {
                    let (key, content) = (Fingerprint::of(write.key), write.new.fingerprint());
                    transaction.written.insert(key, content) != Some(content)
                }
            });
            let at = transaction.fragments.len();
            diff.deletes.retain(|(key, content)| {
                let common = key.is_common();
                if common {
                    let released = transaction.released.entry((*key).clone());
                    let released = released.or_insert(Released {
                        content: **content,
                        fragments: 0,
                        tag,
                        at,
                    });
                    released.fragments += 1;
                }
                !common
            });
            written.touched = touched(id.to_string(), &diff);
            written.rules = rules::<D>(diff.writes.iter().map(|it| (it.key, it.new)));
            if !diff.is_empty() {
                self.writer.stage(tag, &diff)?;
            }
            if let Some(after) = after {
                written.finished = false;
                self.unfinished = Some(Unfinished {
                    id: id.clone(),
                    desired,
                    digest: std::mem::replace(&mut written.digest, after),
                    note: written.note.clone(),
                });
            }
        }
        Ok(written)
    }

    fn begin(&self, id: &FragmentId) -> Unfinished<D::Key, D::Object> {
        let (desired, note) = self.render(id);
        Unfinished {
            id: id.clone(),
            digest: desired.fingerprints(),
            desired,
            note,
        }
    }

    /// Stages the removal of what fragments of this transaction let go and no other one has.
    fn stage_released(
        &mut self,
        transaction: &mut Transaction<D::Key>,
    ) -> Result<(), ApplyError<PartOf<W>>> {
        let mut released = std::mem::take(&mut transaction.released);
        if released.is_empty() {
            return Ok(());
        }
        for Written { digest, .. } in &transaction.fragments {
            for (key, _) in digest.iter().filter(|(key, _)| key.is_common()) {
                released.remove(key);
            }
        }
        released.retain(|key, released| {
            self.books.holders(key) <= released.fragments && !self.stays(key)
        });
        let is_spared = |key: &D::Key| {
            let whole = D::whole(key);
            self.dataplane.spares(key) && whole.is_none_or(|whole| released.contains_key(&whole))
        };
        let kept: Vec<D::Key> = released
            .keys()
            .filter(|key| is_spared(key))
            .cloned()
            .collect();
        for key in &kept {
            released.remove(key);
        }
        for (key, released) in released.iter().rev() {
            let deletes = vec![(key, &released.content)];
            let writes = Vec::new();
            self.writer.stage(released.tag, &Diff { writes, deletes })?;
            transaction.fragments[released.at].touched.removed += 1;
        }
        Ok(())
    }

    /// A transaction was committed.
    fn settle(&mut self, transaction: Transaction<D::Key>, report: &mut Report) {
        let nothing = State::default();
        let mut effect = transaction.effect;
        self.committed += 1;
        for (at, written) in transaction.fragments.into_iter().enumerate() {
            let Written {
                id, digest, note, ..
            } = written;
            report.add(written.touched);
            if written.finished {
                self.owed.remove(&id);
                self.ledger.enter(&id, &note);
                self.update_flows(&id, note);
            }
            let before = self.books.own(&id).unwrap_or(&nothing);
            if !D::ATOMIC && at >= transaction.settled {
                effect = effect.max(self.dataplane.settled(before, &digest));
            }
            tell(&mut self.listener, &id, before, &digest);
            if !self.leftovers.is_empty() {
                let taken_over = digest.iter().filter(|(key, _)| !key.is_common());
                taken_over.for_each(|(key, _)| {
                    self.leftovers.remove(key);
                });
            }
            self.books.settle(id, digest);
        }
        self.owe_for(effect);
        report.add(Touched {
            removed: transaction.orphans.len(),
            ..Touched::nothing("leftovers".to_owned())
        });
        for key in &transaction.orphans {
            self.books.remove(key);
        }
        let orphans = self.books.orphans();
        self.stuck.retain(|key, _| orphans.contains_key(key));
    }

    /// Nobody's objects became a fragment's.
    pub(crate) fn adopted(&mut self, objects: &State<D::Key, Fingerprint>) -> NodeEffect {
        if D::ATOMIC || objects.is_empty() {
            return NodeEffect::Nothing;
        }
        let effect = self.dataplane.settled(&State::default(), objects);
        // However the transaction ends.
        self.owe_for(effect);
        effect
    }

    /// Flows that the new rules make must not be taken for stale ones, however soon they come. What
    /// could not be written is announced anew with the next attempt, or withdrawn with the Service.
    fn announce_flows(&self, written: &[Written<D::Key>]) {
        let Some(cleaner) = &self.cleaner else { return };
        for Written { id, note, .. } in written {
            if let (FragmentId::Service(id), Note::Service(Some(facts))) = (id, note)
                && !facts.flows.is_empty()
            {
                cleaner.announce(id, facts.flows.clone());
            }
        }
    }

    fn update_flows(&self, id: &FragmentId, note: Note) {
        if let (Some(cleaner), FragmentId::Service(id), Note::Service(facts)) =
            (&self.cleaner, id, note)
        {
            cleaner.update(id, facts.map(|facts| facts.flows).unwrap_or_default());
        }
    }

    /// Ends the flows of Services that are gone and were removed object by object: not before that
    /// is done, or their rules would make new ones.
    pub(crate) fn end_departed_flows(&mut self) {
        for service in std::mem::take(&mut self.departed) {
            // One that came back is told of when it is written.
            if self.tracker().service(&service).is_none() {
                self.update_flows(&FragmentId::Service(service), Note::Service(None));
            }
        }
    }

    /// Empties what can't be removed. Returns true where that changed something.
    pub(crate) fn hollow_out_stuck(&mut self) -> Result<bool, SyncError> {
        let orphans = self.books.orphans().iter();
        let stuck = orphans.filter(|(key, _)| self.stuck.contains_key(key));
        let held: State<_, _> = stuck.map(|(key, print)| (key.clone(), *print)).collect();
        let hollow = held.iter().filter_map(|(key, _)| {
            let object = self.dataplane.hollow(key)?;
            Some((key.clone(), object))
        });
        let hollow: State<_, _> = hollow.collect();
        let writes = diff(&held, &hollow).writes;
        if writes.is_empty() {
            return Ok(false);
        }
        let deletes = Vec::new();
        let staged = self.writer.stage(Tag(0), &Diff { writes, deletes });
        match staged.and_then(|()| self.writer.commit()) {
            Ok(_) => {
                for (key, object) in hollow {
                    self.books.rewrite(key, object.fingerprint());
                }
                Ok(true)
            }
            Err(ApplyError::Failed(error)) => Err(error.into()),
            // It stays as it is.
            Err(_) => Ok(false),
        }
    }
}

/// How many rules these objects consist of.
pub(crate) fn rules<'a, D: Dataplane>(
    objects: impl Iterator<Item = (&'a D::Key, &'a D::Object)>,
) -> RuleCounts
where
    D::Key: 'a,
    D::Object: 'a,
{
    objects.map(|(key, object)| D::rules(key, object)).sum()
}

fn touched<K, A, B>(share: String, diff: &Diff<'_, K, A, B>) -> Touched {
    let replaced = diff
        .writes
        .iter()
        .filter(|write| write.old.is_some())
        .count();
    Touched {
        share,
        created: diff.writes.len() - replaced,
        replaced,
        removed: diff.deletes.len(),
    }
}
