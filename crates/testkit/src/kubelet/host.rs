//! What the pods of a node share.

use super::addresses::Addresses;
use super::pod::{Identity, Switches};
use crate::netns::Namespace;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A node, as its pods see it.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) namespace: Namespace,
    pub(super) addresses: Vec<IpAddr>,
    numbers: Mutex<Addresses>,
    pods: Mutex<Pods>,
}

/// Pods that run and pods that ran.
#[derive(Debug, Default)]
struct Pods {
    running: BTreeMap<(String, String), RunningPod>,
    seen: BTreeMap<IpAddr, Identity>,
}

/// A pod that runs, for tests to look at and to disturb.
#[derive(Debug, Clone)]
pub struct RunningPod {
    identity: Arc<Identity>,
    addresses: Vec<IpAddr>,
    namespace: Arc<Namespace>,
    switches: Arc<Switches>,
}

impl Host {
    pub(super) fn new(
        name: String,
        namespace: Namespace,
        addresses: Vec<IpAddr>,
        numbers: Addresses,
    ) -> Self {
        Self {
            name,
            namespace,
            addresses,
            numbers: Mutex::new(numbers),
            pods: Mutex::default(),
        }
    }

    pub(super) fn numbers(&self) -> MutexGuard<'_, Addresses> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn remember(&self, pod: &Pod, running: RunningPod) {
        let mut pods = self.pods();
        for address in &running.addresses {
            let identity = running.identity.as_ref().clone();
            pods.seen.insert(*address, identity);
        }
        pods.running.insert(key(pod), running);
    }

    pub(super) fn forget(&self, pod: &Pod) {
        self.pods().running.remove(&key(pod));
    }

    pub(super) fn running(&self) -> BTreeMap<(String, String), RunningPod> {
        self.pods().running.clone()
    }

    pub(super) fn seen(&self) -> BTreeMap<IpAddr, Identity> {
        self.pods().seen.clone()
    }

    fn pods(&self) -> MutexGuard<'_, Pods> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunningPod {
    pub(super) fn new(
        identity: &Arc<Identity>,
        addresses: &[IpAddr],
        namespace: &Arc<Namespace>,
        switches: &Arc<Switches>,
    ) -> Self {
        Self {
            identity: Arc::clone(identity),
            addresses: addresses.to_vec(),
            namespace: Arc::clone(namespace),
            switches: Arc::clone(switches),
        }
    }

    /// Who it says it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its addresses, in the order of the node's ranges.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Its network namespace, to run clients in. Keeping it keeps the namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// What a test can do to it.
    pub fn switches(&self) -> &Switches {
        &self.switches
    }
}

fn key(pod: &Pod) -> (String, String) {
    (pod.namespace().unwrap_or_default(), pod.name_any())
}
