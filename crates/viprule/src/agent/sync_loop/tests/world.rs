//! A sync loop in front of a kernel in memory.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args as _, Command, FromArgMatches as _};
use netlink_batch::{Socket, socket::ROUTE};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, LocalSet};
use viprule_dataplane::iptables::{Iptables, Settings};
use viprule_dataplane::netfilter::{Key, Kind, Object, Piece, Table};
use viprule_dataplane::{Diff, Scope, State};
use viprule_service::model::{Event, Family};
use viprule_service::plan::{Budgets, NodeFacts, PlanConfig};
use viprule_service::tracker::Tracker;
use viprule_sync::{Report, Syncer};
use viprule_testkit::fake::Kernel;
use viprule_testkit::objects::{self, READY};
use viprule_writer::backend::Backend;
use viprule_writer::host::Outcome;
use viprule_writer::netfilter::Support;
use viprule_writer::{ApplyError, ForeignChanges, Tag, WriteError, Writer, Written};

use super::super::{Foreign, SyncLoop, Timing};
use crate::agent::host_settings::Strictness;
use crate::agent::host_watch::HostWatch;
use crate::agent::news::{Happened, NewSettings, News};
use crate::agent::node_report::NodeReport;
use crate::agent::prerequisites::Prerequisites;
use crate::agent::takeover::Takeover;
use crate::agent::telemetry::{Cause, EventSink, Pending, Telemetry};
use crate::config::{
    AgentArgs, Effective, Flags, GoDuration, KubeProxyConfiguration, Resolved, SharedArgs,
};
use crate::health::{ProxyHealth, ServiceCheckOptions, ServiceChecks};
use crate::metrics::{BuildInfo, Metrics};
use crate::mode::iptables::{self, IptablesMode};
use crate::mode::leftovers::{Found, Leftovers, Progress, Search};
use crate::mode::{Mode, ModeMetrics, ModeSettings};

pub(super) const NAT: Table = Table {
    family: nfnetlink::Family::Ipv4,
    kind: Kind::Nat,
};

/// What the sync loop sees, and what tests change.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) kernel: RefCell<Kernel>,
    /// Looks at the whole kernel.
    pub(super) looks: Cell<usize>,
    /// Looks fail so.
    pub(super) broken: RefCell<Option<WriteError>>,
    /// The kernel tells of what others do, where this is so when the sync loop starts.
    pub(super) tells: Cell<bool>,
    /// What another program does behind the next commits, one after each.
    pub(super) behind: RefCell<VecDeque<fn(&mut Kernel)>>,
    /// What nobody tells of.
    pub(super) unwatched: RefCell<Option<Piece>>,
    pub(super) drained: Cell<usize>,
    /// What draining answers; nothing when there are no more answers.
    pub(super) drain: RefCell<VecDeque<Result<Option<Duration>, WriteError>>>,
    pub(super) taken_over: Cell<usize>,
    pub(super) take_over: RefCell<VecDeque<anyhow::Result<Option<Duration>>>>,
    /// Causes of attempts.
    pub(super) causes: RefCell<Vec<&'static str>>,
}

#[derive(Debug)]
struct Memory {
    world: Rc<World>,
    /// Never tells by itself: it stands for what was told before anybody waited.
    told: Option<Socket>,
}

impl Memory {
    fn new(world: &Rc<World>) -> Self {
        Self {
            world: world.clone(),
            told: world.tells.get().then(|| Socket::open(ROUTE).unwrap()),
        }
    }
}

impl Writer for Memory {
    type Key = Key;
    type Object = Object;

    fn observe<V: From<(Key, Object)>>(
        &mut self,
        scope: &Scope<Piece>,
    ) -> Result<State<Key, V>, WriteError> {
        if let Some(error) = &*self.world.broken.borrow() {
            return Err(error.clone());
        }
        if *scope == Scope::Everything {
            self.world.looks.set(self.world.looks.get() + 1);
        }
        self.world.kernel.borrow_mut().observe(scope)
    }

    fn stage<A>(
        &mut self,
        tag: Tag,
        diff: &Diff<'_, Key, A, Object>,
    ) -> Result<(), ApplyError<Piece>> {
        self.world.kernel.borrow_mut().stage(tag, diff)
    }

    fn commit(&mut self) -> Result<Written, ApplyError<Piece>> {
        let mut kernel = self.world.kernel.borrow_mut();
        let result = kernel.commit();
        if let Some(act) = self.world.behind.borrow_mut().pop_front() {
            act(&mut kernel);
        }
        result
    }

    fn notifications(&self) -> Vec<BorrowedFd<'_>> {
        self.told.iter().map(Socket::as_fd).collect()
    }

    fn foreign_changes(&mut self) -> Result<ForeignChanges<Piece>, WriteError> {
        if self.told.is_some() {
            return self.world.kernel.borrow_mut().foreign_changes();
        }
        Ok(ForeignChanges {
            scope: Scope::nothing(),
            by: Vec::new(),
        })
    }

    fn unwatched(&self) -> Scope<Piece> {
        Scope::Pieces(self.world.unwatched.borrow().iter().copied().collect())
    }

    fn drain(&mut self) -> Result<Option<Duration>, WriteError> {
        self.world.drained.set(self.world.drained.get() + 1);
        self.world
            .drain
            .borrow_mut()
            .pop_front()
            .unwrap_or(Ok(None))
    }
}

#[derive(Debug)]
struct Fake(Rc<World>);

impl Mode for Fake {
    type Dataplane = Iptables;
    type Writer = Memory;

    const NAME: &str = "fake";
    const ABOUT: &str = "nothing";

    fn periods(proxy: &KubeProxyConfiguration) -> (GoDuration, GoDuration) {
        IptablesMode::periods(proxy)
    }

    fn settings(resolved: &Resolved, _: Option<Support>) -> Settings {
        IptablesMode::settings(resolved, None)
    }

    fn dataplane(settings: Settings, facts: &NodeFacts) -> Iptables {
        IptablesMode::dataplane(settings, facts)
    }

    fn open(_: Backend, _: &[nfnetlink::Family]) -> Result<Memory, WriteError> {
        unreachable!("tests open it")
    }

    fn prepare_node(_: &Resolved, _: &Iptables, _: Strictness) -> anyhow::Result<()> {
        Ok(())
    }

    fn hold() {}

    fn prepare(&mut self, _: &Iptables, cause: &Cause) {
        self.0.causes.borrow_mut().push(cause.as_str());
    }

    fn check_node(_: &Resolved, _: &Iptables) -> Outcome {
        Outcome::default()
    }

    fn metrics(_: Support) -> ModeMetrics {
        iptables::METRICS
    }

    fn leftovers(_: &Search<'_>) -> Vec<Found> {
        Vec::new()
    }
}

/// Something that another mode left, and that takes time.
#[derive(Debug)]
struct Left(Rc<World>);

impl Leftovers for Left {
    fn name(&self) -> String {
        "something".to_owned()
    }

    fn lines(&mut self) -> anyhow::Result<Vec<String>> {
        Ok(vec![self.name()])
    }

    fn drain(&mut self) -> anyhow::Result<Progress> {
        self.0.taken_over.set(self.0.taken_over.get() + 1);
        let answer = self.0.take_over.borrow_mut().pop_front();
        Ok(Progress {
            next: answer.unwrap_or(Ok(None))?,
            ..Progress::default()
        })
    }

    fn remove(&mut self) -> anyhow::Result<Report> {
        unreachable!("the agent drains")
    }
}

/// A sync loop that runs, and what it is told by.
pub(super) struct Kept {
    pub(super) health: Arc<ProxyHealth>,
    news: mpsc::Sender<News>,
    stop: Option<oneshot::Sender<()>>,
    pub(super) task: JoinHandle<anyhow::Result<()>>,
}

impl Kept {
    /// Starts one that knows nothing yet. To be called within [`run`].
    pub(super) fn start(world: &Rc<World>) -> Self {
        let (news, inbox) = mpsc::channel(64);
        let (conflicts, _) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let tracker = Tracker::new(PlanConfig {
            node_name: "node-0".to_owned(),
            bind_address: None,
            allow_external_ips: true,
            budgets: Budgets::default(),
        });
        let dataplane = Iptables::new(Settings::default(), tracker.facts());
        let telemetry = telemetry();
        let health = telemetry.health.clone();
        let sync_loop = SyncLoop {
            syncer: Syncer::new(tracker, dataplane, Memory::new(world)),
            mode: Fake(world.clone()),
            takeover: {
                let world = world.clone();
                let left = move |_: &ModeSettings| {
                    let left: Box<dyn Leftovers> = Box::new(Left(world.clone()));
                    vec![Ok(left)]
                };
                Takeover::new(ModeSettings::default(), Box::new(left))
            },
            host: HostWatch::default(),
            inbox,
            conflicts,
            telemetry,
            node_report: NodeReport::new(true),
            resolved: resolved(),
            prerequisites: Prerequisites::default(),
            timing: Timing::new(),
            refused: std::collections::BTreeSet::new(),
            oversized: std::collections::BTreeSet::new(),
            unfinished: false,
            unusable: std::collections::BTreeSet::new(),
            ready: false,
            owes: false,
            pending: Pending::default(),
            foreign: Foreign::default(),
            way: Vec::new(),
        };
        Self {
            health,
            news,
            stop: Some(stop),
            task: tokio::task::spawn_local(sync_loop.keep(stopped)),
        }
    }

    /// Starts one that knows these Services and has written them.
    pub(super) async fn synced(world: &Rc<World>, services: &[&str]) -> Self {
        let kept = Self::start(world);
        for name in services {
            kept.tell(service(name)).await;
        }
        kept.complete().await;
        kept
    }

    pub(super) async fn tell(&self, events: Vec<Event>) {
        self.send(News::Events(Happened::now(events))).await;
    }

    pub(super) async fn complete(&self) {
        self.send(News::Complete).await;
    }

    /// New settings.
    pub(super) async fn set(&self, change: impl FnOnce(&mut Resolved)) {
        let mut resolved = resolved();
        change(&mut resolved);
        let support = Support {
            ipv6: true,
            nfacct: true,
            be_liberal: false,
        };
        let settings = NewSettings { resolved, support };
        self.send(News::Settings(Box::new(settings))).await;
    }

    /// Sends news and lets the sync loop have it.
    async fn send(&self, news: News) {
        self.news.send(news).await.unwrap();
        // Time stands still, so that nothing else happens.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    pub(super) async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

/// Runs a test on a clock that goes on when everybody sleeps.
pub(super) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(LocalSet::new().run_until(test));
}

fn telemetry() -> Telemetry {
    let (failures, _) = mpsc::unbounded_channel();
    let metrics = Arc::new(Metrics::new(iptables::METRICS, &BuildInfo::of_this_program()).unwrap());
    let checks = ServiceCheckOptions::new(metrics.clone(), failures);
    Telemetry {
        families: Family::ALL.to_vec(),
        metrics,
        health: Arc::new(ProxyHealth::new(Duration::from_secs(60))),
        checks: Arc::new(ServiceChecks::start(checks)),
        events: EventSink::default(),
    }
}

/// The defaults: looks every 30 s, syncs at once.
fn resolved() -> Resolved {
    let command = AgentArgs::augment_args(SharedArgs::augment_args(Command::new("run")));
    let words = ["run", "--hostname-override=node-0"];
    let matches = command.try_get_matches_from(words).unwrap();
    let flags = Flags {
        shared: SharedArgs::from_arg_matches(&matches).unwrap(),
        agent: Some(AgentArgs::from_arg_matches(&matches).unwrap()),
        given: vec!["hostname-override".to_owned()],
    };
    Effective::load(&flags).unwrap().resolved
}

/// A Service with one port and one endpoint.
pub(super) fn service(name: &str) -> Vec<Event> {
    let last = name.bytes().next().unwrap();
    let service = objects::service(name, &[[10, 1, 0, last].into()]);
    let endpoint = objects::endpoint([10, 244, 0, last].into(), None, READY);
    let slice = objects::slice(&service.id, Family::Ipv4, vec![endpoint]);
    vec![Event::ServiceApplied(service), Event::SliceApplied(slice)]
}

impl World {
    /// True where the kernel has rules of this Service.
    pub(super) fn has(&self, name: &str) -> bool {
        let rules = self.kernel.borrow().rules(NAT, "KUBE-SERVICES");
        let text = format!("shop/{name}:http");
        rules.iter().any(|rule| rule.contains(&text))
    }
}
