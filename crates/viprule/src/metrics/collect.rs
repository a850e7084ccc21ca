//! Metrics whose value is looked up when somebody asks.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, Opts, Registry};

/// What a looked-up value is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A metric without labels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
}

impl Metric {
    fn family(&self, value: f64) -> Vec<MetricFamily> {
        let opts = Opts::new(self.name, self.help);
        let families = match self.kind {
            Kind::Counter => Counter::with_opts(opts).map(|counter| {
                counter.inc_by(value);
                counter.collect()
            }),
            Kind::Gauge => Gauge::with_opts(opts).map(|gauge| {
                gauge.set(value);
                gauge.collect()
            }),
        };
        // The same options were good enough to be described with.
        families.unwrap_or_default()
    }
}

/// Several metrics that are looked up together; one without a value is left out.
struct Lookup<F> {
    metrics: &'static [Metric],
    descriptions: Vec<Desc>,
    look: F,
}

/// Registers metrics of which `look` returns the values, in their order.
pub(super) fn register<F>(
    registry: &Registry,
    metrics: &'static [Metric],
    look: F,
) -> Result<(), prometheus::Error>
where
    F: Fn() -> Vec<Option<f64>> + Send + Sync + 'static,
{
    let describe = |metric: &Metric| {
        let (name, help) = (metric.name.to_owned(), metric.help.to_owned());
        Desc::new(name, help, Vec::new(), std::collections::HashMap::new())
    };
    let descriptions = metrics.iter().map(describe).collect::<Result<_, _>>()?;
    registry.register(Box::new(Lookup {
        metrics,
        descriptions,
        look,
    }))
}

impl<F: Fn() -> Vec<Option<f64>> + Send + Sync> Collector for Lookup<F> {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let values = (self.look)();
        let known = self.metrics.iter().zip(values);
        known
            .flat_map(|(metric, value)| value.map_or_else(Vec::new, |value| metric.family(value)))
            .collect()
    }
}
