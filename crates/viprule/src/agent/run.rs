//! The agent: sources on one thread, the kernel on another.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use viprule_dataplane::iptables::{Iptables, Settings};
use viprule_service::model::Event;
use viprule_service::plan::PlanConfig;
use viprule_service::tracker::{Conflict, Tracker};
use viprule_source::addresses::{self, Addresses};
use viprule_source::manifest::{Load, Manifests, Severity, Watch, WatchOptions};
use viprule_writer::iptables::IptablesWriter;

use super::keeper::{Keeper, News};
use super::{Syncer, host_settings};

/// What the agent needs to know.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Files and folders to read and follow.
    pub manifests: Vec<PathBuf>,
    /// What plans depend on.
    pub plan: PlanConfig,
    /// The dataplane's settings.
    pub settings: Settings,
    /// How often the kernel is checked without being told to.
    pub sync_period: Duration,
    /// How long to wait between the end of one sync and the next.
    pub min_sync_period: Duration,
}

/// Keeps the kernel right until told to stop by SIGTERM or SIGINT. Rules stay in place then.
pub fn run(options: &RunOptions) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(agent(options))
}

async fn agent(options: &RunOptions) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (news, inbox) = mpsc::unbounded_channel();
    let (conflicts, disputes) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel();
    let (ended, mut end) = oneshot::channel::<()>();
    let kernel = options.clone();
    let keeper = thread::Builder::new()
        .name("viprule-sync".to_owned())
        .spawn(move || {
            // Whoever waits for the end hears of it even if this panics.
            let _ended = ended;
            keep(&kernel, inbox, conflicts, stopped)
        })?;
    let outcome: anyhow::Result<()> = tokio::select! {
        _ = terminate.recv() => { tracing::info!("SIGTERM: rules stay in place"); Ok(()) }
        _ = interrupt.recv() => { tracing::info!("SIGINT: rules stay in place"); Ok(()) }
        result = follow(options, news, disputes) => result,
        _ = &mut end => Ok(()),
    };
    // An agent that has ended does not listen any more.
    let _ = stop.send(());
    let kept = keeper
        .join()
        .map_err(|_| anyhow::anyhow!("the sync thread panicked"))?;
    kept.and(outcome)
}

/// The sync thread.
fn keep(
    options: &RunOptions,
    inbox: mpsc::UnboundedReceiver<News>,
    conflicts: mpsc::UnboundedSender<Conflict>,
    stopped: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tracker = Tracker::new(options.plan.clone());
    let dataplane = Iptables::new(options.settings.clone(), tracker.facts());
    host_settings::ensure(dataplane.options())?;
    let syncer = Syncer::new(
        tracker,
        dataplane,
        IptablesWriter::open(&options.settings.families)?,
    );
    let keeper = Keeper::new(
        syncer,
        inbox,
        conflicts,
        options.sync_period,
        options.min_sync_period,
    );
    runtime.block_on(keeper.keep(stopped))
}

/// Follows the sources.
async fn follow(
    options: &RunOptions,
    news: mpsc::UnboundedSender<News>,
    mut disputes: mpsc::UnboundedReceiver<Conflict>,
) -> anyhow::Result<()> {
    let mut reload = signal(SignalKind::hangup())?;
    let mut watch = Watch::new(options.manifests.clone(), WatchOptions::default())
        .context("following the manifests")?;
    let node = options.plan.node_name.clone();
    let manifests = Manifests::new(options.manifests.clone(), Some(node));
    let (mut manifests, load) = read(manifests).await?;
    let knows_node = load
        .events
        .iter()
        .any(|event| matches!(event, Event::NodeApplied(_)));
    let mut addresses = if knows_node {
        None
    } else {
        let follow = Addresses::follow().context("following interface addresses")?;
        let now = addresses::local_addresses()
            .await
            .context("reading interface addresses")?;
        let _ = news.send(News::Events(vec![Event::LocalAddresses(now)]));
        Some(follow)
    };
    publish(load, &news);
    let _ = news.send(News::Complete);
    loop {
        let changed = async {
            match &mut addresses {
                Some(addresses) => addresses.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = watch.changed() => {}
            _ = reload.recv() => tracing::info!("SIGHUP: reading the manifests again"),
            Some(conflict) = disputes.recv() => {
                tracing::error!("{}", manifests.conflict(&conflict));
                continue;
            }
            now = changed => {
                let _ = news.send(News::Events(vec![Event::LocalAddresses(now)]));
                continue;
            }
        }
        let (again, load) = read(manifests).await?;
        manifests = again;
        publish(load, &news);
    }
}

/// Reads the manifests apart from the reactor, as large ones take seconds.
async fn read(mut manifests: Manifests) -> anyhow::Result<(Manifests, Load)> {
    let read = tokio::task::spawn_blocking(move || {
        let load = manifests.load();
        (manifests, load)
    });
    read.await.context("reading the manifests")
}

fn publish(load: Load, news: &mpsc::UnboundedSender<News>) {
    for problem in &load.problems {
        match problem.severity {
            Severity::Warning => tracing::warn!("{problem}"),
            Severity::Error => tracing::error!("{problem}; what it said before stays"),
        }
    }
    if !load.events.is_empty() {
        // A closed channel means that the agent is about to end.
        let _ = news.send(News::Events(load.events));
    }
}
