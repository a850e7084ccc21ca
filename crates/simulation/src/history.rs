//! One history: a bad time, then a quiet one.

use std::time::Duration;

use anyhow::Context as _;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};
use viprule_sync::Rooms;
use viprule_testkit::api_server::{ApiServer, Snapshot, Weather};
use viprule_testkit::chance::Chance;
use viprule_testkit::memory::MemoryKernel;

use crate::chaos::{Chaos, Storm};
use crate::checks::{difference, observed, planned};
use crate::cluster::{self, Cluster};
use crate::mode::{Edit, IptablesMode, IpvsMode, Mode, NftablesMode, StateOf};
use crate::node::Node;
use crate::settings;
use crate::storm::{self, Step};
use crate::trace::Trace;

/// When everything is right at the latest, from when nothing goes wrong any more: a watch that was
/// left without a word is noticed at the time at which it was to end (at most 310 s), and the first
/// attempt after that may have to wait.
const REST: Duration = Duration::from_secs(330);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// When a change of a quiet cluster is in the kernel at the latest, beyond the least time between
/// two syncs: what the server takes to tell, and one sync.
const CHANGE: Duration = Duration::from_millis(100);
/// The same for what another program changed.
const REPAIR: Duration = Duration::from_millis(100);
/// How much later than promised health may tell that the kernel differs.
const HEALTH: Duration = Duration::from_secs(5);
/// Requests to the server in a second, over the whole time, at most.
const REQUESTS: u64 = 40;

/// Of 1,000 messages, how many another program's commit comes between that commits a hundred times
/// a second, and one that never pauses.
const MEANWHILE: [u32; 2] = [60, 1000];

/// So little room that nearly every Service is written in parts. Nobody asks for what others have then:
/// what goes to a Service that is written in parts is nobody's until its turn comes.
const NARROW: Rooms = Rooms {
    sync: 8,
    reconcile: 24,
};
/// So little that Services take turns.
const TIGHT: Rooms = Rooms {
    sync: 160,
    reconcile: 240,
};

/// A mode of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModeName {
    /// iptables mode.
    Iptables,
    /// IPVS mode.
    Ipvs,
    /// nftables mode.
    Nftables,
}

impl ModeName {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Iptables, Self::Ipvs, Self::Nftables];

    /// The mode of a seed's history where nobody says which: every ninth is of nftables mode, as one
    /// takes five times as long there, and of the others odd ones are of iptables mode.
    pub fn of(seed: u64) -> Self {
        match (seed % 9, seed % 2) {
            (0, _) => Self::Nftables,
            (_, 1) => Self::Iptables,
            _ => Self::Ipvs,
        }
    }

    /// The word for it, as the agent's flag takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Iptables => IptablesMode::NAME,
            Self::Ipvs => IpvsMode::NAME,
            Self::Nftables => NftablesMode::NAME,
        }
    }
}

/// What was wrong with a history.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// Its mode.
    pub mode: ModeName,
    /// What was wrong.
    pub what: String,
    /// What happened until then; empty where nobody asked for it.
    pub trace: String,
}

/// Runs the history of a seed, in this mode or in the one that the seed says. `traced`: the failure
/// has a trace.
pub fn simulate(seed: u64, mode: Option<ModeName>, traced: bool) -> Result<(), Failure> {
    let mode = mode.unwrap_or(ModeName::of(seed));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    let failure = |what: String, trace: String| Failure {
        seed,
        mode,
        what,
        trace,
    };
    let runtime = runtime.map_err(|error| failure(error.to_string(), String::new()))?;
    let tasks = LocalSet::new();
    let outcome = runtime.block_on(tasks.run_until(async {
        let trace = Trace::new(traced);
        let _listening = trace.listen();
        let outcome = match mode {
            ModeName::Iptables => live::<IptablesMode>(seed, &trace).await,
            ModeName::Ipvs => live::<IpvsMode>(seed, &trace).await,
            ModeName::Nftables => live::<NftablesMode>(seed, &trace).await,
        };
        outcome.map_err(|error| failure(format!("{error:#}"), trace.text()))
    }));
    drop(tasks);
    outcome
}

async fn live<M: Mode>(seed: u64, trace: &Trace) -> anyhow::Result<()> {
    let kernel = MemoryKernel::new();
    kernel.set_clock(|| Instant::now().into_std());
    if seed % 5 < 2 {
        kernel.show_growth();
    }
    let _entered = kernel.enter();
    let mut world = World::<M>::new(seed, kernel, trace)?;
    world.node.start(&world.chaos).await?;
    let steps = 10 + world.chance.below(40);
    for _ in 0..steps {
        let pause = storm::pause(&mut world.chance);
        world.pass(pause).await?;
        let step = Step::any(&mut world.chance);
        world.step(step).await?;
    }
    if world.chance.per_mille(250) {
        world.be_sick().await?;
    }
    world.come_to_rest().await?;
    for _ in 0..3 {
        world.change_quietly().await?;
        world.repair_quietly().await?;
    }
    world.restart_quietly().await?;
    let waited = world.began.elapsed().as_secs();
    let requests = world.server.requests();
    anyhow::ensure!(
        requests <= REQUESTS * waited,
        "{requests} requests to the API server in {waited} s"
    );
    world.wrong()
}

/// Another program that commits to its own table so often, or none.
fn rival(chance: &mut Chance) -> Option<Duration> {
    let pause = Duration::from_millis(chance.within(10..60));
    chance.per_mille(600).then_some(pause)
}

struct World<'t, M: Mode> {
    chance: Chance,
    cluster: Cluster,
    server: ApiServer,
    chaos: Chaos,
    node: Node<M>,
    backup: Option<(Cluster, Snapshot)>,
    began: Instant,
    another_address: bool,
    /// Of 1,000 messages, how many a commit elsewhere comes between in quiet times.
    meanwhile: u32,
    /// The kernel may take long.
    slow: bool,
    /// What should be, until that changes.
    planned: Option<StateOf<M>>,
    /// Where the kernel was when somebody looked, and what was found.
    looked: Option<(u64, Option<String>)>,
    trace: &'t Trace,
}

impl<M: Mode> Drop for World<'_, M> {
    fn drop(&mut self) {
        // The kernel holds the hooks, and they hold the kernel.
        self.node.kernel.clear_hooks();
    }
}

impl<'t, M: Mode> World<'t, M> {
    fn new(seed: u64, kernel: MemoryKernel, trace: &'t Trace) -> anyhow::Result<Self> {
        let mut chance = Chance::new(seed);
        // In all modes; with who never pauses each turn would begin anew.
        let rooms = match seed / 2 % 8 {
            3 => NARROW,
            5 => TIGHT,
            _ => Rooms::default(),
        };
        let cluster = Cluster::new(&mut chance.fork(), rooms.sync != NARROW.sync);
        let server = ApiServer::new(chance.fork());
        cluster.publish(&server);
        let chances = (chance.fork(), chance.fork());
        let environment = M::environment(&cluster, &settings::usual(M::NAME)?)?;
        let chaos = Chaos::new(chances.0, &kernel, environment);
        let node = Node::new(kernel, server.clone(), chances.1, rooms, trace.clone())?;
        Ok(Self {
            chance,
            cluster,
            server,
            chaos,
            node,
            backup: None,
            began: Instant::now(),
            another_address: false,
            meanwhile: MEANWHILE[usize::from(seed % 16 < 2)],
            slow: seed % 16 >= 14,
            planned: None,
            looked: None,
            trace,
        })
    }

    /// What was wrong with a step of the agent.
    fn wrong(&self) -> anyhow::Result<()> {
        for line in self.server.take_log() {
            self.trace.note("server", line);
        }
        for line in self.chaos.take_log() {
            self.trace.note("kernel", line);
        }
        match self.chaos.wrong() {
            Some(what) => Err(anyhow::anyhow!(what)),
            None => Ok(()),
        }
    }

    /// Lets time pass.
    async fn pass(&mut self, time: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            sleep(left.min(Duration::from_secs(2))).await;
            self.wrong()?;
            self.node.supervise(&self.chaos).await?;
            if left.is_zero() {
                return Ok(());
            }
        }
    }

    async fn step(&mut self, step: Step) -> anyhow::Result<()> {
        let chance = &mut self.chance.fork();
        self.is_another();
        self.chaos.clients(&self.node.kernel);
        match step {
            Step::Change => self.change(chance),
            Step::Changes => {
                for _ in 0..2 + chance.below(30) {
                    self.change(chance);
                }
            }
            Step::Weather => {
                let weather = storm::weather(chance);
                self.trace.note("server", format!("{weather:?}"));
                self.server.set_weather(weather);
            }
            Step::Cut => {
                self.trace.note("server", "ends all watches");
                self.server.cut();
            }
            Step::Compact => {
                self.trace.note("server", "forgets what was");
                self.server.compact();
            }
            Step::Bookmark => self.server.bookmark(),
            Step::Backup => {
                self.trace.note("server", "is backed up");
                self.backup = Some((self.cluster.clone(), self.server.snapshot()));
            }
            Step::Restore => {
                if let Some((cluster, snapshot)) = self.backup.clone() {
                    self.trace.note("server", "is restored from the backup");
                    self.cluster = cluster;
                    self.server.restore(&snapshot);
                }
            }
            Step::Kernel => {
                let storm = storm::kernel(chance, self.slow);
                self.trace.note("kernel", format!("{storm:?}"));
                self.chaos.set(storm);
            }
            Step::Edit => {
                self.edit();
            }
            Step::Elsewhere => {
                let times = 1 + chance.below(100);
                let pause = Duration::from_millis(chance.within(1..60));
                self.rival(times, pause).await;
            }
            Step::Lose => {
                self.trace.note("kernel", "loses notifications");
                self.node.kernel.lose_notifications();
            }
            Step::Kill | Step::Stop => {
                if step == Step::Stop {
                    self.node.stop().await?;
                } else if chance.per_mille(500) {
                    self.kill_at_work(chance).await?;
                } else {
                    self.node.kill().await?;
                }
                if chance.per_mille(500) {
                    self.edit();
                }
                let down = chance.within(0..4_000);
                sleep(Duration::from_millis(down)).await;
                self.node.start(&self.chaos).await?;
            }
            Step::Settings => {
                let what = settings::change(&mut self.node.effective, chance);
                self.trace.note("operator", what);
                self.node.configure().await;
            }
            Step::Addresses => {
                self.another_address = !self.another_address;
                let addresses = cluster::interfaces(self.another_address);
                self.trace.note("node", format!("has {addresses:?}"));
                self.node.addresses.send_replace(addresses);
            }
        }
        self.wrong()
    }

    /// Kills the agent where it has sent a part of what it was about to send.
    async fn kill_at_work(&mut self, chance: &mut Chance) -> anyhow::Result<()> {
        self.chaos.let_through(chance.below(30));
        for _ in 0..=chance.below(6) {
            self.change(chance);
        }
        sleep(Duration::from_millis(chance.within(100..3_000))).await;
        self.node.kill().await?;
        self.chaos.let_everything_through();
        Ok(())
    }

    fn change(&mut self, chance: &mut Chance) {
        let made = self.cluster.change(&self.server, chance);
        self.trace.note("cluster", made.what);
    }

    /// Another program changes what is the agent's, if it can.
    fn edit(&mut self) -> Option<Edit> {
        let edit = self.chaos.edit(&self.node.kernel)?;
        self.trace.note("rival", &edit.what);
        Some(edit)
    }

    async fn rival(&mut self, times: usize, pause: Duration) {
        self.trace.note(
            "rival",
            format!("commits to its own table {times} times, every {pause:?}"),
        );
        for _ in 0..times {
            self.chaos.elsewhere();
            sleep(pause).await;
        }
    }

    /// In which ways the kernel is not what it should be.
    fn difference(&mut self) -> anyhow::Result<Option<String>> {
        let version = self.node.kernel.version();
        if let Some((at, found)) = &self.looked
            && *at == version
        {
            return Ok(found.clone());
        }
        let addresses = self.node.addresses.borrow().clone();
        let planned = self
            .planned
            .get_or_insert_with(|| planned::<M>(&self.cluster, &self.node.effective, &addresses));
        let observed = observed::<M>(&self.node.kernel).context("reading the kernel")?;
        let found = difference(planned, &observed);
        let found = found.or_else(|| M::left(&self.node.kernel, &observed));
        if found.is_none() {
            self.chaos.all_is_right();
        }
        self.looked = Some((version, found.clone()));
        Ok(found)
    }

    /// Other things are true from now on.
    fn is_another(&mut self) {
        (self.planned, self.looked) = (None, None);
    }

    fn is_healthy(&self) -> Option<bool> {
        let agent = self.node.agent()?;
        Some(agent.health.is_healthy(viprule::health::Moment::now()))
    }

    /// Health is true, and its body tells of nothing that is wrong.
    fn says_all_is_well(&self) -> bool {
        let now = viprule::health::Moment::now();
        let health = self.node.agent().map(|agent| agent.health.health(now));
        health.is_some_and(|health| health.healthy && health.warnings.is_empty())
    }

    /// No transaction succeeds for some time, and the server is well: health has to tell.
    async fn be_sick(&mut self) -> anyhow::Result<()> {
        self.quiet();
        self.pass(REST).await?;
        let chance = &mut self.chance.fork();
        let storm = Storm {
            sick: true,
            ..Storm::default()
        };
        self.trace.note("kernel", format!("for long: {storm:?}"));
        self.chaos.set(storm);
        self.is_another();
        let what = self.cluster.change_endpoints(&self.server, chance);
        self.trace.note("cluster", what);
        let limit = 2 * self.node.effective.resolve().sync.period;
        self.pass(limit + HEALTH).await?;
        if let Some(difference) = self.difference()? {
            anyhow::ensure!(
                !self.says_all_is_well(),
                "health is true though nothing could be written for {limit:?}, and the kernel {difference}"
            );
        }
        Ok(())
    }

    /// Nothing goes wrong from now on, and objects are as they should be.
    fn quiet(&mut self) {
        self.trace
            .note("simulation", "nothing goes wrong from now on");
        self.server.set_weather(Weather::default());
        self.chaos.set(Storm::default());
        self.chaos.no_clients(&self.node.kernel);
        self.is_another();
        self.cluster.look_well(&self.server);
    }

    async fn come_to_rest(&mut self) -> anyhow::Result<()> {
        self.quiet();
        let end = Instant::now() + REST;
        loop {
            self.pass(LOOK).await?;
            let difference = self.difference()?;
            let healthy = self.is_healthy() == Some(true);
            match difference {
                None if healthy => {
                    self.trace.note("simulation", "all is right");
                    break;
                }
                _ if Instant::now() < end => {}
                None => anyhow::bail!("health is not true {REST:?} after all went well"),
                Some(difference) => anyhow::bail!(
                    "{REST:?} after all went well the kernel {difference}; healthy: {healthy}"
                ),
            }
        }
        // Watches that are to find out may do so.
        self.pass(REST).await?;
        self.nothing_waits()?;
        match self.difference()? {
            None => Ok(()),
            Some(difference) => {
                anyhow::bail!("in quiet times the kernel came to differ: {difference}")
            }
        }
    }

    /// What was told is taken, by the agent and from the kernel's queues.
    fn nothing_waits(&self) -> anyhow::Result<()> {
        let news = self.node.agent().map_or(0, |agent| agent.waiting().0);
        let datagrams = self.node.kernel.longest_queue();
        anyhow::ensure!(
            (news, datagrams) == (0, 0),
            "at rest {news} messages wait for the sync loop, and {datagrams} datagrams in a queue"
        );
        Ok(())
    }

    /// A change of a quiet cluster is in soon, also beside a rival that commits to its own table.
    async fn change_quietly(&mut self) -> anyhow::Result<()> {
        let pause = Duration::from_millis(self.chance.within(0..3_000));
        self.pass(pause).await?;
        let chance = &mut self.chance.fork();
        self.is_another();
        let what = self.cluster.change_endpoints(&self.server, chance);
        self.trace.note("cluster", what);
        let min = self.node.effective.resolve().sync.min;
        let rival = rival(chance);
        if chance.per_mille(300) {
            self.chaos.edit_behind_next_step();
            let what = "an edit right behind a step is not put right";
            let mut bound = min + CHANGE + REPAIR;
            self.beside(bound, rival).await;
            if let Some(edit) = self.chaos.edit_behind()
                && !edit.is_told
            {
                let until_looked = self.repair(&edit);
                self.beside(until_looked, None).await;
                bound += until_looked;
            }
            return self.ensure_right(bound, rival, what);
        }
        self.within(min + CHANGE, rival, "a change is not in the kernel")
            .await
    }

    /// What another program changed is put right soon.
    async fn repair_quietly(&mut self) -> anyhow::Result<()> {
        // Repairs that follow each other fast are slowed down.
        self.pass(Duration::from_secs(2)).await?;
        let Some(edit) = self.edit() else {
            return Ok(());
        };
        let chance = &mut self.chance.fork();
        // Until the next full look that would be many commits which show nothing.
        let rival = rival(chance).filter(|_| edit.is_told);
        let what = "an edit of another program is not put right";
        self.within(self.repair(&edit), rival, what).await
    }

    /// How long it takes until an edit is put right: what the kernel tells nobody of, the next full
    /// look finds.
    fn repair(&self, edit: &Edit) -> Duration {
        if edit.is_told {
            REPAIR
        } else {
            REPAIR + self.node.effective.resolve().sync.period
        }
    }

    async fn within(
        &mut self,
        bound: Duration,
        rival: Option<Duration>,
        what: &str,
    ) -> anyhow::Result<()> {
        self.beside(bound, rival).await;
        self.ensure_right(bound, rival, what)
    }

    /// Lets time pass beside another program.
    async fn beside(&mut self, time: Duration, rival: Option<Duration>) {
        let end = Instant::now() + time;
        match rival {
            Some(pause) => {
                // It commits while the agent is at work, too.
                self.chaos.set(Storm {
                    elsewhere: self.meanwhile,
                    ..Storm::default()
                });
                while Instant::now() + pause < end {
                    self.chaos.elsewhere();
                    sleep(pause).await;
                }
                tokio::time::sleep_until(end).await;
                self.chaos.set(Storm::default());
            }
            None => sleep(time).await,
        }
    }

    /// The kernel is what it should be.
    fn ensure_right(
        &mut self,
        bound: Duration,
        rival: Option<Duration>,
        what: &str,
    ) -> anyhow::Result<()> {
        self.wrong()?;
        match self.difference()? {
            None => Ok(()),
            Some(difference) => {
                let beside = match rival {
                    Some(pause) => format!(" beside commits elsewhere every {pause:?}"),
                    None => String::new(),
                };
                anyhow::bail!("{what} after {bound:?}{beside}: it {difference}")
            }
        }
    }

    /// An agent that starts on what is right writes nothing.
    async fn restart_quietly(&mut self) -> anyhow::Result<()> {
        self.pass(Duration::from_secs(2)).await?;
        let before = self.chaos.commits();
        self.node.start(&self.chaos).await?;
        self.pass(Duration::from_secs(20)).await?;
        let commits = self.chaos.commits() - before;
        anyhow::ensure!(
            commits == 0,
            "{commits} transactions of an agent that was started where all was right"
        );
        anyhow::ensure!(
            self.is_healthy() == Some(true),
            "an agent that was started where all was right is not healthy"
        );
        match self.difference()? {
            None => Ok(()),
            Some(difference) => anyhow::bail!("after a start the kernel {difference}"),
        }
    }
}
