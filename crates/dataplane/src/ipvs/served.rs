//! Which Services the virtual servers in the kernel serve.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipvs_netlink::ServerId;
use nfnetlink::ipset::Entry;

use super::{Key, Object, Piece};
use crate::State;
use crate::ownership::{Set, SetName};

/// The pieces that show which virtual servers are cluster IPs, and what they lead to.
pub(super) fn frontends() -> BTreeSet<Piece> {
    [Piece::Sets, Piece::Servers].into()
}

/// How many Services have destinations. A Service of both families counts once.
pub(super) fn served(frontends: &State<Key, Object>) -> usize {
    let (mut cluster_ips, mut leading) = (BTreeSet::new(), BTreeSet::new());
    for (key, _) in frontends {
        match key {
            Key::Entry {
                set:
                    Set {
                        name: SetName::ClusterIp,
                        ..
                    },
                entry: Entry::IpPort(frontend),
            } => {
                cluster_ips.insert(frontend.address);
            }
            Key::Destination {
                server: ServerId::Address { address, .. },
                ..
            } => {
                leading.insert(*address);
            }
            _ => {}
        }
    }
    let both: Vec<&IpAddr> = cluster_ips.intersection(&leading).collect();
    let ipv4 = both.iter().filter(|address| address.is_ipv4()).count();
    ipv4.max(both.len() - ipv4)
}
