//! The way to the API server, before anything else is known.
//!
//! An address on the link is the node's with all of its ports. Where it is the API server's, and
//! another proxy put it there or it has become the API server's since, nobody can tell this node
//! that it is to go.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use ipvs_netlink::Protocol;
use netlink_batch::Batch;
use netlink_batch::message::flags;
use nfnetlink::Family;
use nfnetlink::ipset::{self, Entry, IpPort};
use viprule_dataplane::ownership::{Set, SetName};

use super::sets;
use super::{dummy, pipeline};
use crate::link::address;
use crate::{WriteError, socket};

/// Takes the API server's addresses from IPVS mode's link in the network namespace of the calling
/// thread, whatever mode serves, and returns them. Cluster IPs stay: packets to them get to the API
/// server by way of their virtual servers.
///
/// What is at the other ports of such an address ends with it.
pub fn clear_way(api_server: &[SocketAddr]) -> Result<Vec<IpAddr>, WriteError> {
    let mut socket = dummy::open()?;
    let Some((link, bound)) = dummy::read(&mut socket)? else {
        return Ok(Vec::new());
    };
    let mut freed = BTreeSet::new();
    for at in api_server.iter().filter(|at| bound.contains(&at.ip())) {
        freed.insert(at.ip());
    }
    if freed.is_empty() {
        return Ok(Vec::new());
    }
    for at in cluster_ips(api_server)? {
        freed.remove(&at.ip());
    }
    let mut batch = Batch::<()>::new();
    for address in &freed {
        address::delete(&mut batch, link, address, flags::ACK);
    }
    let sent = socket.send(&batch, |_, _| {});
    let answers = sent.map_err(|error| WriteError::of("removing addresses", error, "rtnetlink"))?;
    let mut refusals = answers.refusals.iter();
    match refusals.find(|it| !address::is_gone(it.errno)) {
        None => Ok(freed.into_iter().collect()),
        Some(refusal) => Err(WriteError::failed(
            "removing the API server's addresses",
            pipeline::reason(refusal),
        )),
    }
}

/// Which of these are ports of cluster IPs, by the kernel's sets.
fn cluster_ips(api_server: &[SocketAddr]) -> Result<Vec<SocketAddr>, WriteError> {
    let mut socket = socket::netfilter()?;
    let mut found = Vec::new();
    for family in Family::ALL {
        let name = SetName::ClusterIp;
        let set = Set { name, family }.to_string();
        let listing = ipset::list(&mut socket, &set)
            .map_err(|error| sets::failed(&format!("reading IP set {set}"), error))?;
        let entries = listing.map(|it| it.entries).unwrap_or_default();
        let is_in = |at: &SocketAddr| {
            entries.contains(&Entry::IpPort(IpPort {
                address: at.ip(),
                protocol: Protocol::Tcp.number(),
                port: at.port(),
            }))
        };
        found.extend(api_server.iter().copied().filter(is_in));
    }
    Ok(found)
}
