//! The data set: Services of one port with five endpoints each, as events and as manifests.

use std::path::Path;

use viprule_service::model::{
    self, EndpointSlice, Event, Protocol, Service, ServiceId, SliceId, SlicePort,
};
use viprule_service::tracker::Tracker;
use viprule_testkit::manifests::Bulk;
use viprule_testkit::objects::{self, READY};

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
        let mut tracker = Tracker::new(objects::plan_config(NODE));
        for service in 0..self.services() {
            tracker.apply(self.service(service)?);
            tracker.apply(self.slice(service, 0)?);
        }
        Ok(tracker)
    }

    /// Another endpoint list for a Service: in each revision endpoint 0 is new.
    pub fn slice(&self, service: u32, revision: u32) -> anyhow::Result<Event> {
        let endpoint = |index| {
            let address = self.bulk.endpoint(service, index, revision).into();
            let node = format!("node-{}", (service * ENDPOINTS + index) % self.bulk.nodes);
            objects::endpoint(address, Some(&node), READY)
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
        Ok(Event::ServiceApplied(Service {
            cluster_ips: [self.bulk.cluster_ip(service).into()].into(),
            ports: [objects::port(PORT_NAME, PORT)].into(),
            ..objects::bare_service(self.id(service)?)
        }))
    }
}
