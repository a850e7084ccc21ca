//! Where node ports answer (contract 2.5, 2.11, 10).

use std::net::IpAddr;

use ipnet::IpNet;
use viprule_service::model::Family;

use super::cluster::Cluster;
use super::settings::{NodePorts, Settings};

/// `nodePortAddresses` for one family; empty where it doesn't restrict that family.
pub(super) fn networks(settings: &Settings, cluster: &Cluster, family: Family) -> Vec<IpNet> {
    let configured: Vec<IpNet> = match &settings.node_port_addresses {
        NodePorts::Unset => Vec::new(),
        NodePorts::Networks(networks) => networks.clone(),
        NodePorts::Primary => Family::ALL
            .iter()
            .map(|family| cluster.node_ip(settings, *family))
            .filter(|ip| !ip.is_loopback())
            .map(IpNet::from)
            .collect(),
    };
    let mine: Vec<IpNet> = configured
        .into_iter()
        .filter(|net| Family::of(&net.addr()) == family)
        .collect();
    if mine.iter().any(|net| net.prefix_len() == 0) {
        Vec::new()
    } else {
        mine
    }
}

/// True where node ports answer on IPv4 loopback addresses.
pub(super) fn on_localhost(settings: &Settings, cluster: &Cluster) -> bool {
    let networks = networks(settings, cluster, Family::Ipv4);
    let first_of_localnet = IpAddr::from([127, 0, 0, 0]);
    let allowed = networks.is_empty()
        || networks
            .iter()
            .any(|net| net.network().is_loopback() || net.contains(&first_of_localnet));
    settings.localhost_node_ports && allowed
}

/// True where node ports answer on this address, which is one of the host's.
pub(super) fn answer_on(settings: &Settings, cluster: &Cluster, address: IpAddr) -> bool {
    let family = Family::of(&address);
    if address.is_loopback() && (family == Family::Ipv6 || !on_localhost(settings, cluster)) {
        return false;
    }
    let networks = networks(settings, cluster, family);
    if networks.is_empty() {
        return true;
    }
    // Only addresses that are on an interface, so of 127.0.0.0/8 usually just one.
    cluster.local_addresses.contains(&address) && networks.iter().any(|net| net.contains(&address))
}
