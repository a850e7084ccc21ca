//! The agent: sources and servers on one thread, the kernel on another.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::{mpsc, oneshot};
use viprule_dataplane::family::in_plans;
use viprule_dataplane::iptables::{Iptables, Settings};
use viprule_service::model;
use viprule_service::tracker::{Conflict, Tracker};
use viprule_writer::backend::{Choice, HostWriter, choose};
use viprule_writer::conntrack::Cleaner;
use viprule_writer::iptables::{Support, probe};

use super::front::{Front, Input, Next, Signals};
use super::host_settings::{self, Strictness};
use super::keeper::{Keeper, Timing};
use super::news::News;
use super::patience::Patience;
use super::servers::Servers;
use super::surroundings::Surroundings;
use super::takeover::Takeover;
use super::telemetry::{EventSink, Pending, Telemetry};
use super::{Syncer, flows};
use crate::config::{Effective, InputSource, Reloader};
use crate::health::ProxyHealth;
use crate::log::LogHandle;
use crate::metrics::{BuildInfo, Metrics, MetricsMode};

/// What waits for the sync loop at most: messages, each with what came in together.
const NEWS: usize = 64;

/// Keeps the kernel right until told to stop by SIGTERM or SIGINT. Rules stay in place then.
pub fn run(configuration: Reloader, log: &LogHandle) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(agent(configuration, log));
    // Whoever still looks up a name, or waits for a credential program, is not waited for.
    runtime.shutdown_background();
    outcome
}

/// Makes the settings of this machine that need more rights than the rest, and nothing else
/// (`--init-only`, contract 9.1).
pub fn prepare_host(effective: &Effective) -> anyhow::Result<()> {
    let resolved = effective.resolve();
    host_settings::make(resolved, Strictness::Fatal)?;
    let tracker = Tracker::new(resolved.plan.clone());
    let dataplane = Iptables::new(resolved.iptables.clone(), tracker.facts());
    Ok(host_settings::ensure(dataplane.options())?)
}

async fn agent(configuration: Reloader, log: &LogHandle) -> anyhow::Result<()> {
    let signals = Signals::listen()?;
    let effective = configuration.current();
    let resolved = effective.resolve();
    let mut input = Input::open(&effective.input).await?;
    // Who may not write rules hears of that first, and alone.
    probe(true)?;
    // Some of them decide which rules are written.
    host_settings::make(resolved, Strictness::Told)?;
    let kernel = KernelFacts::look(effective)?;
    let (failures, listen_failures) = mpsc::unbounded_channel();
    let health = Arc::new(ProxyHealth::new(2 * resolved.sync.period));
    let support = kernel.support;
    let mode = MetricsMode::Iptables {
        nfacct: support.nfacct,
    };
    let metrics = Arc::new(Metrics::new(mode, &BuildInfo::of_this_program())?);
    for (gate, stage, enabled) in effective.feature_gates() {
        metrics.feature(gate, stage, enabled);
    }
    let servers = Servers::start(effective, &health, &metrics, failures)?;
    let telemetry = Telemetry {
        families: kernel.families(),
        metrics,
        health,
        checks: servers.checks.clone(),
        events: EventSink::default(),
    };

    let (news, inbox) = mpsc::channel(NEWS);
    let (conflicts, disputes) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel();
    let (ended, end) = oneshot::channel::<()>();
    let sync = SyncThread {
        kernel,
        effective: effective.clone(),
        telemetry: telemetry.clone(),
        inbox,
        conflicts,
        stopped,
    };
    let keeper = sync.spawn(ended)?;
    let mut front = Front {
        configuration,
        log,
        signals,
        servers,
        telemetry,
        news,
        disputes,
        listen_failures,
        end,
        another_input: false,
        support,
    };
    let outcome = loop {
        match front.follow(input).await {
            Next::End(outcome) => break outcome,
            Next::Follow(next) => {
                tracing::info!("following the API server another way");
                input = next;
            }
        }
    };
    // An agent that has ended does not listen any more.
    let _ = stop.send(());
    drop(front);
    let kept = tokio::task::spawn_blocking(move || keeper.join())
        .await?
        .map_err(|_| anyhow::anyhow!("the sync thread panicked"))?;
    kept.and(outcome)
}

/// What was found in this kernel.
#[derive(Debug)]
struct KernelFacts {
    support: Support,
    choice: Choice,
    settings: Settings,
}

impl KernelFacts {
    fn look(effective: &Effective) -> anyhow::Result<Self> {
        let resolved = effective.resolve();
        let support = probe(true)?;
        if !support.nfacct {
            tracing::info!(
                "this kernel has no nfacct counters: the rules that count go without them"
            );
        }
        let choice = choose(resolved.backend.chosen())?;
        tracing::info!(backend = %choice.backend, "iptables: {}", choice.reason);
        for warning in &choice.warnings {
            tracing::warn!("{warning}");
        }
        Ok(Self {
            support,
            choice,
            settings: resolved.iptables_on(support),
        })
    }

    fn families(&self) -> Vec<model::Family> {
        let families = self.settings.families.iter();
        families.map(|family| in_plans(*family)).collect()
    }
}

/// All that the sync thread owns.
struct SyncThread {
    kernel: KernelFacts,
    effective: Effective,
    telemetry: Telemetry,
    inbox: mpsc::Receiver<News>,
    conflicts: mpsc::UnboundedSender<Conflict>,
    stopped: oneshot::Receiver<()>,
}

impl SyncThread {
    fn spawn(self, ended: oneshot::Sender<()>) -> std::io::Result<JoinHandle<anyhow::Result<()>>> {
        thread::Builder::new()
            .name("viprule-sync".to_owned())
            .spawn(move || {
                // Whoever waits for the end hears of it even if this panics.
                let _ended = ended;
                self.keep()
            })
    }

    fn keep(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let resolved = self.effective.resolve();
        let from_cluster = matches!(self.effective.input, InputSource::Cluster { .. });
        let KernelFacts {
            choice, settings, ..
        } = self.kernel;
        let tracker = Tracker::new(resolved.plan.clone());
        let writer = HostWriter::open(choice.backend, &settings.families)?;
        let patience = if from_cluster {
            Patience::of(&settings)
        } else {
            Patience::default()
        };
        let cleaner = Cleaner::spawn(flows::reporter(self.telemetry.clone()))?;
        let dataplane = Iptables::new(settings, tracker.facts());
        let mut syncer = Syncer::new(tracker, dataplane, writer).with_cleaner(cleaner);
        syncer.ledger().serve_only(self.telemetry.families.clone());
        let keeper = Keeper {
            syncer,
            inbox: self.inbox,
            conflicts: self.conflicts,
            telemetry: self.telemetry,
            surroundings: Surroundings::new(!from_cluster),
            takeover: Takeover::new(choice.leftovers.then(|| choice.backend.other())),
            resolved: resolved.clone(),
            patience,
            timing: Timing::new(),
            ready: false,
            owes: false,
            pending: Pending::default(),
        };
        runtime.block_on(keeper.keep(self.stopped))
    }
}
