//! The life of a pod, as a task.

use super::container::{Container, Life, refuse};
use super::network::Network;
use super::status::{Phase, Reporter};
use crate::error::{Error, Result};
use crate::kubelet::host::Host;
use crate::kubelet::probe::{Effect, ProbeKind};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt as _};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

/// What the API server last said of a pod; `None` once it is gone.
pub(in crate::kubelet) type Updates = watch::Receiver<Option<Arc<Pod>>>;

/// Runs one pod.
#[derive(Debug)]
pub(in crate::kubelet) struct Worker {
    host: Arc<Host>,
    api: Api<Pod>,
    pod: Arc<Pod>,
    updates: Updates,
    reporter: Reporter,
    phase: Phase,
    containers: Vec<Container>,
    network: Option<Network>,
    answers: JoinSet<Answer>,
    /// When to try again to report what couldn't be reported.
    retry: Option<Instant>,
}

/// A probe's answer.
#[derive(Debug)]
struct Answer {
    container: usize,
    /// The run that was asked.
    run: i32,
    kind: ProbeKind,
    success: bool,
}

/// Why a pod's life ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Its object was deleted, with this time to end.
    Graceful(Duration),
    /// Its object is gone.
    Gone,
}

impl Worker {
    pub(in crate::kubelet) fn new(
        host: Arc<Host>,
        client: kube::Client,
        updates: Updates,
    ) -> Option<Self> {
        let pod = updates.borrow().clone()?;
        let api = Api::namespaced(client, &pod.namespace().unwrap_or_default());
        let reporter = Reporter::new(&host.addresses, &pod.uid().unwrap_or_default());
        Some(Self {
            host,
            api,
            pod,
            updates,
            reporter,
            phase: Phase::Pending,
            containers: Vec::new(),
            network: None,
            answers: JoinSet::new(),
            retry: None,
        })
    }

    /// From the first report to the deletion of the object.
    pub(in crate::kubelet) async fn run(mut self) {
        if self.end().is_none() {
            if let Err(error) = self.start().await {
                self.phase = Phase::Failed(Some(error.to_string()));
            }
            self.report().await;
        }
        let end = self.live().await;
        let gone = match end {
            End::Gone => true,
            End::Graceful(grace) => self.terminate(grace).await,
        };
        self.leave().await;
        if !gone {
            self.delete().await;
        }
    }

    async fn start(&mut self) -> Result<()> {
        let spec = self.pod.spec.clone().unwrap_or_default();
        if let Some(why) = refuse(&spec) {
            return Err(Error::Malformed {
                what: format!("pod {}", self.pod.name_any()),
                why: why.to_owned(),
            });
        }
        let containers = spec.containers.iter().map(Container::read);
        self.containers = containers.collect::<Result<_>>()?;
        let network = Network::attach(&self.host, &self.pod).await?;
        let network = self.network.insert(network);
        for container in &mut self.containers {
            container.start(network)?;
        }
        self.phase = Phase::Running;
        Ok(())
    }

    /// Probes and reports until the pod shall end.
    async fn live(&mut self) -> End {
        loop {
            if let Some(end) = self.end() {
                return end;
            }
            let next = self.next_probe();
            let retry = self.retry;
            tokio::select! {
                _ = self.updates.changed() => self.update().await,
                Some(Ok(answer)) = self.answers.join_next() => self.hear(&answer).await,
                Some((container, kind)) = due(next) => self.ask(container, kind),
                Some(()) = due(retry.map(|at| (at, ()))) => self.report().await,
            }
        }
    }

    /// Stops the containers, probing and reporting meanwhile. Whether the object went before.
    async fn terminate(&mut self, grace: Duration) -> bool {
        let start = Instant::now();
        let mut deadline = start + grace;
        let mut stopping = JoinSet::new();
        if let Some(network) = &self.network {
            for (number, container) in self.containers.iter_mut().enumerate() {
                container.probes.terminate();
                let stop = container.stop(&network.subject);
                stopping.spawn(async move {
                    stop.run().await;
                    number
                });
            }
        }
        while !stopping.is_empty() {
            let next = self.next_probe();
            tokio::select! {
                biased;
                Some(Ok(number)) = stopping.join_next() => self.containers[number].end(true),
                Some(()) = due(Some((deadline, ()))) => break,
                _ = self.updates.changed() => match self.end() {
                    Some(End::Graceful(grace)) => deadline = deadline.min(start + grace),
                    _ => return true,
                },
                Some(Ok(answer)) = self.answers.join_next() => self.hear(&answer).await,
                Some((container, kind)) = due(next) => self.ask(container, kind),
            }
        }
        // SIGKILL for who hasn't ended.
        let killed = !stopping.is_empty();
        stopping.shutdown().await;
        self.answers.shutdown().await;
        for container in &mut self.containers {
            container.end(false);
        }
        if !matches!(self.phase, Phase::Failed(_)) {
            self.phase = if killed {
                Phase::Failed(None)
            } else {
                Phase::Succeeded
            };
        }
        self.report().await;
        false
    }

    /// Gives everything on the node back.
    async fn leave(&mut self) {
        self.containers.clear();
        self.answers.shutdown().await;
        if let Some(network) = self.network.take() {
            network.release(&self.host, &self.pod).await;
        }
    }

    /// Removes the object, however long the API server takes.
    async fn delete(&self) {
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: self.pod.uid(),
                ..Preconditions::default()
            }),
            ..DeleteParams::default()
        };
        while let Err(error) = self.api.delete(&self.pod.name_any(), &params).await {
            if is_gone(&error) {
                return;
            }
            tracing::warn!("deleting pod {}: {error}", self.pod.name_any());
            tokio::time::sleep(RETRY).await;
        }
    }

    fn end(&self) -> Option<End> {
        let latest = self.updates.borrow();
        let Some(pod) = latest.as_ref() else {
            return Some(End::Gone);
        };
        pod.metadata.deletion_timestamp.as_ref()?;
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(30);
        Some(End::Graceful(Duration::from_secs(
            grace.try_into().unwrap_or_default(),
        )))
    }

    /// A change of the object: only its generation matters here.
    async fn update(&mut self) {
        let Some(pod) = self.updates.borrow_and_update().clone() else {
            return;
        };
        let observed = self.pod.metadata.generation;
        self.pod = pod;
        if self.pod.metadata.generation != observed {
            self.report().await;
        }
    }

    fn next_probe(&self) -> Option<(Instant, (usize, ProbeKind))> {
        let containers = self.containers.iter().enumerate();
        containers
            .filter_map(|(number, it)| it.probes.next().map(|(at, kind)| (at, (number, kind))))
            .min()
    }

    fn ask(&mut self, number: usize, kind: ProbeKind) {
        let container = &mut self.containers[number];
        container.probes.ask(kind, Instant::now());
        let (Some(probe), Some(network)) = (container.probe(kind).cloned(), &self.network) else {
            return;
        };
        let (subject, run) = (network.subject.clone(), container.restarts);
        let (pod, name) = (self.pod.name_any(), container.name.clone());
        self.answers.spawn(async move {
            let result = probe.ask(&subject).await;
            if let Err(why) = &result {
                tracing::debug!("{kind:?} probe of {name} in pod {pod}: {why}");
            }
            Answer {
                container: number,
                run,
                kind,
                success: result.is_ok(),
            }
        });
    }

    async fn hear(&mut self, answer: &Answer) {
        let container = &mut self.containers[answer.container];
        if container.restarts != answer.run {
            return;
        }
        match container.probes.answer(answer.kind, answer.success) {
            Effect::None => {}
            Effect::Changed => self.report().await,
            Effect::Restart => {
                if let Err(error) = self.restart(answer.container).await {
                    self.phase = Phase::Failed(Some(error.to_string()));
                }
                self.report().await;
            }
        }
    }

    /// Stops a container, with all the time that the pod has, and starts it again at once.
    async fn restart(&mut self, number: usize) -> Result<()> {
        let Some(network) = &self.network else {
            return Ok(());
        };
        let spec = self.pod.spec.as_ref();
        let grace = spec.and_then(|spec| spec.termination_grace_period_seconds);
        let grace = grace.and_then(|grace| grace.try_into().ok()).unwrap_or(30);
        let container = &mut self.containers[number];
        let stop = container.stop(&network.subject).run();
        let ended = tokio::time::timeout(Duration::from_secs(grace), stop).await;
        container.end(ended.is_ok());
        if let Life::Ended(exit) = &container.life {
            container.before = Some(exit.clone());
        }
        self.report().await;
        let (Some(network), container) = (&self.network, &mut self.containers[number]) else {
            return Ok(());
        };
        container.restarts += 1;
        network.switches.restart();
        container.start(network)
    }

    /// Patches the status. What fails is tried again by [`Self::live`].
    async fn report(&mut self) {
        let addresses = self.network.as_ref().map(|it| it.addresses.clone());
        let status = self.reporter.report(
            &self.phase,
            self.pod.metadata.generation,
            &addresses.unwrap_or_default(),
            &self.containers,
        );
        let name = self.pod.name_any();
        // The uid guards a successor of the same name.
        let patch = Patch::Strategic(serde_json::json!({
            "metadata": { "uid": self.pod.uid() },
            "status": status,
        }));
        let params = PatchParams::default();
        self.retry = match self.api.patch_status(&name, &params, &patch).await {
            Err(error) if !is_gone(&error) => {
                tracing::warn!("reporting pod {name}: {error}");
                Some(Instant::now() + RETRY)
            }
            _ => None,
        };
    }
}

const RETRY: Duration = Duration::from_millis(500);

/// The object is gone, or another one has its name.
fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 404 | 409))
}

/// Waits for a moment and returns what is due then; `None` at once if nothing is.
async fn due<T>(next: Option<(Instant, T)>) -> Option<T> {
    let (at, what) = next?;
    sleep_until(at.into()).await;
    Some(what)
}
