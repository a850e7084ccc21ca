//! Which Services the rules in the kernel serve.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nfnetlink::Family;
use nfnetlink::xtables::{Rule, Target};

use crate::State;
use crate::netfilter::{Key, Kind, Object, Piece, Table};
use crate::ownership::Chain;

/// The chains that lead from cluster IPs to Services with endpoints (contract 2.5).
pub(super) fn frontends() -> BTreeSet<Piece> {
    let table = |family| Table {
        family,
        kind: Kind::Nat,
    };
    let families = [Family::Ipv4, Family::Ipv6];
    families
        .map(|family| Piece::Owned(table(family), Chain::Services))
        .into()
}

/// How many Services they lead to. A Service of both families counts once.
pub(super) fn served(frontends: &State<Key, Object>) -> usize {
    let rules = frontends.iter().flat_map(|(_, object)| object.rules());
    let addresses: BTreeSet<IpAddr> = rules.filter_map(cluster_ip).collect();
    let ipv4 = addresses.iter().filter(|address| address.is_ipv4()).count();
    ipv4.max(addresses.len() - ipv4)
}

/// The cluster IP of a rule that leads from there to endpoints.
fn cluster_ip(rule: &Rule) -> Option<IpAddr> {
    let Target::Jump(chain) = &rule.target else {
        return None;
    };
    if !matches!(
        Chain::parse(chain)?,
        Chain::Service(_) | Chain::ServiceLocal(_)
    ) {
        return None;
    }
    rule.dst.map(|to| to.value.addr())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netfilter::parse_save;
    use crate::ownership::Layout;

    #[test]
    fn services_with_endpoints_are_counted_once() {
        let ipv4 = include_str!("../../../../tests/golden/cluster/iptables-save.txt");
        let ipv6 = include_str!("../../../../tests/golden/cluster/ip6tables-save.txt");
        let of = |family, text| {
            let state = parse_save(Layout::Iptables, family, text).unwrap();
            served(&state.filter(|key| frontends().contains(&crate::ObjectKey::piece(key))))
        };
        let count = |text: &str, start: &str| {
            let rules = text.lines().filter(|line| {
                line.starts_with(start)
                    && (line.contains("-j KUBE-SVC") || line.contains("-j KUBE-SVL"))
            });
            let addresses: BTreeSet<_> = rules.map(|line| line.split(' ').nth(3)).collect();
            addresses.len()
        };
        let expected = count(ipv4, "-A KUBE-SERVICES -d ");
        assert!(expected > 3, "{expected}");
        assert_eq!(of(Family::Ipv4, ipv4), expected);
        assert_eq!(of(Family::Ipv6, ipv6), count(ipv6, "-A KUBE-SERVICES -d "));
    }
}
