//! Which Services the elements in the kernel serve.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nfnetlink::Family;
use viprule_service::plan::Frontend;

use super::element::Element;
use super::key::{Key, Object, Piece};
use super::set::{FrontendSet, Lookup, Set, SetName};
use crate::State;

/// The sets of frontends with endpoints and of cluster IPs.
pub(super) fn frontends() -> BTreeSet<Piece> {
    let services = SetName::Frontends {
        lookup: Lookup::Address,
        of: FrontendSet::Services,
    };
    let of_family =
        |family| [services, SetName::ClusterIps].map(|name| Piece::Set(Set { family, name }));
    Family::ALL.into_iter().flat_map(of_family).collect()
}

/// How many cluster IPs have endpoints. A Service of both families counts once.
pub(super) fn served(frontends: &State<Key, Object>) -> usize {
    let (mut cluster_ips, mut leading) = (BTreeSet::new(), BTreeSet::new());
    for (key, _) in frontends {
        match key {
            Key::Element(Element::ClusterIp(address)) => {
                cluster_ips.insert(*address);
            }
            Key::Element(Element::Frontend {
                set: FrontendSet::Services,
                frontend: Frontend::Address { address, .. },
            }) => {
                leading.insert(*address);
            }
            _ => {}
        }
    }
    let both: Vec<&IpAddr> = cluster_ips.intersection(&leading).collect();
    let ipv4 = both.iter().filter(|address| address.is_ipv4()).count();
    ipv4.max(both.len() - ipv4)
}
