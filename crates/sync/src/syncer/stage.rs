//! Stages what one transaction is to hold.

use viprule_dataplane::{
    Content as _, Dataplane, Diff, Fingerprint, NodeEffect, ObjectKey as _, RuleCounts, State, diff,
};
use viprule_writer::{ApplyError, PartOf, Tag};

use super::Syncer;
use super::pieces::Piece;
use crate::ledger::Note;
use crate::transaction::{Released, Transaction, Unfinished, Written};
use crate::{FragmentId, Report, Touched, WriterFor, part};

impl<D: Dataplane, W: WriterFor<D>> Syncer<D, W> {
    pub(super) fn send(
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
            written.touched = Touched::of(id.to_string(), &diff);
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

    /// What a fragment shall be, and what to note about it once it is.
    pub(super) fn render(&self, id: &FragmentId) -> (State<D::Key, D::Object>, Note) {
        let count = |state: &State<_, _>| rules::<D>(state.iter().map(|(key, it)| (key, it)));
        let state = match id {
            FragmentId::Foundation => self.dataplane.foundation(),
            FragmentId::Links => self.dataplane.links(),
            FragmentId::Service(id) => {
                let Some(plan) = self.tracker.plan(id) else {
                    return (State::default(), Note::Service(None));
                };
                let state = self.dataplane.service(&plan);
                let objections = self.dataplane.objections(&plan);
                let mut facts = self.ledger.facts(&plan, count(&state), objections);
                if self.cleaner.is_some() {
                    facts.flows = plan.flow_frontends();
                }
                return (state, Note::Service(Some(facts)));
            }
        };
        let rules = count(&state);
        (state, Note::Rules(rules))
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
}

/// How many rules these objects consist of.
fn rules<'a, D: Dataplane>(objects: impl Iterator<Item = (&'a D::Key, &'a D::Object)>) -> RuleCounts
where
    D::Key: 'a,
    D::Object: 'a,
{
    objects.map(|(key, object)| D::rules(key, object)).sum()
}
