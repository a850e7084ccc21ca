//! This node: its kernel, and the agent that runs, ends and is started again.

use std::marker::PhantomData;
use std::net::IpAddr;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Duration, sleep};
use viprule::agent::simulation::{Agent, Setup};
use viprule::config::Effective;
use viprule_source::kube::ApiServer as Access;
use viprule_testkit::api_server::ApiServer;
use viprule_testkit::chance::Chance;
use viprule_testkit::memory::MemoryKernel;

use crate::mode::Mode;
use crate::settings::{self, SUPPORT};
use crate::trace::Trace;
use crate::{checks, cluster};

/// How long it takes until an agent that ended is started again.
const RESTART: Duration = Duration::from_secs(2);
/// From so many Services in the kernel on a first list that has far fewer is doubted.
const DOUBTED: usize = 10;

/// What is on the node.
pub(crate) struct Node<M> {
    pub(crate) kernel: MemoryKernel,
    pub(crate) effective: Effective,
    pub(crate) addresses: watch::Sender<Vec<IpAddr>>,
    server: ApiServer,
    chance: Chance,
    agent: Option<Running>,
    trace: Trace,
    mode: PhantomData<M>,
}

struct Running {
    handles: Agent,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<M: Mode> Node<M> {
    pub(crate) fn new(
        kernel: MemoryKernel,
        server: ApiServer,
        chance: Chance,
        trace: Trace,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            kernel,
            effective: settings::usual(M::NAME)?,
            addresses: watch::Sender::new(cluster::interfaces(false)),
            server,
            chance,
            agent: None,
            trace,
            mode: PhantomData,
        })
    }

    /// Starts the agent; the one before is killed.
    pub(crate) async fn start(&mut self) -> anyhow::Result<()> {
        self.kill().await;
        if checks::served::<M>(&self.kernel)? < DOUBTED {
            self.server.forget();
        }
        let at = checks::API_SERVER.into();
        let server = Access::over(self.server.client(), &[at], self.chance.number());
        let setup = Setup {
            server,
            effective: self.effective.clone(),
            support: SUPPORT,
            addresses: self.addresses.subscribe(),
        };
        let (handles, agent) = Agent::start(setup)?;
        let task = tokio::task::spawn_local(agent);
        self.agent = Some(Running { handles, task });
        self.trace.note("node", "the agent is started");
        Ok(())
    }

    /// Kills the agent; the kernel stays as it is.
    pub(crate) async fn kill(&mut self) {
        let Some(mut running) = self.agent.take() else {
            return;
        };
        running.task.abort();
        let _killed = (&mut running.task).await;
        self.trace.note("node", "the agent is killed");
    }

    /// Tells the agent to end, and waits for that.
    pub(crate) async fn stop(&mut self) {
        let Some(mut running) = self.agent.take() else {
            return;
        };
        running.handles.stop();
        let _ended = (&mut running.task).await;
        self.trace.note("node", "the agent has stopped");
    }

    /// Starts the agent again where it has ended.
    pub(crate) async fn supervise(&mut self) -> anyhow::Result<()> {
        let Some(running) = self.agent.as_mut() else {
            return Ok(());
        };
        if !running.task.is_finished() {
            return Ok(());
        }
        match (&mut running.task).await {
            Ok(Ok(())) => anyhow::bail!("the agent ended by itself"),
            Ok(Err(error)) => self
                .trace
                .note("node", format!("the agent ended: {error:#}")),
            Err(error) if error.is_panic() => anyhow::bail!("the agent panicked"),
            Err(_) => {}
        }
        self.agent = None;
        sleep(RESTART).await;
        self.start().await
    }

    /// The agent, while there is one.
    pub(crate) fn agent(&self) -> Option<&Agent> {
        let running = self.agent.as_ref()?;
        (!running.task.is_finished()).then_some(&running.handles)
    }

    /// Goes on with other settings.
    pub(crate) async fn configure(&mut self) {
        if let Some(running) = &self.agent {
            running.handles.configure(&self.effective).await;
        }
    }
}
