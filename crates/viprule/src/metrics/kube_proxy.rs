//! kube-proxy's own metrics (contract 7): names, types, labels, buckets and help are its.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, exponential_buckets,
};
use viprule_service::model::Family;

use super::{SyncKind, Table, as_gauge, observe};
use crate::mode::{Counted, Failures, ModeMetrics};

pub(super) const FAMILY: &str = "ip_family";

pub(super) struct KubeProxy {
    failures: Failures,
    sync_duration: HistogramVec,
    full_sync_duration: HistogramVec,
    partial_sync_duration: HistogramVec,
    pub(super) last_queued: GaugeVec,
    pub(super) last_synced: GaugeVec,
    pub(super) network_programming: HistogramVec,
    pub(super) endpoints_pending: IntGauge,
    pub(super) endpoint_changes: IntCounter,
    pub(super) services_pending: IntGauge,
    pub(super) service_changes: IntCounter,
    pub(super) no_local_endpoints: IntGaugeVec,
    pub(super) healthz: IntCounterVec,
    pub(super) livez: IntCounterVec,
    pub(super) conntrack_duration: HistogramVec,
    pub(super) conntrack_deleted: IntCounterVec,
    pub(super) rules: IntGaugeVec,
    pub(super) rules_written: IntGaugeVec,
    restore_failures: IntCounterVec,
    partial_restore_failures: IntCounterVec,
    nftables_sync_failures: IntCounterVec,
    pub(super) nftables_cleanup_failures: IntCounterVec,
    pub(super) features: IntGaugeVec,
}

impl KubeProxy {
    #[expect(clippy::too_many_lines, reason = "a list, one entry after the other")]
    pub(super) fn register(
        registry: &Registry,
        mode: ModeMetrics,
    ) -> Result<Self, prometheus::Error> {
        let all = Group {
            registry,
            served: true,
        };
        // What the mode does not have is there to be told, but not served.
        let when = |served| Group { registry, served };
        let ruled = when(mode.counted == Counted::Rules);
        let split = when(mode.failures != Failures::Restores);
        let restoring = when(mode.failures != Failures::Transactions);
        let restoring_in_part = when(mode.failures == Failures::RestoresByKind);
        let transacting = when(mode.failures == Failures::Transactions);
        Ok(Self {
            failures: mode.failures,
            sync_duration: all.durations(
                "sync_proxy_rules_duration_seconds",
                "SyncProxyRules latency in seconds",
            )?,
            full_sync_duration: split.durations(
                "sync_full_proxy_rules_duration_seconds",
                "SyncProxyRules latency in seconds for full resyncs",
            )?,
            partial_sync_duration: split.durations(
                "sync_partial_proxy_rules_duration_seconds",
                "SyncProxyRules latency in seconds for partial resyncs",
            )?,
            last_queued: all.times(
                "sync_proxy_rules_last_queued_timestamp_seconds",
                "The last time a sync of proxy rules was queued",
            )?,
            last_synced: all.times(
                "sync_proxy_rules_last_timestamp_seconds",
                "The last time proxy rules were successfully synced",
            )?,
            network_programming: all.histogram(
                "network_programming_duration_seconds",
                "In Cluster Network Programming Latency in seconds",
                programming_buckets(),
            )?,
            endpoints_pending: all.add(IntGauge::with_opts(opts(
                "sync_proxy_rules_endpoint_changes_pending",
                "Pending proxy rules Endpoint changes",
            )))?,
            endpoint_changes: all.add(IntCounter::with_opts(opts(
                "sync_proxy_rules_endpoint_changes_total",
                "Cumulative proxy rules Endpoint changes",
            )))?,
            services_pending: all.add(IntGauge::with_opts(opts(
                "sync_proxy_rules_service_changes_pending",
                "Pending proxy rules Service changes",
            )))?,
            service_changes: all.add(IntCounter::with_opts(opts(
                "sync_proxy_rules_service_changes_total",
                "Cumulative proxy rules Service changes",
            )))?,
            no_local_endpoints: all.gauges(
                "sync_proxy_rules_no_local_endpoints_total",
                "Number of services with a Local traffic policy and no endpoints",
                &["traffic_policy", FAMILY],
            )?,
            healthz: all.counters(
                "proxy_healthz_total",
                "Cumulative proxy healthz HTTP status",
                &["code"],
            )?,
            livez: all.counters(
                "proxy_livez_total",
                "Cumulative proxy livez HTTP status",
                &["code"],
            )?,
            conntrack_duration: all.durations(
                "conntrack_reconciler_sync_duration_seconds",
                "ReconcileConntrackFlowsLatency latency in seconds",
            )?,
            conntrack_deleted: all.counters(
                "conntrack_reconciler_deleted_entries_total",
                "Cumulative conntrack flows deleted by conntrack reconciler",
                &[FAMILY],
            )?,
            rules: ruled.gauges(
                "sync_proxy_rules_iptables_total",
                "Total number of iptables rules owned by kube-proxy",
                &["table", FAMILY],
            )?,
            rules_written: ruled.gauges(
                "sync_proxy_rules_iptables_last",
                "Number of iptables rules written by kube-proxy in last sync",
                &["table", FAMILY],
            )?,
            restore_failures: restoring.counters(
                "sync_proxy_rules_iptables_restore_failures_total",
                "Cumulative proxy iptables restore failures",
                &[FAMILY],
            )?,
            partial_restore_failures: restoring_in_part.counters(
                "sync_proxy_rules_iptables_partial_restore_failures_total",
                "Cumulative proxy iptables partial restore failures",
                &[FAMILY],
            )?,
            nftables_sync_failures: transacting.counters(
                "sync_proxy_rules_nftables_sync_failures_total",
                "Cumulative proxy nftables sync failures",
                &[FAMILY],
            )?,
            nftables_cleanup_failures: transacting.counters(
                "sync_proxy_rules_nftables_cleanup_failures_total",
                "Cumulative proxy nftables cleanup failures",
                &[FAMILY],
            )?,
            features: all.add(IntGaugeVec::new(
                Opts::new(
                    "kubernetes_feature_enabled",
                    "[BETA] This metric records the data about the stage and enablement of a k8s feature.",
                ),
                &["name", "stage"],
            ))?,
        })
    }

    pub(super) fn sync_attempted(&self, family: Family, kind: SyncKind, took: Duration) {
        observe(&self.sync_duration, family, took);
        let by_kind = match kind {
            SyncKind::Full => &self.full_sync_duration,
            SyncKind::Partial => &self.partial_sync_duration,
        };
        observe(by_kind, family, took);
    }

    pub(super) fn sync_failed(&self, family: Family, kind: SyncKind) {
        let counter = match (self.failures, kind) {
            (Failures::Transactions, _) => &self.nftables_sync_failures,
            (Failures::RestoresByKind, SyncKind::Partial) => &self.partial_restore_failures,
            _ => &self.restore_failures,
        };
        counter.with_label_values(&[family.as_str()]).inc();
    }

    pub(super) fn set_rules(gauge: &IntGaugeVec, family: Family, table: Table, rules: usize) {
        let table = match table {
            Table::Filter => "filter",
            Table::Nat => "nat",
        };
        let gauge = gauge.with_label_values(&[table, family.as_str()]);
        gauge.set(as_gauge(rules));
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("kubeproxy_{name}"), format!("[ALPHA] {help}"))
}

/// 0.25 and 0.5 s, each second to 59, every 5 s to 115, every 30 s to 300.
fn programming_buckets() -> Vec<f64> {
    let whole = (1..60)
        .chain((60..120).step_by(5))
        .chain((120..301).step_by(30))
        .map(f64::from);
    [0.25, 0.5].into_iter().chain(whole).collect()
}

/// Metrics that are served or not.
struct Group<'a> {
    registry: &'a Registry,
    served: bool,
}

impl Group<'_> {
    fn add<M: Collector + Clone + 'static>(
        &self,
        metric: Result<M, prometheus::Error>,
    ) -> Result<M, prometheus::Error> {
        let metric = metric?;
        if self.served {
            self.registry.register(Box::new(metric.clone()))?;
        }
        Ok(metric)
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.add(IntCounterVec::new(opts(name, help), labels))
    }

    fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, prometheus::Error> {
        self.add(IntGaugeVec::new(opts(name, help), labels))
    }

    fn times(&self, name: &str, help: &str) -> Result<GaugeVec, prometheus::Error> {
        self.add(GaugeVec::new(opts(name, help), &[FAMILY]))
    }

    /// 1 ms doubled up to 16.384 s.
    fn durations(&self, name: &str, help: &str) -> Result<HistogramVec, prometheus::Error> {
        self.histogram(name, help, exponential_buckets(0.001, 2.0, 15)?)
    }

    fn histogram(
        &self,
        name: &str,
        help: &str,
        buckets: Vec<f64>,
    ) -> Result<HistogramVec, prometheus::Error> {
        let opts = HistogramOpts::from(opts(name, help)).buckets(buckets);
        self.add(HistogramVec::new(opts, &[FAMILY]))
    }
}
