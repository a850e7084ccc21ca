//! This node: its kernel, and the agent that runs, ends and is started again.

use std::marker::PhantomData;
use std::net::IpAddr;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Duration, sleep};
use viprule::agent::simulation::{Agent, Setup};
use viprule::config::Effective;
use viprule_source::kube::ApiServer as Access;
use viprule_sync::Rooms;
use viprule_testkit::api_server::ApiServer;
use viprule_testkit::chance::Chance;
use viprule_testkit::memory::MemoryKernel;

use crate::chaos::Chaos;
use crate::mode::Mode;
use crate::settings::{self, SUPPORT};
use crate::trace::Trace;
use crate::{checks, cluster};

/// How long it takes until an agent that ended is started again.
const RESTART: Duration = Duration::from_secs(2);
/// From so many Services in the kernel on a first list that has far fewer is doubted: `FEW` of
/// `viprule_source::kube`.
const DOUBTED: usize = 10;

/// What is on the node.
pub(crate) struct Node<M> {
    pub(crate) kernel: MemoryKernel,
    pub(crate) effective: Effective,
    pub(crate) addresses: watch::Sender<Vec<IpAddr>>,
    server: ApiServer,
    /// Requests before the agent was started.
    asked_before: u64,
    chance: Chance,
    rooms: Rooms,
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
        rooms: Rooms,
        trace: Trace,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            rooms,
            kernel,
            effective: settings::usual(M::NAME)?,
            addresses: watch::Sender::new(cluster::interfaces(false)),
            server,
            asked_before: 0,
            chance,
            agent: None,
            trace,
            mode: PhantomData,
        })
    }

    /// Starts the agent; the one before is killed.
    pub(crate) async fn start(&mut self, chaos: &Chaos) -> anyhow::Result<()> {
        self.kill().await?;
        let (counted, serving) = (
            checks::served::<M>(&self.kernel)?,
            chaos.serving(&self.kernel),
        );
        anyhow::ensure!(
            counted >= serving,
            "the agent counts {counted} Services that are served where {serving} are"
        );
        if serving < DOUBTED {
            self.server.forget();
        }
        self.asked_before = self.server.requests();
        let at = checks::API_SERVER.into();
        let server = Access::over(self.server.client(), &[at], self.chance.number());
        let setup = Setup {
            server,
            effective: self.effective.clone(),
            support: SUPPORT,
            addresses: self.addresses.subscribe(),
            rooms: self.rooms,
        };
        let (handles, agent) = Agent::start(setup)?;
        let task = tokio::task::spawn_local(agent);
        self.agent = Some(Running { handles, task });
        self.trace.note("node", "the agent is started");
        Ok(())
    }

    /// Kills the agent; the kernel stays as it is.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        let Some(mut running) = self.agent.take() else {
            return Ok(());
        };
        running.task.abort();
        // It may have ended by itself before.
        ended(&(&mut running.task).await)?;
        self.trace.note("node", "the agent is killed");
        Ok(())
    }

    /// Tells the agent to end, and waits for that.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut running) = self.agent.take() else {
            return Ok(());
        };
        running.handles.stop();
        ended(&(&mut running.task).await)?;
        self.trace.note("node", "the agent has stopped");
        Ok(())
    }

    /// Starts the agent again where it has ended.
    pub(crate) async fn supervise(&mut self, chaos: &Chaos) -> anyhow::Result<()> {
        // It counts what is served before it asks anybody, which may take it long.
        let has_asked = self.server.requests() > self.asked_before;
        if !has_asked && chaos.serving(&self.kernel) < DOUBTED {
            self.server.forget();
        }
        let Some(running) = self.agent.as_mut() else {
            return Ok(());
        };
        if !running.task.is_finished() {
            return Ok(());
        }
        let result = (&mut running.task).await;
        ended(&result)?;
        match result {
            Ok(Ok(())) => anyhow::bail!("the agent ended by itself"),
            Ok(Err(error)) => self
                .trace
                .note("node", format!("the agent ended: {error:#}")),
            Err(_) => {}
        }
        self.agent = None;
        sleep(RESTART).await;
        self.start(chaos).await
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

/// However an agent ends, it does not panic.
fn ended(result: &Result<anyhow::Result<()>, JoinError>) -> anyhow::Result<()> {
    let panicked = result.as_ref().is_err_and(JoinError::is_panic);
    anyhow::ensure!(!panicked, "the agent panicked");
    Ok(())
}
