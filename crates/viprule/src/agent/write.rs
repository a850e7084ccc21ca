//! One transaction after the other, and what follows from the kernel's answers.

use viprule_dataplane::{
    Content as _, Dataplane, Diff, Fingerprint, RuleCounts, Scope, State, diff,
};
use viprule_writer::{ApplyError, PartOf, Refusal, Tag, Writer};

use super::glimpse::Glimpse;
use super::ledger::Note;
use super::syncer::Piece;
use super::{FragmentId, Report, SyncError, Syncer, Touched};

impl<D, W> Syncer<D, W>
where
    D: Dataplane,
    W: Writer<Key = D::Key, Object = D::Object>,
    Fingerprint: From<D::Object>,
    Glimpse: From<D::Object>,
{
    /// Tries to write these pieces. Afterwards they are written, or set aside because the kernel
    /// refuses them, or still owed and an attempt was used up.
    pub(super) fn write(
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
            Piece::Fragment(id @ FragmentId::Service(service)) => {
                self.owed.remove(id);
                if self.tracker().service(service).is_none() {
                    // What is left of it is removed object by object.
                    self.ledger.enter(id, &Note::Service(None));
                    self.departed.insert(service.clone());
                    return Ok(self.books.disown(id));
                }
                if let Some(cleaner) = &self.cleaner {
                    cleaner.withdraw(service);
                }
                let reason = reason.to_owned();
                let before = self.quarantined.insert(service.clone(), reason.clone());
                if before.is_none() {
                    tracing::error!(%service, reason, "quarantined: the kernel refuses its rules; what it had before stays");
                }
                Ok(before.is_none())
            }
            Piece::Fragment(id) => Err(SyncError::Refused {
                share: id.clone(),
                reason: reason.to_owned(),
            }),
            Piece::Orphan(key) => {
                let before = self.stuck.insert(key.clone(), reason.to_owned());
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
        let mut report = Report::default();
        let mut written = Vec::new();
        let mut removed = Vec::new();
        for (at, piece) in pieces.iter().enumerate() {
            let tag = Tag(u32::try_from(at).unwrap_or(u32::MAX));
            match piece {
                Piece::Fragment(id) if self.owed.contains(id) => {
                    let (desired, note) = self.render(id);
                    let held = self.books.held(id, &desired);
                    let digest = desired.fingerprints();
                    // A start on a kernel that has it all should cost no more than looking.
                    if held != digest {
                        let diff = diff(&held, &desired);
                        report.add(touched(id.to_string(), &diff));
                        report.rules += rules::<D>(diff.writes.iter().map(|it| (it.key, it.new)));
                        self.writer.stage(tag, &diff)?;
                    }
                    written.push((id.clone(), digest, note));
                }
                Piece::Orphan(key) if !self.stuck.contains_key(key) => {
                    // Adopted by a fragment meanwhile, or gone.
                    let Some(print) = self.books.orphans().get(key) else {
                        continue;
                    };
                    let deletes = vec![(key, print)];
                    let writes = Vec::new();
                    self.writer.stage(tag, &Diff { writes, deletes })?;
                    removed.push(key);
                }
                Piece::Fragment(_) | Piece::Orphan(_) => {}
            }
        }
        report.add(Touched {
            share: "leftovers".to_owned(),
            created: 0,
            replaced: 0,
            removed: removed.len(),
        });
        self.announce_flows(&written);
        let sent = self.writer.commit()?;
        report.transactions = sent.transactions;
        report.bytes = sent.bytes;
        for (id, digest, note) in written {
            self.owed.remove(&id);
            self.ledger.enter(&id, &note);
            self.update_flows(&id, note);
            self.books.settle(id, digest);
        }
        for key in removed {
            self.books.remove(key);
        }
        let orphans = self.books.orphans();
        self.stuck.retain(|key, _| orphans.contains_key(key));
        Ok(report)
    }

    /// Flows that the new rules make must not be taken for stale ones, however soon they come. What
    /// could not be written is announced anew with the next attempt, or withdrawn with the Service.
    fn announce_flows<T>(&self, written: &[(FragmentId, T, Note)]) {
        let Some(cleaner) = &self.cleaner else { return };
        for (id, _, note) in written {
            if let (FragmentId::Service(id), Note::Service(Some(facts))) = (id, note)
                && !facts.udp.is_empty()
            {
                cleaner.announce(id, facts.udp.clone());
            }
        }
    }

    fn update_flows(&self, id: &FragmentId, note: Note) {
        if let (Some(cleaner), FragmentId::Service(id), Note::Service(facts)) =
            (&self.cleaner, id, note)
        {
            cleaner.update(id, facts.map(|facts| facts.udp).unwrap_or_default());
        }
    }

    /// Ends the flows of Services that are gone and were removed object by object: not before that
    /// is done, or their rules would make new ones.
    pub(super) fn end_departed_flows(&mut self) {
        for service in std::mem::take(&mut self.departed) {
            // One that came back is told of when it is written.
            if self.tracker().service(&service).is_none() {
                self.update_flows(&FragmentId::Service(service), Note::Service(None));
            }
        }
    }

    /// Empties what can't be removed. Returns true where that changed something.
    pub(super) fn hollow_out_stuck(&mut self) -> Result<bool, SyncError> {
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
pub(super) fn rules<'a, D: Dataplane>(
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
