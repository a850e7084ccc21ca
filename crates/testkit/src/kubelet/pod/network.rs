//! A pod's place on its node.

use super::answer::Identity;
use super::switches::Switches;
use crate::error::{Error, Result};
use crate::kubelet::host::{Host, RunningPod};
use crate::kubelet::probe::Subject;
use crate::topology::PodLink;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use std::net::IpAddr;
use std::sync::Arc;

/// The pod's namespace and addresses.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) number: u32,
    pub(super) link: Arc<PodLink>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) subject: Subject,
    pub(super) identity: Arc<Identity>,
    pub(super) switches: Arc<Switches>,
}

impl Network {
    /// Makes the namespace and its link. A number with which that failed stays taken: something of
    /// its link may be left.
    pub(super) async fn attach(host: &Arc<Host>, pod: &Pod) -> Result<Self> {
        let (number, pairs) = host.numbers().take()?;
        let (on, name) = (Arc::clone(host), format!("pod {}", pod.name_any()));
        let addresses: Vec<_> = pairs.iter().map(|(own, _)| *own).collect();
        let device = format!("pod{number}");
        let attached = move || PodLink::attach(&on.namespace, &name, device, pairs);
        let link = tokio::task::spawn_blocking(attached).await;
        let link =
            link.unwrap_or_else(|error| Err(Error::io("a thread of the kubelet")(error.into())))?;
        let version = pod.labels().get("version").cloned();
        let identity = Arc::new(Identity {
            pod: pod.name_any(),
            version: version.unwrap_or_default(),
        });
        let first = addresses.first().copied().ok_or_else(|| Error::Address {
            what: format!("node {}", host.name),
            why: "it has no range of pod addresses".to_owned(),
        })?;
        let namespace = Arc::new(link.namespace().try_clone()?);
        let network = Self {
            number,
            link: Arc::new(link),
            subject: Subject {
                address: first,
                namespace,
            },
            identity,
            switches: Arc::default(),
            addresses,
        };
        host.remember(
            pod,
            RunningPod::new(
                &network.identity,
                &network.addresses,
                &network.subject.namespace,
                &network.switches,
            ),
        );
        Ok(network)
    }

    /// Removes the link and gives the addresses back.
    pub(super) async fn release(self, host: &Host, pod: &Pod) {
        host.forget(pod);
        let link = Arc::clone(&self.link);
        let cut = tokio::task::spawn_blocking(move || link.cut()).await;
        match cut {
            Ok(Ok(())) => host.numbers().give_back(self.number),
            Ok(Err(error)) => tracing::warn!("the link of a pod stays: {error}"),
            Err(error) => tracing::warn!("the link of a pod stays: {error}"),
        }
    }
}
