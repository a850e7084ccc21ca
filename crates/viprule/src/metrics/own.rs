//! Metrics that kube-proxy has no like of.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, exponential_buckets,
};

use super::Writes;
use super::collect::{self, Kind, Metric};
use super::kube_proxy::FAMILY;
use crate::log;
use crate::mode::{Counted, ModeMetrics};

const LOG: &[Metric] = &[Metric {
    name: "viprule_lost_log_lines_total",
    help: "Lines of the log that standard error did not take",
    kind: Kind::Counter,
}];

/// How a difference between the kernel and what we wrote was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// The kernel said that somebody wrote.
    Notification,
    /// The periodic look found it.
    Period,
    /// A write's outcome was unknown.
    UnknownOutcome,
    /// It was there at the start: leftovers of a former run or of another proxy.
    Start,
}

impl Repair {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Notification => "notification",
            Self::Period => "period",
            Self::UnknownOutcome => "unknown_outcome",
            Self::Start => "start",
        }
    }
}

pub(super) struct Own {
    objects: IntCounterVec,
    transactions: IntCounter,
    bytes: IntCounter,
    objects_per_sync: Histogram,
    pub(super) repairs: IntCounterVec,
    pub(super) write_conflicts: IntCounter,
    pub(super) claim_conflicts: IntCounter,
    pub(super) quarantined: IntGauge,
    pub(super) oversized: IntGauge,
    pub(super) objected: IntGauge,
    pub(super) unusable: IntGauge,
    pub(super) health_checks_unserved: IntGauge,
    pub(super) draining: IntGauge,
    pub(super) elements: IntGaugeVec,
    pub(super) host_settings_wrong: IntGauge,
    pub(super) host_settings_repaired: IntCounter,
    pub(super) event_to_kernel: Histogram,
    pub(super) watches: Watches,
    pub(super) relists: IntCounterVec,
    pub(super) watch_failures: IntCounterVec,
}

/// Not every mode shows it.
fn draining(registry: &Registry, mode: ModeMetrics) -> Result<IntGauge, prometheus::Error> {
    let draining = IntGauge::with_opts(Opts::new(
        "viprule_ipvs_draining_destinations",
        "Destinations at weight 0 that wait for the end of their connections",
    ))?;
    if mode.draining {
        registry.register(Box::new(draining.clone()))?;
    }
    Ok(draining)
}

fn elements(registry: &Registry, mode: ModeMetrics) -> Result<IntGaugeVec, prometheus::Error> {
    let opts = Opts::new(
        "viprule_nftables_elements",
        "Elements of our sets and maps, without those that packets add",
    );
    let elements = IntGaugeVec::new(opts, &[FAMILY])?;
    if mode.counted == Counted::Elements {
        registry.register(Box::new(elements.clone()))?;
    }
    Ok(elements)
}

impl Own {
    pub(super) fn register(
        registry: &Registry,
        mode: ModeMetrics,
    ) -> Result<Self, prometheus::Error> {
        collect::register(registry, LOG, || {
            let lost = u32::try_from(log::lost_lines()).unwrap_or(u32::MAX);
            vec![Some(f64::from(lost))]
        })?;
        let counter =
            |name: &str, help: &str| add(registry, IntCounter::with_opts(Opts::new(name, help)));
        let gauge =
            |name: &str, help: &str| add(registry, IntGauge::with_opts(Opts::new(name, help)));
        let counters = |name: &str, help: &str, label: &str| {
            add(
                registry,
                IntCounterVec::new(Opts::new(name, help), &[label]),
            )
        };
        let histogram = |name: &str, help: &str, buckets: Vec<f64>| {
            let opts = HistogramOpts::new(name, help).buckets(buckets);
            add(registry, Histogram::with_opts(opts))
        };
        let from_nothing = exponential_buckets(1.0, 4.0, 10)?;
        let from_nothing = [0.0].into_iter().chain(from_nothing).collect();
        Ok(Self {
            objects: counters(
                "viprule_written_objects_total",
                "Kernel objects written, by operation",
                "operation",
            )?,
            transactions: counter(
                "viprule_transactions_total",
                "Transactions sent to the kernel",
            )?,
            bytes: counter("viprule_written_bytes_total", "Bytes sent to the kernel")?,
            objects_per_sync: histogram(
                "viprule_sync_written_objects",
                "Kernel objects that a sync wrote",
                from_nothing,
            )?,
            repairs: counters(
                "viprule_repaired_objects_total",
                "Kernel objects put right that differed from what was written, by how it was found",
                "cause",
            )?,
            write_conflicts: counter(
                "viprule_write_conflicts_total",
                "Transactions refused because somebody else wrote meanwhile; they are sent again",
            )?,
            claim_conflicts: counter(
                "viprule_claim_conflicts_total",
                "Addresses and ports that a Service lost to another one that claims them as well",
            )?,
            quarantined: gauge(
                "viprule_quarantined_services",
                "Services that the kernel refuses and that are left out for that",
            )?,
            oversized: gauge(
                "viprule_oversized_services",
                "Services that are larger than the budget of a Service and that are left as they were",
            )?,
            objected: gauge(
                "viprule_partly_programmed_services",
                "Services of which a part is left out because it would harm the node",
            )?,
            unusable: gauge(
                "viprule_refused_objects",
                "Services and EndpointSlices that exist and can't be used",
            )?,
            health_checks_unserved: gauge(
                "viprule_unserved_health_checks",
                "Services whose health check node port can't be served",
            )?,
            draining: draining(registry, mode)?,
            elements: elements(registry, mode)?,
            host_settings_wrong: gauge(
                "viprule_host_settings_wrong",
                "Settings of the node that have to be otherwise and can't be put right",
            )?,
            host_settings_repaired: counter(
                "viprule_host_settings_repaired_total",
                "Settings of the node that another program changed and that were put right",
            )?,
            event_to_kernel: histogram(
                "viprule_event_to_kernel_seconds",
                "Time from the arrival of a change to the end of the transaction that has it",
                exponential_buckets(0.0005, 2.0, 16)?,
            )?,
            watches: add(registry, Watches::new())?,
            relists: counters(
                "viprule_watch_relists_total",
                "Times that a watch listed everything again",
                "resource",
            )?,
            watch_failures: counters(
                "viprule_watch_failures_total",
                "List and watch requests that failed",
                "resource",
            )?,
        })
    }

    pub(super) fn written(&self, writes: &Writes) {
        let Writes {
            created,
            replaced,
            removed,
            transactions,
            bytes,
        } = *writes;
        let by_operation = [
            ("created", created),
            ("replaced", replaced),
            ("removed", removed),
        ];
        for (operation, objects) in by_operation {
            let counter = self.objects.with_label_values(&[operation]);
            counter.inc_by(objects as u64);
        }
        self.transactions.inc_by(transactions as u64);
        self.bytes.inc_by(bytes as u64);
        let objects = u32::try_from(created + replaced + removed).unwrap_or(u32::MAX);
        self.objects_per_sync.observe(f64::from(objects));
    }
}

fn add<M: Collector + Clone + 'static>(
    registry: &Registry,
    metric: Result<M, prometheus::Error>,
) -> Result<M, prometheus::Error> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// When each watch heard something last; its age is worked out when somebody asks.
#[derive(Clone)]
pub(super) struct Watches {
    age: GaugeVec,
    heard: Arc<Mutex<BTreeMap<&'static str, Instant>>>,
}

impl Watches {
    fn new() -> Result<Self, prometheus::Error> {
        let opts = Opts::new(
            "viprule_watch_age_seconds",
            "Time since the API server was last heard of on a watch",
        );
        Ok(Self {
            age: GaugeVec::new(opts, &["resource"])?,
            heard: Arc::default(),
        })
    }

    pub(super) fn heard(&self, resource: &'static str, at: Instant) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.insert(resource, at);
    }
}

impl Collector for Watches {
    fn desc(&self) -> Vec<&Desc> {
        self.age.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let now = tokio::time::Instant::now().into_std();
        for (resource, at) in &*heard {
            let age = self.age.with_label_values(&[*resource]);
            age.set(now.saturating_duration_since(*at).as_secs_f64());
        }
        self.age.collect()
    }
}
