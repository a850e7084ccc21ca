//! The data set: Services of one port with five endpoints each, as events and as manifests.

use std::path::Path;

use viprule_service::model::{
    self, Conditions, CreationTime, Endpoint, EndpointSlice, Event, Protocol, Service, ServiceId,
    ServicePort, ServiceType, SliceId, SlicePort,
};
use viprule_service::plan::{Budgets, PlanConfig};
use viprule_service::tracker::Tracker;
use viprule_testkit::manifests::Bulk;

/// Endpoints of each Service.
pub const ENDPOINTS: u32 = 5;
/// Where pods are.
pub const POD_NETWORK: &str = "10.128.0.0/9";
/// The node that everything is computed for.
pub const NODE: &str = "node-0";
/// The port of every Service.
pub const PORT: u16 = 80;
/// The port of every endpoint.
pub const TARGET_PORT: u16 = 8080;
/// The Service port's name.
pub const PORT_NAME: &str = "http";

/// A cluster of a given size.
#[derive(Debug)]
pub struct Cluster {
    bulk: Bulk,
}

impl Cluster {
    /// With so many Services.
    pub fn new(services: u32) -> Self {
        Self {
            bulk: Bulk::new(services, ENDPOINTS),
        }
    }

    /// How many Services it has.
    pub fn services(&self) -> u32 {
        self.bulk.services
    }

    /// Names, addresses and manifests.
    pub fn bulk(&self) -> &Bulk {
        &self.bulk
    }

    /// The Service that a measurement's round number changes: far from the last one.
    pub fn victim(&self, round: u32) -> u32 {
        round.wrapping_mul(7919) % self.services()
    }

    /// A tracker that knows it all.
    pub fn tracker(&self) -> anyhow::Result<Tracker> {
        let mut tracker = Tracker::new(PlanConfig {
            node_name: NODE.to_owned(),
            bind_address: None,
            allow_external_ips: true,
            budgets: Budgets::default(),
        });
        for service in 0..self.services() {
            tracker.apply(self.service(service)?);
            tracker.apply(self.slice(service, 0)?);
        }
        Ok(tracker)
    }

    /// Another endpoint list for a Service: in each revision endpoint 0 is new.
    pub fn slice(&self, service: u32, revision: u32) -> anyhow::Result<Event> {
        let endpoint = |index| Endpoint {
            address: self.bulk.endpoint(service, index, revision).into(),
            conditions: Conditions::default(),
            node: Some(format!("node-{}", (service * ENDPOINTS + index) % self.bulk.nodes).into()),
            hints: None,
        };
        let port = SlicePort {
            name: PORT_NAME.into(),
            protocol: Protocol::Tcp,
            port: TARGET_PORT,
        };
        let id = self.id(service)?;
        let name = format!("{}-0", id.name());
        Ok(Event::SliceApplied(EndpointSlice {
            id: SliceId::new(id, &name)?,
            family: model::Family::Ipv4,
            ports: [port].into(),
            endpoints: (0..ENDPOINTS).map(endpoint).collect(),
        }))
    }

    /// Writes the manifests of the same cluster.
    pub fn write_manifests(&self, file: &Path) -> anyhow::Result<()> {
        Ok(self.bulk.write_file(file)?)
    }

    fn id(&self, service: u32) -> anyhow::Result<ServiceId> {
        let name = self.bulk.name(service);
        let (namespace, name) = name.split_once('/').unwrap_or(("default", &name));
        ServiceId::new(namespace, name)
            .map_err(|(field, error)| anyhow::anyhow!("{field} of Service {name}: {error}"))
    }

    fn service(&self, service: u32) -> anyhow::Result<Event> {
        let port = ServicePort {
            name: PORT_NAME.into(),
            protocol: Protocol::Tcp,
            port: PORT,
            node_port: 0,
        };
        Ok(Event::ServiceApplied(Service {
            id: self.id(service)?,
            created: CreationTime::default(),
            kind: ServiceType::ClusterIp,
            cluster_ips: [self.bulk.cluster_ip(service).into()].into(),
            ports: [port].into(),
            external_ips: [].into(),
            load_balancer_ips: [].into(),
            source_ranges: [].into(),
            affinity_seconds: None,
            internal_policy_local: false,
            external_policy_local: false,
            health_check_node_port: 0,
            balancing: None,
        }))
    }
}
