//! Tells whoever wants to know what the sync loop does: metrics, health, Kubernetes Events.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use viprule_service::model::{Event, Family, Refused, ServiceId};
use viprule_service::tracker::{Conflict, Oversized};
use viprule_source::kube::{Events, Regarding, Severity, Trigger};
use viprule_sync::{Ledger, Report, SyncError};

use crate::health::{Moment, ProxyHealth, ServiceChecks};
use crate::metrics::{LocalPolicy, Metrics, Repair, SyncKind, Writes};
use crate::mode::{CountsOf, Mode};

/// Services whose names fit into one note.
const NAMED: usize = 5;

/// The names of a few, and how many more there are.
fn some_of<T: ToString>(mut all: impl ExactSizeIterator<Item = T>) -> String {
    let named: Vec<_> = all.by_ref().take(NAMED).map(|it| it.to_string()).collect();
    let mut text = named.join(", ");
    if all.len() > 0 {
        let _ = write!(text, " and {} more", all.len());
    }
    text
}

/// What health says since when something waits to be written or put right.
const WAITING: &str = "sync";

/// Why the kernel was written, or looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The first sync.
    Start,
    /// Events came in.
    Change,
    /// Others changed our objects: these programs, where the kernel told.
    Foreign(Vec<String>),
    /// The timer found something to try again or to put right.
    Period,
    /// The attempt before failed.
    Retry,
}

impl Cause {
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Start => "first sync",
            Self::Change => "changed",
            Self::Foreign(_) => "repair",
            Self::Period => "timer",
            Self::Retry => "retry",
        }
    }

    const fn kind(&self) -> SyncKind {
        match self {
            Self::Start | Self::Retry => SyncKind::Full,
            Self::Change | Self::Foreign(_) | Self::Period => SyncKind::Partial,
        }
    }
}

/// The listeners. What they are told costs the sync loop no I/O.
#[derive(Debug, Clone)]
pub(super) struct Telemetry {
    pub(super) families: Vec<Family>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Arc<ProxyHealth>,
    pub(super) checks: Arc<ServiceChecks>,
    pub(super) events: EventSink,
}

/// Where Kubernetes Events go: nowhere without a cluster.
#[derive(Debug, Clone, Default)]
pub(super) struct EventSink(Arc<RwLock<Option<Events>>>);

impl EventSink {
    /// From now on they go there.
    pub(super) fn connect(&self, events: Events) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(events);
    }

    pub(super) fn publish(
        &self,
        regarding: Regarding,
        severity: Severity,
        reason: &'static str,
        action: &'static str,
        note: String,
    ) {
        let events = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(events) = &*events {
            events.publish(regarding, severity, reason, action, note);
        }
    }
}

/// Changes that wait for a sync.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// When the oldest one arrived.
    since: Option<Instant>,
    /// When what they tell began, by Service.
    triggers: BTreeMap<ServiceId, Vec<(Family, SystemTime)>>,
}

impl Pending {
    /// Takes out what waits for Services that are still to be written.
    pub(super) fn split(&mut self, is_owed: impl Fn(&ServiceId) -> bool) -> Self {
        let all = std::mem::take(&mut self.triggers).into_iter();
        let triggers: BTreeMap<_, _>;
        (triggers, self.triggers) = all.partition(|(service, _)| is_owed(service));
        let since = if triggers.is_empty() {
            None
        } else {
            self.since.take()
        };
        Self { since, triggers }
    }

    pub(super) fn join(&mut self, other: Self) {
        self.since = other.since.or(self.since);
        self.triggers.extend(other.triggers);
    }
}

impl Telemetry {
    /// Events arrived at `at` and wait for a sync.
    pub(super) fn queued(
        &self,
        pending: &mut Pending,
        events: &[Event],
        triggers: Vec<Trigger>,
        at: Instant,
    ) {
        let count = |of: fn(&Event) -> bool| events.iter().filter(|event| of(event)).count();
        let slices =
            count(|event| matches!(event, Event::SliceApplied(_) | Event::SliceDeleted(_)));
        let services =
            count(|event| matches!(event, Event::ServiceApplied(_) | Event::ServiceDeleted(_)));
        self.metrics.endpoint_changes(slices);
        self.metrics.service_changes(services, self.families.len());
        for event in events {
            if let Event::SliceDeleted(slice) = event {
                // Nobody waits for what is gone (contract 7).
                pending.triggers.remove(&slice.service);
            }
        }
        pending.since.get_or_insert(at);
        for trigger in triggers {
            let of_service = pending.triggers.entry(trigger.service).or_default();
            of_service.push((trigger.family, trigger.at));
        }
    }

    /// A sync is asked for.
    pub(super) fn requested(&self) {
        let now = Moment::now();
        for family in &self.families {
            self.health.queued(*family, now);
            self.metrics.sync_requested(*family, SystemTime::now());
        }
    }

    /// The sync loop starts: from now on health is judged.
    pub(super) fn started(&self) {
        for family in &self.families {
            self.metrics.sync_requested(*family, SystemTime::now());
            self.health.updated(*family, Moment::now());
        }
    }

    /// A sync ended.
    pub(super) fn synced<M: Mode>(
        &self,
        cause: &Cause,
        took: Duration,
        outcome: Result<&Report, &SyncError>,
        found: usize,
        pending: &mut Pending,
        ledger: &mut Ledger<CountsOf<M>>,
    ) {
        for family in &self.families {
            self.metrics.sync_attempted(*family, cause.kind(), took);
        }
        // Also of a sync that failed.
        let written = ledger.take_written();
        match outcome {
            Ok(report) => {
                self.succeeded::<M>(report, &written, pending, ledger);
                self.announce(cause, report, found);
            }
            Err(error) => {
                for family in &self.families {
                    self.metrics.sync_failed(*family, cause.kind());
                }
                if matches!(error, SyncError::Contended) {
                    self.metrics.write_conflict();
                }
                // It is still to be done, however it was asked for.
                self.requested();
                self.waits(&format!("the kernel lacks changes: {error}"));
            }
        }
    }

    /// Something is to be written or put right, and why that takes time.
    pub(super) fn waits(&self, message: &str) {
        self.health.warn(WAITING, message, Moment::now());
    }

    fn succeeded<M: Mode>(
        &self,
        report: &Report,
        written: &CountsOf<M>,
        pending: &mut Pending,
        ledger: &mut Ledger<CountsOf<M>>,
    ) {
        let (now, time) = (Moment::now(), SystemTime::now());
        self.health.clear(WAITING);
        for family in &self.families {
            self.health.updated(*family, now);
            self.metrics.sync_succeeded(*family, time);
        }
        self.metrics.changes_taken();
        if let Some(since) = pending.since.take() {
            self.metrics.event_in_kernel(since.elapsed());
        }
        let triggers = std::mem::take(&mut pending.triggers);
        for (family, at) in triggers.into_values().flatten() {
            self.metrics.network_programmed(family, at, time);
        }
        self.metrics.written(&Writes {
            created: report.created,
            replaced: report.replaced,
            removed: report.removed,
            transactions: report.transactions,
            bytes: report.bytes,
        });
        let totals = *ledger.totals();
        for family in &self.families {
            let at = *family as usize;
            M::count(&self.metrics, *family, &totals.counts, written);
            let policies = [
                (LocalPolicy::Internal, totals.no_local.internal),
                (LocalPolicy::External, totals.no_local.external),
            ];
            for (policy, ports) in policies {
                self.metrics.no_local_endpoints(*family, policy, ports[at]);
            }
        }
        self.checks
            .apply(ledger.take_checks().into_iter().collect());
        self.metrics.objected(totals.objected);
        for (service, objections) in ledger.take_objections() {
            self.objected(&service, &objections);
        }
    }

    /// The dataplane refuses this of a Service now, and did not before.
    fn objected(&self, service: &ServiceId, objections: &[String]) {
        if objections.is_empty() {
            tracing::info!(%service, "all of it is programmed again");
        }
        for objection in objections {
            tracing::error!(%service, "not programmed as it asks: {objection}");
            self.events.publish(
                Regarding::Service(service.clone()),
                Severity::Warning,
                "NotProgrammed",
                "SyncRules",
                objection.clone(),
            );
        }
    }

    /// A Service is programmed without frontends now that another one has. Whoever reads objects
    /// logs it.
    pub(super) fn lost(&self, conflict: &Conflict) {
        self.metrics.claim_conflicts(conflict.frontends.len());
        self.events.publish(
            Regarding::ServiceBeside {
                service: conflict.loser.clone(),
                other: conflict.owner.clone(),
            },
            Severity::Warning,
            "AddressTaken",
            "SyncRules",
            conflict.to_string(),
        );
    }

    /// These Services are refused by the kernel now, with its reasons, and were not before.
    pub(super) fn quarantined<'a>(
        &self,
        new: impl Iterator<Item = (&'a ServiceId, &'a String)>,
        total: usize,
    ) {
        const SUBJECT: &str = "quarantine";
        self.metrics.quarantined(total);
        for (service, reason) in new {
            let note = format!("the kernel refuses its rules, what it had before stays: {reason}");
            self.events.publish(
                Regarding::Service(service.clone()),
                Severity::Warning,
                "ServiceQuarantined",
                "SyncRules",
                note.clone(),
            );
            let note = format!("service {service}: {note}");
            self.publish(Severity::Warning, "ServiceQuarantined", "SyncRules", note);
        }
        if total == 0 {
            self.health.clear(SUBJECT);
        } else {
            let message = format!("{total} Services are refused by the kernel");
            self.health.warn(SUBJECT, &message, Moment::now());
        }
    }

    /// These Services are too large now, and were not before.
    pub(super) fn oversized<'a>(
        &self,
        new: impl Iterator<Item = (&'a ServiceId, &'a Oversized)>,
        all: &BTreeMap<ServiceId, Oversized>,
    ) {
        const SUBJECT: &str = "oversized Services";
        self.metrics.oversized(all.len());
        for (service, oversized) in new {
            let note = oversized.to_string();
            tracing::error!(%service, "{note}");
            self.events.publish(
                Regarding::Service(service.clone()),
                Severity::Warning,
                "ServiceTooLarge",
                "SyncRules",
                note,
            );
        }
        if all.is_empty() {
            self.health.clear(SUBJECT);
            return;
        }
        let names = some_of(all.keys());
        let message = format!("too large and set aside: {names}");
        self.health.warn(SUBJECT, &message, Moment::now());
    }

    /// These objects exist and can't be used. Whoever reads objects tells why.
    pub(super) fn unusable(&self, refused: &BTreeSet<Refused>) {
        const SUBJECT: &str = "refused objects";
        self.metrics.unusable(refused.len());
        if refused.is_empty() {
            self.health.clear(SUBJECT);
            return;
        }
        let mut message = some_of(refused.iter());
        message.push_str(" can't be used; what was known of that, or is in the kernel, stays");
        self.health.warn(SUBJECT, &message, Moment::now());
    }

    /// What an earlier proxy left is gone.
    pub(super) fn leftovers_removed(&self, what: &str) {
        let note = format!("removed what an earlier proxy left: {what}");
        self.publish(Severity::Normal, "LeftoversRemoved", "TakeOver", note);
    }

    fn announce(&self, cause: &Cause, report: &Report, found: usize) {
        // What was taken over as it is was taken over, too.
        if report.is_empty() && *cause != Cause::Start {
            return;
        }
        let objects = report.created + report.replaced + report.removed;
        match cause {
            Cause::Start => {
                self.metrics
                    .repaired(Repair::Start, report.replaced + report.removed);
                if found > 0 {
                    let note = format!(
                        "found {found} objects of a service proxy: {} replaced, {} removed, {} created beside them",
                        report.replaced, report.removed, report.created
                    );
                    self.publish(Severity::Normal, "TookOver", "TakeOver", note);
                }
            }
            Cause::Foreign(by) => {
                self.metrics.repaired(Repair::Notification, objects);
                let by = if by.is_empty() {
                    "another program".to_owned()
                } else {
                    by.join(", ")
                };
                let note = format!(
                    "{by} changed our rules; put right: {}",
                    shares(report).join(", ")
                );
                self.publish(Severity::Warning, "RulesRepaired", "RepairRules", note);
            }
            Cause::Period => self.metrics.repaired(Repair::Period, objects),
            Cause::Retry => self.metrics.repaired(Repair::UnknownOutcome, objects),
            Cause::Change => {}
        }
    }

    /// Publishes an Event about this node.
    pub(super) fn publish(
        &self,
        severity: Severity,
        reason: &'static str,
        action: &'static str,
        note: String,
    ) {
        self.events
            .publish(Regarding::Node, severity, reason, action, note);
    }
}

/// What was touched, in a few words.
pub(super) fn shares(report: &Report) -> Vec<String> {
    let named = report.touched.iter().take(NAMED);
    let mut shares: Vec<String> = named.map(|touched| touched.share.clone()).collect();
    let more = report.touched.len().saturating_sub(NAMED);
    if more > 0 {
        shares.push(format!("{more} more"));
    }
    shares
}
