//! Keeps the kernel at what the plans say.
//!
//! The ledger remembers, by fragment, fingerprints of what the kernel holds as far as we know. A
//! sync renders the fragments that events concern and writes their diff to the ledger. A
//! reconciliation first corrects the ledger by what the kernel really has; first sync, takeover,
//! repair and recovery from an unknown outcome are all that.

use std::collections::{BTreeMap, BTreeSet};

use viprule_dataplane::{Dataplane, Diff, Fingerprint, NodeEffect, ObjectKey, Scope, State, diff};
use viprule_service::model::{Event, ServiceId};
use viprule_service::tracker::{Conflict, Tracker};
use viprule_writer::{ApplyError, PartOf, Refusal, Tag, WriteError, Writer};

use super::{FragmentId, Report, Touched};

/// How often a transaction is tried again when others keep changing our objects meanwhile.
const ATTEMPTS: usize = 8;

/// Why a sync failed. What the kernel had before is still there, or is found again by the next
/// reconciliation.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The kernel can't be read or written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The kernel refuses what every Service needs.
    #[error("the kernel refused the {share}: {reason}")]
    Refused {
        /// The share of the state.
        share: FragmentId,
        /// What the kernel said.
        reason: String,
    },
    /// Somebody else keeps changing our objects.
    #[error(
        "gave up after {ATTEMPTS} attempts: another program keeps changing our objects; look for a second service proxy on this node"
    )]
    Contended,
}

type Digest<D> = State<<D as Dataplane>::Key, Fingerprint>;

/// What the kernel holds, by the last look at a part of it.
struct Seen<K: ObjectKey> {
    scope: Scope<K::Part>,
    observed: State<K, Fingerprint>,
    /// By position in `observed`: the object belongs to a fragment.
    claimed: Vec<bool>,
}

impl<K: ObjectKey> Seen<K> {
    fn nothing() -> Self {
        Self {
            scope: Scope::nothing(),
            observed: State::default(),
            claimed: Vec::new(),
        }
    }

    /// What the kernel holds of a fragment: as seen where we looked, as remembered elsewhere.
    fn holds<V>(
        &mut self,
        desired: &State<K, V>,
        remembered: Option<&State<K, Fingerprint>>,
    ) -> State<K, Fingerprint> {
        if self.scope.is_empty() {
            return remembered.cloned().unwrap_or_default();
        }
        let mut found = Vec::new();
        for (key, _) in desired {
            if let Some(at) = self.observed.position(key) {
                self.claimed[at] = true;
                found.extend(self.observed.get(key).map(|print| (key.clone(), *print)));
            }
        }
        let elsewhere = remembered.into_iter().flat_map(State::iter);
        found.extend(
            elsewhere
                .filter(|(key, _)| !self.scope.contains(&key.part()))
                .cloned(),
        );
        found.into_iter().collect()
    }

    /// Keeps what a fragment had from being taken for a leftover.
    fn claim(&mut self, remembered: &State<K, Fingerprint>) {
        for (key, _) in remembered {
            if let Some(at) = self.observed.position(key) {
                self.claimed[at] = true;
            }
        }
    }

    fn leftovers(&self) -> impl Iterator<Item = (K, Fingerprint)> + '_ {
        let unclaimed = self
            .observed
            .iter()
            .zip(&self.claimed)
            .filter(|(_, claimed)| !**claimed);
        unclaimed.map(|(object, _)| object.clone())
    }
}

/// One attempt's outcome, by fragment.
struct Attempt<D: Dataplane> {
    report: Report,
    written: Vec<(FragmentId, Digest<D>)>,
}

/// Keeps one dataplane in one network namespace at what the plans say.
#[derive(Debug)]
pub struct Syncer<D: Dataplane, W> {
    tracker: Tracker,
    dataplane: D,
    writer: W,
    ledger: BTreeMap<FragmentId, Digest<D>>,
    quarantined: BTreeMap<ServiceId, String>,
    /// Objects that belong to no fragment and that the kernel won't let go, with its reasons.
    stuck: BTreeMap<D::Key, String>,
    /// Services that ask for what another one has, not told yet.
    conflicts: Vec<Conflict>,
    /// Fragments still to be written.
    owed: BTreeSet<FragmentId>,
    /// Nothing is desired any more.
    removing: bool,
}

impl<D, W> Syncer<D, W>
where
    D: Dataplane,
    W: Writer<Key = D::Key, Object = D::Object>,
    Fingerprint: From<D::Object>,
{
    /// A syncer that knows nothing of the kernel yet: [`Syncer::reconcile`] everything first.
    pub fn new(tracker: Tracker, dataplane: D, writer: W) -> Self {
        Self {
            tracker,
            dataplane,
            writer,
            ledger: BTreeMap::new(),
            quarantined: BTreeMap::new(),
            stuck: BTreeMap::new(),
            conflicts: Vec::new(),
            owed: BTreeSet::new(),
            removing: false,
        }
    }

    /// The facts that the plans are made of.
    pub fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// The writer.
    pub fn writer(&mut self) -> &mut W {
        &mut self.writer
    }

    /// The dataplane.
    pub fn dataplane(&self) -> &D {
        &self.dataplane
    }

    /// Services that the kernel refused, with its reasons. What was there of them before stays.
    pub fn quarantined(&self) -> &BTreeMap<ServiceId, String> {
        &self.quarantined
    }

    /// Takes an event. Nothing is written before the next [`Syncer::sync`].
    pub fn apply(&mut self, event: Event) {
        self.tracker.apply(event);
    }

    /// Writes what the events since the last sync changed.
    pub fn sync(&mut self) -> Result<Report, SyncError> {
        self.take_changes();
        let owed: Vec<FragmentId> = self.owed.iter().cloned().collect();
        self.write(owed, Seen::nothing(), ATTEMPTS)
    }

    /// Looks at the kernel within `scope` and writes what differs from the plans, and what the
    /// events since the last sync changed.
    pub fn reconcile(&mut self, scope: Scope<PartOf<W>>) -> Result<Report, SyncError> {
        self.stuck.clear();
        self.reconcile_within(scope, ATTEMPTS)
    }

    /// Conflicts between Services that came up since the last question.
    pub fn take_conflicts(&mut self) -> Vec<Conflict> {
        std::mem::take(&mut self.conflicts)
    }

    /// True where the kernel refused Services that are still to be written.
    pub fn has_refused(&self) -> bool {
        !self.quarantined.is_empty()
    }

    /// Lets refused Services be tried again by the next sync.
    pub fn release_refused(&mut self) {
        let released = std::mem::take(&mut self.quarantined);
        self.owed
            .extend(released.into_keys().map(FragmentId::Service));
    }

    /// Removes everything that is ours. Nothing is written ever after.
    pub fn remove_everything(&mut self) -> Result<Report, SyncError> {
        let observed = self.writer.observe::<Fingerprint>(&Scope::Everything)?;
        let claimed = vec![false; observed.len()];
        self.ledger.clear();
        self.removing = true;
        self.write(
            Vec::new(),
            Seen {
                scope: Scope::Everything,
                observed,
                claimed,
            },
            ATTEMPTS,
        )
    }

    fn take_changes(&mut self) {
        let changes = self.tracker.take_changes();
        self.conflicts.extend(changes.conflicts);
        for service in changes.services {
            self.quarantined.remove(&service);
            self.owed.insert(FragmentId::Service(service));
        }
        if changes.node {
            let effect = self.dataplane.set_node(self.tracker.facts());
            if effect >= NodeEffect::Foundation {
                self.owed
                    .extend([FragmentId::Foundation, FragmentId::Links]);
            }
            if effect >= NodeEffect::Everything {
                self.owed
                    .extend(self.tracker.services().into_iter().map(FragmentId::Service));
            }
        }
    }

    fn reconcile_within(
        &mut self,
        scope: Scope<PartOf<W>>,
        attempts: usize,
    ) -> Result<Report, SyncError> {
        let observed = self.writer.observe::<Fingerprint>(&scope)?;
        self.take_changes();
        let mut affected = std::mem::take(&mut self.owed);
        match &scope {
            Scope::Everything => {
                affected.extend([FragmentId::Foundation, FragmentId::Links]);
                affected.extend(self.tracker.services().into_iter().map(FragmentId::Service));
                affected.extend(self.ledger.keys().cloned());
            }
            Scope::Parts(_) => {
                let holds =
                    |digest: &Digest<D>| digest.iter().any(|(key, _)| scope.contains(&key.part()));
                let touched = self.ledger.iter().filter(|(_, digest)| holds(digest));
                affected.extend(touched.map(|(id, _)| id.clone()));
            }
        }
        self.owed.clone_from(&affected);
        let claimed = vec![false; observed.len()];
        let affected = affected.into_iter().collect();
        self.write(
            affected,
            Seen {
                scope,
                observed,
                claimed,
            },
            attempts,
        )
    }

    /// Brings these fragments to what they shall be, and removes leftovers.
    fn write(
        &mut self,
        ids: Vec<FragmentId>,
        mut seen: Seen<D::Key>,
        attempts: usize,
    ) -> Result<Report, SyncError> {
        let error = match self.attempt(&ids, &mut seen) {
            Ok(Attempt { report, written }) => {
                for (id, digest) in written {
                    self.settle(id, digest);
                }
                return Ok(report);
            }
            Err(error) => error,
        };
        let Some(attempts) = attempts.checked_sub(1) else {
            return Err(SyncError::Contended);
        };
        match error {
            ApplyError::Failed(error) => Err(error.into()),
            ApplyError::Foreign(scope) => {
                let mut scope = scope;
                scope.extend(seen.scope);
                self.reconcile_within(scope, attempts)
            }
            ApplyError::Unknown(reason) => {
                tracing::warn!(%reason, "looking at the kernel again");
                self.reconcile_within(Scope::Everything, attempts)
            }
            ApplyError::Refused { refusals, partly } => {
                let told_apart = self.set_aside(&ids, &mut seen, &refusals)?;
                match (told_apart, partly) {
                    (true, false) => self.write(ids, seen, attempts),
                    (_, true) => self.reconcile_within(Scope::Everything, attempts),
                    (false, false) => self.bisect(&ids, seen, &refusals),
                }
            }
        }
    }

    /// Puts what the kernel refused out of the way. Returns false where the kernel did not say
    /// what it refused.
    fn set_aside(
        &mut self,
        ids: &[FragmentId],
        seen: &mut Seen<D::Key>,
        refusals: &[Refusal],
    ) -> Result<bool, SyncError> {
        let leftovers: State<_, _> = seen.leftovers().collect();
        let nothing: State<D::Key, D::Object> = State::default();
        let leftovers = diff(&leftovers, &nothing).deletes;
        let mut told_apart = false;
        for Refusal { tag, reason } in refusals {
            let Some(at) = tag.and_then(|Tag(tag)| usize::try_from(tag).ok()) else {
                continue;
            };
            told_apart = true;
            if let Some(id) = ids.get(at) {
                self.quarantine(id, reason)?;
                let held = seen.holds(&self.render(id), self.ledger.get(id));
                self.ledger.insert(id.clone(), held);
            } else if let Some((key, _)) = leftovers.get(at - ids.len()) {
                tracing::warn!(object = %key, reason, "the kernel won't let it go");
                self.stuck.insert((*key).clone(), reason.clone());
            }
        }
        Ok(told_apart)
    }

    fn quarantine(&mut self, id: &FragmentId, reason: &str) -> Result<(), SyncError> {
        let FragmentId::Service(service) = id else {
            return Err(SyncError::Refused {
                share: id.clone(),
                reason: reason.to_owned(),
            });
        };
        if self
            .quarantined
            .insert(service.clone(), reason.to_owned())
            .is_none()
        {
            tracing::error!(%service, reason, "quarantined: the kernel refuses its rules; what it had before stays");
        }
        self.owed.remove(id);
        Ok(())
    }

    /// Finds what the kernel refused by halves.
    fn bisect(
        &mut self,
        ids: &[FragmentId],
        mut seen: Seen<D::Key>,
        refusals: &[Refusal],
    ) -> Result<Report, SyncError> {
        let reason = refusals
            .first()
            .map_or("no reason given", |refusal| &refusal.reason);
        for id in ids {
            let held = seen.holds(&self.render(id), self.ledger.get(id));
            self.ledger.insert(id.clone(), held);
        }
        let mut report = Report::default();
        match ids {
            [] => {
                let stuck: Vec<D::Key> = seen.leftovers().map(|(key, _)| key).collect();
                self.stuck
                    .extend(stuck.into_iter().map(|key| (key, reason.to_owned())));
            }
            [only] => self.quarantine(only, reason)?,
            _ => {
                let (first, second) = ids.split_at(ids.len() / 2);
                for half in [first, second] {
                    report.join(self.write(half.to_vec(), Seen::nothing(), ATTEMPTS)?);
                }
            }
        }
        if !ids.is_empty() {
            report.join(self.write(Vec::new(), seen, ATTEMPTS)?);
        }
        Ok(report)
    }

    fn refusal_lines(&self) -> Vec<String> {
        let services = self
            .quarantined
            .iter()
            .map(|(id, reason)| format!("service {id}: {reason}"));
        let stuck = self
            .stuck
            .iter()
            .map(|(key, reason)| format!("{key}: {reason}"));
        services.chain(stuck).collect()
    }

    fn attempt(
        &mut self,
        ids: &[FragmentId],
        seen: &mut Seen<D::Key>,
    ) -> Result<Attempt<D>, ApplyError<PartOf<W>>> {
        let mut report = Report::default();
        let mut written = Vec::new();
        for (tag, id) in ids.iter().enumerate() {
            if let FragmentId::Service(service) = id
                && self.quarantined.contains_key(service)
            {
                if let Some(remembered) = self.ledger.get(id) {
                    seen.claim(remembered);
                }
                continue;
            }
            let desired = self.render(id);
            let held = seen.holds(&desired, self.ledger.get(id));
            let diff = diff(&held, &desired);
            report.add(touched(id.to_string(), &diff));
            self.writer.stage(tag_of(tag), &diff)?;
            written.push((id.clone(), desired.fingerprints()));
        }
        self.stage_leftovers(ids.len(), seen, &mut report)?;
        let sent = self.writer.commit()?;
        report.transactions = sent.transactions;
        report.bytes = sent.bytes;
        report.refused = self.refusal_lines();
        Ok(Attempt { report, written })
    }

    /// Each leftover has a tag of its own, so that one that is stuck holds up no other.
    fn stage_leftovers(
        &mut self,
        first_tag: usize,
        seen: &Seen<D::Key>,
        report: &mut Report,
    ) -> Result<(), ApplyError<PartOf<W>>> {
        let nothing: State<D::Key, D::Object> = State::default();
        let leftovers: State<_, _> = seen.leftovers().collect();
        let all = diff(&leftovers, &nothing);
        let mut removed = 0;
        for (tag, (key, print)) in (first_tag..).zip(&all.deletes) {
            if !self.stuck.contains_key(key) {
                let one = Diff {
                    writes: Vec::new(),
                    deletes: vec![(*key, *print)],
                };
                self.writer.stage(tag_of(tag), &one)?;
                removed += 1;
            }
        }
        report.add(Touched {
            share: "leftovers".to_owned(),
            created: 0,
            replaced: 0,
            removed,
        });
        Ok(())
    }

    fn render(&self, id: &FragmentId) -> State<D::Key, D::Object> {
        match id {
            _ if self.removing => State::default(),
            FragmentId::Foundation => self.dataplane.foundation(),
            FragmentId::Links => self.dataplane.links(),
            FragmentId::Service(id) => self
                .tracker
                .plan(id)
                .map(|plan| self.dataplane.service(&plan))
                .unwrap_or_default(),
        }
    }

    fn settle(&mut self, id: FragmentId, digest: Digest<D>) {
        self.owed.remove(&id);
        if digest.is_empty() {
            self.ledger.remove(&id);
        } else {
            self.ledger.insert(id, digest);
        }
    }
}

/// Tags count fragments first, then leftovers.
fn tag_of(position: usize) -> Tag {
    Tag(u32::try_from(position).unwrap_or(u32::MAX))
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

/// Everything that the plans ask for, with contents in full.
pub fn desired<D: Dataplane>(dataplane: &D, tracker: &Tracker) -> State<D::Key, D::Object> {
    let services = tracker
        .services()
        .into_iter()
        .filter_map(|id| tracker.plan(&id));
    let fragments = services.flat_map(|plan| dataplane.service(&plan).into_iter());
    dataplane
        .foundation()
        .into_iter()
        .chain(fragments)
        .chain(dataplane.links())
        .collect()
}
