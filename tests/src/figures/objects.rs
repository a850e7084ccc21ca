//! The Services of a large cluster.

use serde_json::{Value, json};
use std::net::Ipv4Addr;
use viprule_testkit::Result;
use viprule_testkit::cluster::Api;
use viprule_testkit::manifests::{service, slice};

/// Requests under way at a time.
const AT_ONCE: usize = 64;
/// Cluster IPs from 10.1.16.0 on, out of the way of those that the API server gives out itself.
const FIRST_CLUSTER_IP: u32 = u32::from_be_bytes([10, 1, 16, 0]);
/// Pods of nodes that don't exist.
const FIRST_POD: u32 = u32::from_be_bytes([10, 128, 0, 1]);
/// Addresses that changes bring, each once.
const FIRST_NEW: u32 = u32::from_be_bytes([10, 200, 0, 1]);

/// `services` TCP Services of one port with `endpoints` endpoints each.
#[derive(Debug)]
pub struct Objects {
    /// How many Services.
    pub services: u32,
    endpoints: u32,
}

impl Objects {
    /// With so many Services and endpoints of each.
    pub fn new(services: u32, endpoints: u32) -> Self {
        Self {
            services,
            endpoints,
        }
    }

    /// Creates all of them.
    pub fn create(&self, api: &Api) -> Result<()> {
        let slices = (0..self.services).map(|number| self.slice(number));
        api.create_all(slices, AT_ONCE)?;
        let services = (0..self.services).map(|number| {
            let ip = Self::cluster_ip(number).to_string();
            let service = service(&name(number)).cluster_ip(&ip);
            service.tcp("http", 80, 8080).json().clone()
        });
        api.create_all(services, AT_ONCE)
    }

    /// Where a Service is reached, on port 80.
    pub fn cluster_ip(number: u32) -> Ipv4Addr {
        (FIRST_CLUSTER_IP + number).into()
    }

    /// The `default/NAME` of the slice of a Service.
    pub fn slice_name(number: u32) -> String {
        format!("default/{}-1", name(number))
    }

    /// The address that change number `change` brings.
    pub fn new_address(change: u32) -> Ipv4Addr {
        (FIRST_NEW + change).into()
    }

    /// The patch that puts `address` in the place of a Service's first endpoint.
    pub fn change(&self, number: u32, address: Ipv4Addr) -> Value {
        let mut slice = self.slice(number);
        slice["endpoints"][0]["addresses"] = json!([address]);
        json!({ "endpoints": slice["endpoints"] })
    }

    fn slice(&self, number: u32) -> Value {
        let name = name(number);
        let start = slice(&format!("{name}-1"), &name).tcp("http", 8080);
        let slice = (0..self.endpoints).fold(start, |slice, endpoint| {
            let index = number * self.endpoints + endpoint;
            let ip = Ipv4Addr::from(FIRST_POD + index);
            slice.ready(&ip.to_string(), &format!("far-{}", index % 100))
        });
        slice.json().clone()
    }
}

fn name(number: u32) -> String {
    format!("svc-{number}")
}
