//! Which listeners there are, and which there should be.

mod set_aside;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use viprule_service::model::{CreationTime, Family, ServiceId};
use viprule_service::plan::NodePortTargets;
use viprule_sync::ServiceCheck;

use super::answer::ServiceEndpoint;
use super::{ListenFailure, ServiceCheckOptions};
use crate::http::{Acceptor, Crowd, Limits, STALL, listen_one_family};

/// What the clients of one listener may use: several load balancers ask, each now and then.
const LIMITS: Limits = Limits {
    connections: 32,
    head_timeout: Duration::from_secs(120),
    stall_timeout: STALL,
};

/// Every Service's listeners.
pub(super) struct Listeners {
    options: ServiceCheckOptions,
    targets: [NodePortTargets; 2],
    services: BTreeMap<ServiceId, Service>,
    /// Services that lack a listener, or may, and could have it.
    failing: BTreeSet<ServiceId>,
    /// Services for whose listeners there is no room.
    aside: BTreeSet<ServiceId>,
    /// How many of those the log has told of.
    told: usize,
    connections: Crowd,
}

struct Service {
    created: CreationTime,
    port: u16,
    families: [Option<Listening>; 2],
    /// What was said about it last.
    problem: Option<String>,
}

/// One family of a Service.
#[derive(Default)]
struct Listening {
    local_endpoints: Arc<AtomicUsize>,
    open: BTreeMap<IpAddr, Acceptor>,
}

impl Listeners {
    pub(super) fn new(options: ServiceCheckOptions) -> Self {
        Self {
            connections: Crowd::of(options.room.connections),
            options,
            targets: Family::ALL.map(|_| NodePortTargets::Every),
            services: BTreeMap::new(),
            failing: BTreeSet::new(),
            aside: BTreeSet::new(),
            told: 0,
        }
    }

    /// Closes first and opens then, as a port may go from one Service to another.
    pub(super) async fn apply(&mut self, changes: Vec<(ServiceId, Option<ServiceCheck>)>) {
        let mut wanted = Vec::new();
        for (id, check) in changes {
            if let Some(check) = check {
                self.update(&id, check).await;
                wanted.push(id);
            } else if let Some(service) = self.services.remove(&id) {
                self.failing.remove(&id);
                self.aside.remove(&id);
                service.close().await;
            }
        }
        // A port that was taken may just have become free.
        self.failing.extend(wanted);
        self.allot().await;
        self.try_again();
    }

    /// Takes over what is wanted of a Service and closes what no longer is.
    async fn update(&mut self, id: &ServiceId, check: ServiceCheck) {
        let service = self.services.entry(id.clone()).or_insert_with(|| Service {
            created: check.created,
            port: check.port,
            families: [None, None],
            problem: None,
        });
        service.created = check.created;
        if service.port != check.port {
            service.port = check.port;
            service.problem = None;
            for listening in service.families.iter_mut().filter_map(Option::take) {
                listening.close().await;
            }
        }
        for (family, count) in service.families.iter_mut().zip(check.local_endpoints) {
            if let Some(count) = count {
                let listening = family.get_or_insert_default();
                listening.local_endpoints.store(count, Ordering::Relaxed);
            } else if let Some(listening) = family.take() {
                listening.close().await;
            }
        }
    }

    pub(super) async fn set_targets(&mut self, targets: [NodePortTargets; 2]) {
        if targets == self.targets {
            return;
        }
        self.targets = targets;
        for service in self.services.values_mut() {
            for family in Family::ALL {
                let wanted = addresses(family, &self.targets[family as usize]);
                if let Some(listening) = &mut service.families[family as usize] {
                    listening.keep(&wanted).await;
                }
            }
        }
        self.failing.extend(self.services.keys().cloned());
        self.allot().await;
        self.try_again();
    }

    /// True where something is to be tried again, or told.
    pub(super) fn is_waiting(&self) -> bool {
        !self.failing.is_empty() || self.aside.len() != self.told
    }

    pub(super) fn try_again(&mut self) {
        for id in self.failing.clone() {
            self.open(&id);
        }
        let unserved = self.failing.len() + self.aside.len();
        self.options.metrics.health_checks_unserved(unserved);
    }

    /// Opens what a Service lacks. An address that fails does not take others with it.
    fn open(&mut self, id: &ServiceId) {
        let Some(service) = self.services.get_mut(id) else {
            return;
        };
        let mut problem = None;
        for family in Family::ALL {
            let Some(listening) = &mut service.families[family as usize] else {
                continue;
            };
            for ip in addresses(family, &self.targets[family as usize]) {
                if listening.open.contains_key(&ip) {
                    continue;
                }
                let address = SocketAddr::new(ip, service.port);
                let endpoint = ServiceEndpoint {
                    service: id.clone(),
                    local_endpoints: listening.local_endpoints.clone(),
                    health: self.options.health.clone(),
                    clock: self.options.clock,
                };
                let acceptor = listen_one_family(address).and_then(|listener| {
                    let crowd = Some(self.connections.clone());
                    Acceptor::spawn(listener, Arc::new(endpoint), LIMITS, crowd)
                });
                match acceptor {
                    Ok(acceptor) => {
                        tracing::debug!("service {id}: health check listens on {address}");
                        listening.open.insert(ip, acceptor);
                    }
                    Err(error) => {
                        problem.get_or_insert_with(|| format!("listen tcp {address}: {error}"));
                    }
                }
            }
        }
        self.settle(id, problem);
    }

    /// Remembers how opening went, and says so where it is news.
    fn settle(&mut self, id: &ServiceId, problem: Option<String>) {
        if problem.is_some() {
            self.failing.insert(id.clone());
        } else {
            self.failing.remove(id);
        }
        let Some(service) = self.services.get_mut(id) else {
            return;
        };
        if service.problem == problem {
            return;
        }
        service.problem.clone_from(&problem);
        let port = service.port;
        let Some(problem) = problem else {
            tracing::info!("service {id}: the health check on port {port} is served now");
            return;
        };
        let seconds = self.options.retry.as_secs();
        tracing::error!("service {id}: health check: {problem}; trying again every {seconds} s");
        let failure = ListenFailure {
            service: id.clone(),
            port,
            problem,
        };
        // Whoever is not interested has dropped the receiver.
        let _ = self.options.failures.send(failure);
    }

    pub(super) async fn close_all(self) {
        for service in self.services.into_values() {
            service.close().await;
        }
    }
}

impl Service {
    async fn close(self) {
        for listening in self.families.into_iter().flatten() {
            listening.close().await;
        }
    }
}

impl Listening {
    /// Closes what listens elsewhere.
    async fn keep(&mut self, wanted: &BTreeSet<IpAddr>) {
        let gone: Vec<IpAddr> = self.open.keys().copied().collect();
        for ip in gone.into_iter().filter(|ip| !wanted.contains(ip)) {
            if let Some(acceptor) = self.open.remove(&ip) {
                // Requests under way finish by themselves.
                drop(acceptor.close().await);
            }
        }
    }

    async fn close(mut self) {
        self.keep(&BTreeSet::new()).await;
    }
}

/// Where to listen. IPv6 link-local addresses are left out: without their interface they name no
/// place, and no load balancer could ask there.
fn addresses(family: Family, targets: &NodePortTargets) -> BTreeSet<IpAddr> {
    match targets {
        NodePortTargets::Every => BTreeSet::from([match family {
            Family::Ipv4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::Ipv6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }]),
        NodePortTargets::Addresses(addresses) => addresses
            .iter()
            .filter(|ip| !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local()))
            .copied()
            .collect(),
    }
}
