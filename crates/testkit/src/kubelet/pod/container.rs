//! A container: servers on its TCP ports, probes, a preStop hook.

use super::network::Network;
use super::server::PodServer;
use crate::error::{Error, Result};
use crate::kubelet::probe::{ContainerProbes, Handler, Probe, ProbeKind, Schedules, Subject};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container as Spec, LifecycleHandler, PodSpec};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A container of a pod.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: String,
    ports: Vec<u16>,
    startup: Option<Probe>,
    readiness: Option<Probe>,
    liveness: Option<Probe>,
    pre_stop: Option<Hook>,
    servers: Vec<PodServer>,
    /// Probes of this run.
    pub(super) probes: ContainerProbes,
    pub(super) life: Life,
    /// How the run before this one ended.
    pub(super) before: Option<Exit>,
    /// How often it was started again; also the number of this run.
    pub(super) restarts: i32,
}

/// Where a container is in its life.
#[derive(Debug, Clone)]
pub(super) enum Life {
    /// Not yet started.
    Waiting,
    /// Since then.
    Running(Timestamp),
    /// It is over.
    Ended(Exit),
}

/// An end.
#[derive(Debug, Clone)]
pub(super) struct Exit {
    pub(super) started: Timestamp,
    pub(super) finished: Timestamp,
    /// 0, or 137 for SIGKILL.
    pub(super) code: i32,
}

/// What precedes SIGTERM.
#[derive(Debug, Clone)]
enum Hook {
    Sleep(Duration),
    Run(Handler),
}

/// A container on its way to the end. Dropping it is SIGKILL.
#[derive(Debug)]
pub(super) struct Stopping {
    pre_stop: Option<Hook>,
    servers: Vec<PodServer>,
    subject: Subject,
}

impl Container {
    /// Reads a container; nothing runs yet.
    pub(super) fn read(spec: &Spec) -> Result<Self> {
        let probe = |probe: Option<&_>| probe.map(|probe| Probe::read(probe, spec)).transpose();
        let ports = spec.ports.iter().flatten();
        let ports = ports.filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP");
        let hook = spec.lifecycle.as_ref().and_then(|it| it.pre_stop.as_ref());
        Ok(Self {
            name: spec.name.clone(),
            image: spec.image.clone().unwrap_or_default(),
            ports: ports
                .filter_map(|port| port.container_port.try_into().ok())
                .collect(),
            startup: probe(spec.startup_probe.as_ref())?,
            readiness: probe(spec.readiness_probe.as_ref())?,
            liveness: probe(spec.liveness_probe.as_ref())?,
            pre_stop: hook.map(|hook| Hook::read(hook, spec)).transpose()?,
            servers: Vec::new(),
            probes: ContainerProbes::new(Schedules::default(), Instant::now()),
            life: Life::Waiting,
            before: None,
            restarts: 0,
        })
    }

    /// Starts its servers at every address of the pod.
    pub(super) fn start(&mut self, network: &Network) -> Result<()> {
        let mut servers = Vec::new();
        for port in &self.ports {
            for address in &network.addresses {
                servers.push(PodServer::start(
                    &network.subject.namespace,
                    SocketAddr::new(*address, *port),
                    Arc::clone(&network.identity),
                    Arc::clone(&network.switches),
                )?);
            }
        }
        self.servers = servers;
        let schedule = |probe: &Option<Probe>| probe.as_ref().map(|probe| probe.schedule);
        let schedules = Schedules {
            startup: schedule(&self.startup),
            readiness: schedule(&self.readiness),
            liveness: schedule(&self.liveness),
        };
        self.probes = ContainerProbes::new(schedules, Instant::now());
        self.life = Life::Running(Timestamp::now());
        Ok(())
    }

    /// The probe of this kind, to be asked.
    pub(super) fn probe(&self, kind: ProbeKind) -> Option<&Probe> {
        match kind {
            ProbeKind::Startup => self.startup.as_ref(),
            ProbeKind::Readiness => self.readiness.as_ref(),
            ProbeKind::Liveness => self.liveness.as_ref(),
        }
    }

    /// Whether it runs and its probes say that it has started.
    pub(super) fn is_started(&self) -> bool {
        matches!(self.life, Life::Running(_)) && self.probes.is_started()
    }

    /// Whether it runs and its probes say that it is ready.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.life, Life::Running(_)) && self.probes.is_ready()
    }

    /// Takes the way to the end out of the container, which goes on being probed meanwhile.
    pub(super) fn stop(&mut self, subject: &Subject) -> Stopping {
        Stopping {
            pre_stop: self.pre_stop.clone(),
            servers: std::mem::take(&mut self.servers),
            subject: subject.clone(),
        }
    }

    /// Its process has ended, by itself or killed.
    pub(super) fn end(&mut self, by_itself: bool) {
        if let Life::Running(started) = self.life {
            self.life = Life::Ended(Exit {
                started,
                finished: Timestamp::now(),
                code: if by_itself { 0 } else { 137 },
            });
        }
    }
}

impl Hook {
    fn read(hook: &LifecycleHandler, container: &Spec) -> Result<Self> {
        if let Some(sleep) = &hook.sleep {
            let seconds = u64::try_from(sleep.seconds).map_err(|_| Error::Malformed {
                what: format!("container {:?}", container.name),
                why: format!("preStop.sleep.seconds is {}", sleep.seconds),
            })?;
            return Ok(Self::Sleep(Duration::from_secs(seconds)));
        }
        let (exec, http) = (hook.exec.as_ref(), hook.http_get.as_ref());
        Handler::read(container, exec, http, hook.tcp_socket.as_ref(), None).map(Self::Run)
    }
}

impl Stopping {
    /// The hook, SIGTERM, and the end. The caller sets the limit.
    pub(super) async fn run(mut self) {
        /// The caller's limit is shorter.
        const FOREVER: Duration = Duration::from_secs(24 * 3600);
        match &self.pre_stop {
            None => {}
            Some(Hook::Sleep(time)) => tokio::time::sleep(*time).await,
            Some(Hook::Run(handler)) => {
                if let Err(why) = handler.run(&self.subject, FOREVER).await {
                    tracing::warn!("a preStop hook failed: {why}");
                }
            }
        }
        for server in &self.servers {
            server.terminate();
        }
        for server in &mut self.servers {
            server.finished().await;
        }
    }
}

/// Why this kubelet can't run a pod, if it can't.
pub(super) fn refuse(spec: &PodSpec) -> Option<&'static str> {
    if spec.init_containers.iter().flatten().next().is_some() {
        Some("init containers aren't run here")
    } else if spec.host_network == Some(true) {
        Some("pods here have a network of their own, not the host's")
    } else if !matches!(spec.restart_policy.as_deref(), None | Some("Always")) {
        Some("containers here don't end, so restartPolicy must be Always")
    } else {
        None
    }
}
