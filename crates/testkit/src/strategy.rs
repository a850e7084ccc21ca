//! Strategies for clusters, settings and packets that have something to do with each other.
//!
//! What is undefined is not generated: no two Services ask for the same address, port and
//! protocol, and of two endpoints with one address at most one isn't terminating (contract 1.6).
//! What is generated but means nothing to a Service (other ports, other protocols, addresses
//! nobody has) is there to be left alone.

mod addresses;
mod endpoints;
mod modes;
pub mod objects;
mod paths;
mod probes;
mod services;
mod settings;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};

pub use modes::{iptables_settings, ipvs_settings, source_ports};
pub use paths::{Path, events, path};
pub use probes::{Probe, every_packet, probe};
pub use settings::{node, settings};

use crate::semantics::{Cluster, Settings};

/// The name of the node that everything is planned for.
pub const NODE: &str = "node-0";
/// The zone that most nodes and many hints are of.
pub const ZONE: &str = "zone-a";

/// A cluster of one to four Services, as one node sees it.
pub fn cluster() -> impl Strategy<Value = Cluster> {
    let api_server = vec(any::<Index>(), 0..=3);
    let service_cidrs = subsequence(addresses::service_cidrs(), 0..=2);
    let parts = (
        vec(services::service(), 1..=4),
        node(),
        api_server,
        service_cidrs,
    );
    parts.prop_map(|(seeds, node, api_server, service_cidrs)| {
        let mut cluster = Cluster {
            service_cidrs,
            node,
            local_addresses: addresses::local_addresses(),
            ..Cluster::default()
        };
        for (number, seed) in seeds.iter().enumerate() {
            let service = seed.service(number);
            cluster.slices.extend(seed.slices(&service));
            cluster.services.push(service);
        }
        let candidates = addresses::api_servers(&cluster.services);
        let chosen = api_server.iter().map(|index| *index.get(&candidates));
        cluster.api_server = chosen.collect();
        cluster
    })
}

/// A cluster, a node's settings, and packets to try with both.
pub fn scenario(packets: usize) -> impl Strategy<Value = (Cluster, Settings, Vec<Probe>)> {
    (cluster(), settings(), vec(probe(), packets))
}
