//! What is reported of a pod.

use super::container::{Container, Exit, Life};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, HostIP, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What stays the same in all reports of a pod, and when its conditions changed.
#[derive(Debug)]
pub(super) struct Reporter {
    host: Vec<IpAddr>,
    start: Timestamp,
    conditions: BTreeMap<&'static str, (bool, Timestamp)>,
    uid: String,
}

/// Where a pod is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// Accepted, nothing runs yet.
    Pending,
    /// Containers run.
    Running,
    /// All containers ended by themselves.
    Succeeded,
    /// A container was killed, or the pod can't run here and why.
    Failed(Option<String>),
}

impl Reporter {
    pub(super) fn new(host: &[IpAddr], uid: &str) -> Self {
        Self {
            host: host.to_vec(),
            start: Timestamp::now(),
            conditions: BTreeMap::new(),
            uid: uid.to_owned(),
        }
    }

    /// The whole status.
    pub(super) fn report(
        &mut self,
        phase: &Phase,
        generation: Option<i64>,
        addresses: &[IpAddr],
        containers: &[Container],
    ) -> PodStatus {
        let over = matches!(phase, Phase::Succeeded | Phase::Failed(_));
        let ready = !over && !containers.is_empty() && containers.iter().all(Container::is_ready);
        let mut conditions = Vec::new();
        for (kind, value) in [
            ("PodScheduled", true),
            ("Initialized", !matches!(phase, Phase::Pending)),
            ("ContainersReady", ready),
            ("Ready", ready),
        ] {
            conditions.push(self.condition(kind, value, over));
        }
        let (phase, message) = match phase {
            Phase::Pending => ("Pending", None),
            Phase::Running => ("Running", None),
            Phase::Succeeded => ("Succeeded", None),
            Phase::Failed(why) => ("Failed", why.clone()),
        };
        let text = |ip: &IpAddr| ip.to_string();
        let host = self.host.iter().map(|ip| HostIP { ip: text(ip) });
        let own = addresses.iter().map(|ip| PodIP { ip: text(ip) });
        let containers = containers.iter().map(|it| self.container(it));
        PodStatus {
            conditions: Some(conditions),
            container_statuses: Some(containers.collect()),
            host_ip: self.host.first().map(text),
            host_ips: Some(host.collect()),
            message,
            observed_generation: generation,
            phase: Some(phase.to_owned()),
            pod_ip: addresses.first().map(text),
            pod_ips: (!addresses.is_empty()).then(|| own.collect()),
            start_time: Some(Time(self.start)),
            ..PodStatus::default()
        }
    }

    fn condition(&mut self, kind: &'static str, value: bool, over: bool) -> PodCondition {
        let now = Timestamp::now();
        let known = self.conditions.entry(kind).or_insert((value, now));
        if known.0 != value {
            *known = (value, now);
        }
        let reason = match (value, over) {
            (true, _) => None,
            (false, true) => Some("PodCompleted"),
            (false, false) => Some("ContainersNotReady"),
        };
        PodCondition {
            type_: kind.to_owned(),
            status: if value { "True" } else { "False" }.to_owned(),
            last_transition_time: Some(Time(known.1)),
            reason: reason.map(ToOwned::to_owned),
            ..PodCondition::default()
        }
    }

    fn container(&self, container: &Container) -> ContainerStatus {
        let state = match &container.life {
            Life::Waiting => ContainerState {
                waiting: Some(ContainerStateWaiting {
                    reason: Some("ContainerCreating".to_owned()),
                    message: None,
                }),
                ..ContainerState::default()
            },
            Life::Running(since) => ContainerState {
                running: Some(ContainerStateRunning {
                    started_at: Some(Time(*since)),
                }),
                ..ContainerState::default()
            },
            Life::Ended(exit) => terminated(exit),
        };
        let running = matches!(container.life, Life::Running(_));
        ContainerStatus {
            name: container.name.clone(),
            image: container.image.clone(),
            image_id: container.image.clone(),
            // Each run of a container has an id of its own.
            container_id: running.then(|| {
                let (uid, name) = (&self.uid, &container.name);
                format!("test://{uid}/{name}/{}", container.restarts)
            }),
            ready: container.is_ready(),
            started: Some(container.is_started()),
            restart_count: container.restarts,
            last_state: container.before.as_ref().map(terminated),
            state: Some(state),
            ..ContainerStatus::default()
        }
    }
}

fn terminated(exit: &Exit) -> ContainerState {
    let reason = if exit.code == 0 { "Completed" } else { "Error" };
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code: exit.code,
            started_at: Some(Time(exit.started)),
            finished_at: Some(Time(exit.finished)),
            reason: Some(reason.to_owned()),
            ..ContainerStateTerminated::default()
        }),
        ..ContainerState::default()
    }
}
