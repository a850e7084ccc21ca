//! Health checks of the debug server, counted (`/metrics/slis`).

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

/// How health checks went.
#[derive(Debug)]
pub struct Slis {
    registry: Registry,
    result: IntGaugeVec,
    total: IntCounterVec,
}

impl Slis {
    /// Nothing was checked yet. Fails only on a metric that is defined twice.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let result = IntGaugeVec::new(
            Opts::new(
                "kubernetes_healthcheck",
                "[STABLE] This metric records the result of a single healthcheck.",
            ),
            &["name", "type"],
        )?;
        let total = IntCounterVec::new(
            Opts::new(
                "kubernetes_healthchecks_total",
                "[STABLE] This metric records the results of all healthcheck.",
            ),
            &["name", "type", "status"],
        )?;
        registry.register(Box::new(result.clone()))?;
        registry.register(Box::new(total.clone()))?;
        Ok(Self {
            registry,
            result,
            total,
        })
    }

    /// A check of `/healthz` passed.
    pub fn passed(&self, check: &str) {
        self.result.with_label_values(&[check, "healthz"]).set(1);
        let total = &self.total;
        total
            .with_label_values(&[check, "healthz", "success"])
            .inc();
    }

    /// Forgets everything.
    pub fn reset(&self) {
        self.result.reset();
        self.total.reset();
    }

    /// Everything in Prometheus' text format 0.0.4.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
