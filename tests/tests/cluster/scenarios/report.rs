//! What became of a scenario's connections, and how fast its changes reached the kernels.

use super::Stage;
use crate::support::LIMIT;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;
use viprule_testkit::client::{Failure, KeptReport, LoadReport};
use viprule_testkit::programmed::{Latencies, Transition};

/// The outcome.
#[derive(Debug)]
pub(crate) struct Report {
    new: Vec<LoadReport>,
    kept: Vec<KeptReport>,
    /// By node: the name of its proxy, and how long it took for endpoints to come into use and to
    /// go out of use.
    latencies: Vec<NodeLatencies>,
}

type NodeLatencies = (&'static str, Latencies, Latencies);

impl Report {
    pub(super) fn new(
        stage: &Stage,
        app: &str,
        begun: Instant,
        new: Vec<LoadReport>,
        kept: Vec<KeptReport>,
    ) -> Self {
        // The last changes may be on their way still; what is late for ever counts as not made.
        let _ = stage.caught_up(app, LIMIT);
        let latencies = measure(stage, app, begun);
        Self {
            new,
            kept,
            latencies,
        }
    }

    /// New connections by the backend that answered.
    pub(crate) fn backends(&self) -> BTreeMap<SocketAddr, u64> {
        let mut all = BTreeMap::new();
        for (backend, count) in self.new.iter().flat_map(|load| &load.backends) {
            *all.entry(*backend).or_default() += count;
        }
        all
    }

    /// Changes of endpoints that reached a kernel.
    pub(crate) fn programmed(&self) -> usize {
        let counts = self.latencies.iter();
        counts
            .map(|(_, used, unused)| used.len() + unused.len())
            .sum()
    }

    /// Everything, on lines of its own.
    pub(super) fn print(&self, name: &str, started: Instant) {
        let new: u64 = self.new.iter().map(|load| load.started).sum();
        let kept = |count: fn(&KeptReport) -> u64| self.kept.iter().map(count).sum::<u64>();
        let slowest = self.new.iter().filter_map(|load| load.slowest.as_ref());
        let slowest = slowest.map(|sample| sample.elapsed).max();
        eprintln!(
            "{name}: {new} new connections, {} failed, {} pods answered, slowest {:?}; {} kept \
             connections, {} requests, {} failed, {} closed by their server; {:.1?}",
            self.failed_new(),
            self.backends().len(),
            slowest.unwrap_or_default(),
            kept(|it| it.opened),
            kept(|it| it.answered),
            kept(KeptReport::failed),
            kept(|it| it.closed),
            started.elapsed(),
        );
        for (node, (proxy, used, unused)) in self.latencies.iter().enumerate() {
            for (what, times) in [("into use", used), ("out of use", unused)] {
                if times.is_empty() && times.missed == 0 {
                    continue;
                }
                eprintln!(
                    "  node-{node} {proxy}: endpoints {what} from API to kernel: {} changes, p50 \
                     {:.1?}, p99 {:.1?}, not made {}",
                    times.len(),
                    times.percentile(50),
                    times.percentile(99),
                    times.missed,
                );
            }
        }
    }

    /// What is wrong, if something is.
    pub(super) fn verdict(&self) -> Result<(), String> {
        let failures = self.failures();
        if !failures.is_empty() {
            let examples = self.new.iter().filter_map(|load| load.examples.first());
            let examples: Vec<_> = examples.collect();
            return Err(format!(
                "connections failed: {failures:?}, such as {examples:?}"
            ));
        }
        let idle = self.new.iter().any(|load| load.answered() == 0)
            || self.kept.iter().any(|load| load.answered == 0);
        if idle {
            return Err("nobody connected".to_owned());
        }
        Ok(())
    }

    fn failures(&self) -> BTreeMap<Failure, u64> {
        let mut all = BTreeMap::new();
        let new = self.new.iter().flat_map(|load| &load.failures);
        let kept = self.kept.iter().flat_map(|load| &load.failures);
        for (failure, count) in new.chain(kept) {
            *all.entry(failure.clone()).or_default() += count;
        }
        all
    }

    fn failed_new(&self) -> u64 {
        self.new.iter().map(LoadReport::failed).sum()
    }
}

/// The latencies of an app's endpoints since `begun`.
fn measure(stage: &Stage, app: &str, begun: Instant) -> Vec<NodeLatencies> {
    let (api, kernels) = stage.watches();
    let prefix = format!("default/{app}:");
    let own = |transitions: Vec<Transition>, used: bool| -> Vec<Transition> {
        let own = transitions.into_iter();
        own.filter(|it| it.at >= begun && it.used == used && it.endpoint.starts_with(&prefix))
            .collect()
    };
    let kernels = kernels.into_iter().map(|(proxy, rules)| {
        let [used, unused] = [true, false].map(|used| {
            let made = own(rules.transitions().unwrap(), used);
            Latencies::between(&own(api.transitions(), used), &made)
        });
        (proxy, used, unused)
    });
    kernels.collect()
}
