//! The agent's loop within another program, in the runtime and the network namespace of the calling
//! thread: sources, sync loop, writer, telemetry. No thread of its own, no server, no signal, no
//! setting of the machine; UDP flows are left alone.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, stream};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use viprule_source::kube::{ApiServer, Events};
use viprule_sync::Rooms;
use viprule_writer::netfilter::Support;

use super::inputs::{self, Context};
use super::news::{NewSettings, News};
use super::run::NEWS;
use super::served::Served;
use super::sync_thread::{KernelFacts, SyncThread};
use super::telemetry::{EventSink, Telemetry};
use crate::config::Effective;
use crate::health::{ProxyHealth, ServiceCheckOptions, ServiceChecks};
use crate::metrics::{BuildInfo, Metrics};
use crate::mode::{Mode, with_mode};

/// What an agent works with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where facts come from.
    pub server: ApiServer,
    /// The configuration.
    pub effective: Effective,
    /// What the kernel has.
    pub support: Support,
    /// The addresses of the node's interfaces.
    pub addresses: watch::Receiver<Vec<IpAddr>>,
    /// How much is written at once.
    pub rooms: Rooms,
}

/// An agent that runs for as long as its future is polled.
#[derive(Debug)]
pub struct Agent {
    /// What `/healthz` is about.
    pub health: Arc<ProxyHealth>,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    support: Support,
    news: mpsc::Sender<News>,
    stop: Option<oneshot::Sender<()>>,
}

impl Agent {
    /// Makes one that begins as soon as the future is polled. That ends where the agent would: when
    /// it is told to stop, or with an error that time does not heal. Dropping it is a kill.
    ///
    /// To be called in a runtime of one thread.
    pub fn start(
        setup: Setup,
    ) -> anyhow::Result<(Self, impl Future<Output = anyhow::Result<()>> + use<>)> {
        let Setup {
            server,
            effective,
            support,
            addresses,
            rooms,
        } = setup;
        let resolved = effective.resolve().clone();
        let kernel = KernelFacts::given(&effective, support);
        let served = kernel.served(resolved.mode);
        let health = Arc::new(ProxyHealth::new(2 * resolved.sync.period));
        let mode = with_mode!(resolved.mode, M => M::metrics(support));
        let metrics = Arc::new(Metrics::new(mode, &BuildInfo::of_this_program())?);
        let (failures, _) = mpsc::unbounded_channel();
        let checks = ServiceChecks::start(ServiceCheckOptions::new(metrics.clone(), failures));
        let telemetry = Telemetry {
            families: kernel.families(),
            metrics: Arc::clone(&metrics),
            health: Arc::clone(&health),
            checks: Arc::new(checks),
            events: EventSink::default(),
        };
        let (news, inbox) = mpsc::channel(NEWS);
        let (conflicts, disputes) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let node = effective.node_name().to_owned();
        let told = telemetry.clone();
        let sync = with_mode!(resolved.mode, M => {
            let sync = SyncThread::<M> {
                kernel,
                effective,
                telemetry: told,
                rooms,
                listener: M::counters().map(|counters| counters.listener),
                inbox,
                conflicts,
                stopped,
            };
            sync.keep(None).boxed_local()
        });
        let followed = Followed {
            server,
            node,
            served,
            addresses,
        };
        let inputs = follow(followed, telemetry, news.clone(), disputes);
        let agent = async move {
            tokio::select! {
                biased;
                kept = sync => kept,
                followed = inputs => followed,
            }
        };
        let handles = Self {
            health,
            metrics,
            support,
            news,
            stop: Some(stop),
        };
        Ok((handles, agent))
    }

    /// Goes on with other settings, as after a reload.
    pub async fn configure(&self, effective: &Effective) {
        let resolved = effective.resolve();
        self.health.set_timeout(2 * resolved.sync.period);
        let settings = NewSettings {
            resolved: resolved.clone(),
            support: self.support,
        };
        // One that has ended has no use for them.
        let _ = self.news.send(News::Settings(Box::new(settings))).await;
    }

    /// Asks for an end, as SIGTERM does.
    pub fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Messages that wait for the sync loop, and how many may.
    pub fn waiting(&self) -> (usize, usize) {
        let most = self.news.max_capacity();
        (most - self.news.capacity(), most)
    }

    /// How long health stays true though something is owed.
    pub fn health_limit(effective: &Effective) -> Duration {
        2 * effective.resolve().sync.period
    }
}

/// What tells the agent of facts, and how much the kernel knows of them.
struct Followed {
    server: ApiServer,
    node: String,
    served: Served,
    addresses: watch::Receiver<Vec<IpAddr>>,
}

async fn follow(
    followed: Followed,
    telemetry: Telemetry,
    news: mpsc::Sender<News>,
    mut conflicts: mpsc::UnboundedReceiver<viprule_service::tracker::Conflict>,
) -> anyhow::Result<()> {
    let Followed {
        server,
        node,
        served,
        mut addresses,
    } = followed;
    let (events, publisher) = Events::start(&server, &node);
    telemetry.events.connect(events);
    let reload = Notify::new();
    let context = Context {
        node: &node,
        news: &news,
        conflicts: &mut conflicts,
        reload: &reload,
        served: &served,
    };
    let now = addresses.borrow_and_update().clone();
    let changes = stream::unfold(addresses, |mut addresses| async move {
        addresses.changed().await.ok()?;
        let now = addresses.borrow_and_update().clone();
        Some((now, addresses))
    });
    let changes = Box::pin(changes);
    let result = inputs::follow(&server, &telemetry, (now, changes), context).await;
    publisher.abort();
    result
}
