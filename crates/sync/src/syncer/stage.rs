//! Stages what one transaction is to hold.

use viprule_dataplane::{Content as _, Dataplane, Diff, Fingerprint, ObjectKey as _, State, diff};
use viprule_service::model::ServiceId;
use viprule_writer::{ApplyError, PieceOf, Tag};

use super::Syncer;
use super::work::WorkItem;
use crate::ledger::Note;
use crate::transaction::{Released, Rendered, Staged, Transaction};
use crate::{FragmentId, Report, Touched, WriterFor, part};

impl<D: Dataplane, W: WriterFor<D>> Syncer<D, W> {
    /// Stages all of it, and sends it.
    pub(super) fn send(
        &mut self,
        items: &[WorkItem<D::Key>],
        transaction: &mut Transaction<D>,
    ) -> Result<Report, ApplyError<PieceOf<W>>> {
        let mut report = Report::default();
        for (at, item) in items.iter().enumerate() {
            let tag = Tag(u32::try_from(at).unwrap_or(u32::MAX));
            match item {
                WorkItem::Fragment(id, steps) if self.owed.contains(id) => {
                    let staged = self.stage_fragment(tag, id, *steps, transaction)?;
                    transaction.fragments.push(staged);
                }
                WorkItem::Orphan(key) if !self.stuck.contains_key(&**key) => {
                    // Adopted by a fragment meanwhile, or gone.
                    let Some(print) = self.applied.orphans().get(&**key) else {
                        continue;
                    };
                    let deletes = vec![(&**key, print)];
                    let writes = Vec::new();
                    self.writer.stage(tag, &Diff { writes, deletes })?;
                    transaction.orphans.push((**key).clone());
                }
                WorkItem::Fragment(..) | WorkItem::Orphan(_) => {}
            }
        }
        self.stage_released(transaction)?;
        self.announce_flows(&transaction.fragments);
        let sent = self.writer.commit()?;
        report.transactions = sent.transactions;
        report.bytes = sent.bytes;
        Ok(report)
    }

    /// Stages what turns a fragment into what it shall be, or so many steps of that, but for the removal
    /// of what others may want as well.
    fn stage_fragment(
        &mut self,
        tag: Tag,
        id: &FragmentId,
        steps: Option<usize>,
        transaction: &mut Transaction<D>,
    ) -> Result<Staged<D>, ApplyError<PieceOf<W>>> {
        let begun = self.unfinished.take_if(|it| it.id == *id);
        let Rendered {
            desired,
            fingerprints,
            note,
            ..
        } = begun.unwrap_or_else(|| self.render(id, &transaction.fragments));
        let held = self.applied.held(id, &desired);
        let mut staged = Staged {
            touched: Touched::nothing(id.to_string()),
            id: id.clone(),
            fingerprints,
            note,
            counts: D::Counts::default(),
            finished: true,
        };
        // A start on a kernel that has it all should cost no more than looking.
        if held != staged.fingerprints {
            let mut diff = part::with_contents(diff(&held, &staged.fingerprints), &desired);
            let mut after = None;
            if let Some(steps) = steps
                && part::cut(&mut diff, steps)
            {
                let nothing = State::default();
                let own = self.applied.own(id).unwrap_or(&nothing);
                after = Some(part::after(own, &held, &staged.fingerprints, &diff));
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
            staged.touched = Touched::of(id.to_string(), &diff);
            for write in &diff.writes {
                staged.counts += D::counts(write.key, write.new);
            }
            if !diff.is_empty() {
                self.writer.stage(tag, &diff)?;
            }
            if let Some(after) = after {
                staged.finished = false;
                self.unfinished = Some(Rendered {
                    id: id.clone(),
                    desired,
                    fingerprints: std::mem::replace(&mut staged.fingerprints, after),
                    note: staged.note.clone(),
                });
            }
        }
        Ok(staged)
    }

    /// What a fragment shall be, and what to note about it once it is. Entry points are as for what is staged
    /// before them.
    fn render(&self, id: &FragmentId, staged: &[Staged<D>]) -> Rendered<D> {
        let count = |state: &State<D::Key, D::Object>| {
            let mut counts = D::Counts::default();
            for (key, object) in state {
                counts += D::counts(key, object);
            }
            counts
        };
        let (desired, note) = match id {
            FragmentId::Base => {
                let state = self.dataplane.base();
                let note = Note::Base(count(&state));
                (state, note)
            }
            FragmentId::EntryPoints => {
                let staged = staged.iter().map(|it| (&it.id, &it.fingerprints));
                let has = self.applied.has_with(staged);
                (self.dataplane.entry_points(&has), Note::EntryPoints)
            }
            FragmentId::Service(id) => match self.tracker.plan(id) {
                Some(plan) => {
                    let state = self.dataplane.service(&plan);
                    let objections = self.dataplane.objections(&plan);
                    let mut facts = self.ledger.facts(&plan, count(&state), objections);
                    if self.cleaner.is_some() {
                        facts.flows = plan.flow_frontends();
                    }
                    (state, Note::Service(Some(facts)))
                }
                None => (State::default(), Note::Service(None)),
            },
        };
        Rendered {
            id: id.clone(),
            fingerprints: desired.fingerprints(),
            desired,
            note,
        }
    }

    /// What a Service shall be.
    pub(super) fn render_service(&self, id: &ServiceId) -> State<D::Key, D::Object> {
        let plan = self.tracker.plan(id);
        plan.map_or_else(State::default, |plan| self.dataplane.service(&plan))
    }

    /// Stages the removal of what fragments of this transaction let go and no other one has.
    fn stage_released(
        &mut self,
        transaction: &mut Transaction<D>,
    ) -> Result<(), ApplyError<PieceOf<W>>> {
        let mut released = std::mem::take(&mut transaction.released);
        if released.is_empty() {
            return Ok(());
        }
        for Staged { fingerprints, .. } in &transaction.fragments {
            for (key, _) in fingerprints.iter().filter(|(key, _)| key.is_common()) {
                released.remove(key);
            }
        }
        released.retain(|key, released| {
            self.applied.holders(key) <= released.fragments && !self.stays(key)
        });
        let is_excluded = |key: &D::Key| {
            let whole = key.whole();
            self.dataplane.is_excluded(key)
                && whole.is_none_or(|whole| released.contains_key(&whole))
        };
        let kept = released.keys().filter(|key| is_excluded(key));
        let kept: Vec<D::Key> = kept.cloned().collect();
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
}
