//! What happened, counted: kube-proxy's metrics by its names (contract 7), and our own.
//!
//! Callers tell [`Metrics`] what happened and need not know what it is called there. Left out of
//! what kube-proxy serves: `go_*` (there is no Go runtime), `rest_client_*` (its client's own
//! workings; [`Metrics::watch_failed`] and its like say what ours does).

mod build;
mod collect;
mod kernel;
mod kube_proxy;
mod own;
mod process;
mod slis;

pub use build::BuildInfo;
pub use own::Repair;
pub use slis::Slis;

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use prometheus::{Registry, TextEncoder};
use viprule_service::model::Family;

use self::kube_proxy::KubeProxy;
use self::own::Own;
use crate::health::Probe;
use crate::mode::ModeMetrics;

/// The `Content-Type` of what [`Metrics::render`] returns.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// How much a sync looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncKind {
    /// Everything, as the first sync and repairs do.
    Full,
    /// What changed.
    Partial,
}

/// Which traffic policy is `Local`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalPolicy {
    /// `internalTrafficPolicy`.
    Internal,
    /// `externalTrafficPolicy`.
    External,
}

/// A table that iptables mode writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// `filter`.
    Filter,
    /// `nat`.
    Nat,
}

/// What a sync wrote to the kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Writes {
    /// Objects created.
    pub created: usize,
    /// Objects replaced.
    pub replaced: usize,
    /// Objects removed.
    pub removed: usize,
    /// Transactions sent.
    pub transactions: usize,
    /// Bytes sent.
    pub bytes: usize,
}

/// Every metric. Shared between whoever has something to tell and the server.
pub struct Metrics {
    registry: Registry,
    kube_proxy: KubeProxy,
    own: Own,
    started: Option<u64>,
    created: SystemTime,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// All that the mode has, nothing counted. Fails only on a metric that is defined twice.
    pub fn new(mode: ModeMetrics, build: &BuildInfo) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let kube_proxy = KubeProxy::register(&registry, mode)?;
        let own = Own::register(&registry, mode)?;
        build::register(&registry, build)?;
        process::register(&registry)?;
        if mode.nfacct {
            kernel::register(&registry)?;
        }
        Ok(Self {
            registry,
            kube_proxy,
            own,
            started: process::start_time(),
            created: SystemTime::now(),
        })
    }

    /// Everything in Prometheus' text format 0.0.4. Reads the process' files and the kernel's
    /// counters: not for threads that must not block.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// When this process started, in seconds since 1970.
    pub const fn process_start_time(&self) -> Option<u64> {
        self.started
    }

    /// A sync was asked for; also when the sync loop starts.
    pub fn sync_requested(&self, family: Family, at: SystemTime) {
        set_time(&self.kube_proxy.last_queued, family, at);
    }

    /// A sync ended, well or not.
    pub fn sync_attempted(&self, family: Family, kind: SyncKind, took: Duration) {
        self.kube_proxy.sync_attempted(family, kind, took);
    }

    /// A sync succeeded.
    pub fn sync_succeeded(&self, family: Family, at: SystemTime) {
        set_time(&self.kube_proxy.last_synced, family, at);
    }

    /// The kernel refused a sync's writes.
    pub fn sync_failed(&self, family: Family, kind: SyncKind) {
        self.kube_proxy.sync_failed(family, kind);
    }

    /// Removing stale objects failed (nftables mode).
    pub fn cleanup_failed(&self, family: Family) {
        let name = &[family.as_str()];
        self.kube_proxy
            .nftables_cleanup_failures
            .with_label_values(name)
            .inc();
    }

    /// EndpointSlices changed and wait for a sync.
    pub fn endpoint_changes(&self, slices: usize) {
        self.kube_proxy.endpoint_changes.inc_by(slices as u64);
        self.kube_proxy.endpoints_pending.add(as_gauge(slices));
    }

    /// Services changed and wait for a sync. kube-proxy counts each in every family that it
    /// serves, so `families` is their number; what waits is counted once.
    pub fn service_changes(&self, services: usize, families: usize) {
        self.kube_proxy
            .service_changes
            .inc_by((services * families) as u64);
        self.kube_proxy.services_pending.add(as_gauge(services));
    }

    /// A sync took over every change that waited.
    pub fn changes_taken(&self) {
        self.kube_proxy.endpoints_pending.set(0);
        self.kube_proxy.services_pending.set(0);
    }

    /// The kernel has a change of an EndpointSlice that was triggered at this time (annotation
    /// `endpoints.kubernetes.io/last-change-trigger-time`). What was triggered before these
    /// metrics were there does not count: it says how long we were not.
    pub fn network_programmed(&self, family: Family, triggered: SystemTime, now: SystemTime) {
        if triggered > self.created {
            let took = now.duration_since(triggered).unwrap_or_default();
            observe(&self.kube_proxy.network_programming, family, took);
        }
    }

    /// Service ports with endpoints somewhere but none on this node, as of this sync.
    pub fn no_local_endpoints(&self, family: Family, policy: LocalPolicy, ports: usize) {
        let policy = match policy {
            LocalPolicy::Internal => "internal",
            LocalPolicy::External => "external",
        };
        let labels = &[policy, family.as_str()];
        let gauge = &self.kube_proxy.no_local_endpoints;
        gauge.with_label_values(labels).set(as_gauge(ports));
    }

    /// The proxy health server answered.
    pub fn health_answered(&self, probe: Probe, code: u16) {
        let counter = match probe {
            Probe::Healthz => &self.kube_proxy.healthz,
            Probe::Livez => &self.kube_proxy.livez,
        };
        counter.with_label_values(&[code.to_string()]).inc();
    }

    /// Stale conntrack entries were looked for, and this many deleted.
    pub fn conntrack_reconciled(&self, family: Family, took: Duration, deleted: u64) {
        observe(&self.kube_proxy.conntrack_duration, family, took);
        let name = &[family.as_str()];
        let counter = &self.kube_proxy.conntrack_deleted;
        counter.with_label_values(name).inc_by(deleted);
    }

    /// Rules in the kernel that are ours (of modes that write rules).
    pub fn rules(&self, family: Family, table: Table, total: usize) {
        KubeProxy::set_rules(&self.kube_proxy.rules, family, table, total);
    }

    /// Rules that the last sync wrote (of modes that write rules).
    pub fn rules_written(&self, family: Family, table: Table, rules: usize) {
        KubeProxy::set_rules(&self.kube_proxy.rules_written, family, table, rules);
    }

    /// Elements of our sets and maps in the kernel (nftables mode).
    pub fn elements(&self, family: Family, total: usize) {
        let gauge = &self.own.elements;
        gauge
            .with_label_values(&[family.as_str()])
            .set(as_gauge(total));
    }

    /// A Kubernetes feature gate's value; `stage` is empty for general availability.
    pub fn feature(&self, name: &str, stage: &str, enabled: bool) {
        let gauge = self.kube_proxy.features.with_label_values(&[name, stage]);
        gauge.set(i64::from(enabled));
    }

    /// A sync ended, having written this; both families together. Also to be told of syncs that
    /// wrote nothing.
    pub fn written(&self, writes: &Writes) {
        self.own.written(writes);
    }

    /// Objects were put right that differed from what we wrote.
    pub fn repaired(&self, cause: Repair, objects: usize) {
        let counter = self.own.repairs.with_label_values(&[cause.as_str()]);
        counter.inc_by(objects as u64);
    }

    /// A transaction was refused because somebody else wrote since we looked.
    pub fn write_conflict(&self) {
        self.own.write_conflicts.inc();
    }

    /// A Service lost so many addresses and ports to another one that claims them as well.
    pub fn claim_conflicts(&self, frontends: usize) {
        self.own.claim_conflicts.inc_by(frontends as u64);
    }

    /// Services that are too large, as of now.
    pub fn oversized(&self, services: usize) {
        self.own.oversized.set(as_gauge(services));
    }

    /// Services that the kernel refuses, as of now.
    pub fn quarantined(&self, services: usize) {
        self.own.quarantined.set(as_gauge(services));
    }

    /// Services and slices that exist and can't be used, as of now.
    pub fn unusable(&self, objects: usize) {
        self.own.unusable.set(as_gauge(objects));
    }

    /// Services of which the dataplane refuses a part, as it would harm the node, as of now.
    pub fn objected(&self, services: usize) {
        self.own.objected.set(as_gauge(services));
    }

    /// Services whose health check node port is not served everywhere, as of now.
    pub fn health_checks_unserved(&self, services: usize) {
        self.own.health_checks_unserved.set(as_gauge(services));
    }

    /// Destinations that are not wanted any more and still have connections, as of now (IPVS mode).
    pub fn draining(&self, destinations: usize) {
        self.own.draining.set(as_gauge(destinations));
    }

    /// Settings of the node that are not what they have to be, as of now.
    pub fn host_settings_wrong(&self, settings: usize) {
        self.own.host_settings_wrong.set(as_gauge(settings));
    }

    /// A setting of the node that another program changed was put right.
    pub fn host_setting_repaired(&self) {
        self.own.host_settings_repaired.inc();
    }

    /// A change is in the kernel this long after its event arrived.
    pub fn event_in_kernel(&self, took: Duration) {
        self.own.event_to_kernel.observe(took.as_secs_f64());
    }

    /// A watch heard from the API server: an object, a bookmark, a list. `resource` is the
    /// plural, as in `endpointslices`.
    pub fn watch_heard(&self, resource: &'static str, at: Instant) {
        self.own.watches.heard(resource, at);
    }

    /// A watch lists everything again.
    pub fn watch_relisted(&self, resource: &'static str) {
        self.own.relists.with_label_values(&[resource]).inc();
    }

    /// A list or watch request failed.
    pub fn watch_failed(&self, resource: &'static str) {
        self.own.watch_failures.with_label_values(&[resource]).inc();
    }
}

/// Counts never come near what a gauge can't hold.
fn as_gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn observe(histogram: &prometheus::HistogramVec, family: Family, took: Duration) {
    let name = &[family.as_str()];
    histogram
        .with_label_values(name)
        .observe(took.as_secs_f64());
}

fn set_time(gauge: &prometheus::GaugeVec, family: Family, at: SystemTime) {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let name = &[family.as_str()];
    gauge.with_label_values(name).set(since.as_secs_f64());
}
