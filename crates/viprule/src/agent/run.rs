//! The agent: sources on one thread, the kernel on another, what it serves on a third.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use viprule_service::tracker::Tracker;
use viprule_sync::Rooms;
use viprule_writer::netfilter::{Support, probe};

use super::descriptors;
use super::host_settings::{self, Strictness};
use super::seccomp::{self, Extent};
use super::servers::{self, Servers};
use super::supervisor::{Input, Next, Signals, Supervisor};
use super::sync_thread::{KernelFacts, SyncThread};
use super::telemetry::{EventSink, Telemetry};
use crate::config::{Effective, Reloader};
use crate::health::{ProxyHealth, Room, ServiceCheckOptions};
use crate::log::LogHandle;
use crate::metrics::{BuildInfo, Metrics};
use crate::mode::{Mode, with_mode};

/// What waits for the sync loop at most: messages, each with what came in together.
pub(super) const NEWS: usize = 64;

/// How long an end waits for what the sync thread is at.
const END: Duration = Duration::from_secs(10);

/// Keeps the kernel right until told to stop by SIGTERM or SIGINT. Rules stay in place then.
pub fn run(configuration: Reloader, log: &LogHandle) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let room = descriptors::for_health_checks(descriptors::raise());
    let servers = servers::runtime()?;
    let mode = configuration.current().resolve().mode;
    let outcome = with_mode!(mode, M => {
        runtime.block_on(agent::<M>(configuration, log, servers.handle(), room))
    });
    servers.shutdown_background();
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
    with_mode!(resolved.mode, M => {
        let dataplane = M::dataplane(M::settings(resolved, None), tracker.facts());
        M::prepare_node(resolved, &dataplane, Strictness::Fatal)
    })
}

async fn agent<M: Mode + Default>(
    configuration: Reloader,
    log: &LogHandle,
    serving: &Handle,
    room: Room,
) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let effective = configuration.current();
    let resolved = effective.resolve();
    let mut input = Input::open(&effective.input).await?;
    // Who may not write rules hears of that first, and alone.
    let support = probe(M::HAS_COUNTERS)?;
    // Some of them decide which rules are written.
    host_settings::make(resolved, Strictness::Told)?;
    let kernel = {
        let (effective, support) = (effective.clone(), support.read_again());
        // It may run programs that take long.
        let look = tokio::task::spawn_blocking(move || KernelFacts::look(&effective, support));
        tokio::select! {
            () = signals.end() => return Ok(()),
            kernel = look => kernel??,
        }
    };
    M::start(resolved)?;
    // Nothing that others ask for has been read yet, and nobody is served.
    if resolved.seccomp {
        give_up::<M>(kernel.runs_programs() || input.runs_program());
    }
    let (failures, listen_failures) = mpsc::unbounded_channel();
    let health = Arc::new(ProxyHealth::new(2 * resolved.sync.period));
    let support = kernel.support;
    let served = kernel.served(resolved.mode);
    let (listener, services) = M::counters().map(|it| (it.listener, it.text)).unzip();
    let metrics = Arc::new(metrics::<M>(effective, support)?);
    let servers = {
        // Their tasks are that runtime's.
        let _there = serving.enter();
        let checks = ServiceCheckOptions {
            room,
            ..ServiceCheckOptions::new(metrics.clone(), failures)
        };
        Servers::start(effective, &health, &metrics, services, checks)?
    };
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
    let sync = SyncThread::<M> {
        kernel,
        effective: effective.clone(),
        telemetry: telemetry.clone(),
        rooms: Rooms::default(),
        listener,
        inbox,
        conflicts,
        stopped,
    };
    let sync_loop = sync.spawn(ended)?;
    let mut supervisor = Supervisor {
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
        served,
    };
    let outcome = loop {
        match supervisor.follow(input).await {
            Next::End(outcome) => break outcome,
            Next::Follow(next) => {
                tracing::info!("following the API server another way");
                input = next;
            }
        }
    };
    // An agent that has ended does not listen any more.
    let _ = stop.send(());
    drop(supervisor);
    let join = tokio::task::spawn_blocking(move || sync_loop.join());
    let Ok(joined) = tokio::time::timeout(END, join).await else {
        tracing::warn!(
            "the kernel or a program keeps the sync thread busy for more than {} s: the agent ends \
             without it",
            END.as_secs()
        );
        return outcome;
    };
    let kept = joined?.map_err(|_| anyhow::anyhow!("the sync thread panicked"))?;
    kept.and(outcome)
}

/// Gives up what only the start takes.
fn give_up<M: Mode>(programs: bool) {
    M::hold();
    seccomp::set(if programs {
        Extent::Programs
    } else {
        Extent::Agent
    });
}

fn metrics<M: Mode>(effective: &Effective, support: Support) -> anyhow::Result<Metrics> {
    let metrics = Metrics::new(M::metrics(support), &BuildInfo::of_this_program())?;
    for (gate, stage, enabled) in effective.feature_gates() {
        metrics.feature(gate, stage, enabled);
    }
    Ok(metrics)
}
