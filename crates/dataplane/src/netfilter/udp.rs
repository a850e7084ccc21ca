//! What a rule in the kernel tells about a UDP frontend.

use std::net::SocketAddr;

use nfnetlink::xtables::{Match, NotOr, Rule, Target, protocol};
use viprule_service::model::Protocol;
use viprule_service::plan::{FlowDestination, FlowPlace};

use crate::family::in_plans;
use crate::ownership::Chain;

/// The UDP frontend that an observed rule serves: exact evidence that tracked flows to it are ours,
/// also where its Service went while nobody watched (contract 2.5). `None` for rules of other
/// kinds.
pub(super) fn udp_destination(rule: &Rule) -> Option<FlowDestination> {
    let Target::Jump(chain) = &rule.target else {
        return None;
    };
    let leads_to_service = matches!(
        Chain::parse(chain)?,
        Chain::Service(_) | Chain::ServiceLocal(_) | Chain::External(_) | Chain::FirewallOf(_)
    );
    if !leads_to_service || rule.protocol != Some(NotOr::is(protocol::UDP)) {
        return None;
    }
    let port = rule.matches.iter().find_map(|one| match one {
        Match::Ports {
            dst: Some(NotOr { not: false, value }),
            ..
        } if value.first == value.last => Some(value.first),
        _ => None,
    })?;
    let place = match rule.dst {
        None => FlowPlace::NodePort {
            family: in_plans(rule.family),
            port,
        },
        Some(to) if !to.not && to.value.prefix_len() == to.value.max_prefix_len() => {
            FlowPlace::at(SocketAddr::new(to.value.addr(), port))
        }
        Some(_) => return None,
    };
    Some(place.over(Protocol::Udp))
}

#[cfg(test)]
mod tests {
    use nfnetlink::Family;
    use viprule_service::model;

    use super::*;
    use crate::netfilter::{Object, parse_save};
    use crate::ownership::Layout;

    const GOLDEN: [(Family, &str); 2] = [
        (
            Family::Ipv4,
            include_str!("../../../../tests/golden/cluster/iptables-save.txt"),
        ),
        (
            Family::Ipv6,
            include_str!("../../../../tests/golden/cluster/ip6tables-save.txt"),
        ),
    ];

    fn vip(text: &str) -> FlowDestination {
        FlowPlace::at(text.parse().unwrap()).over(Protocol::Udp)
    }

    fn of(family: Family, text: &str) -> Option<FlowDestination> {
        udp_destination(&Rule::parse(family, text).unwrap())
    }

    #[test]
    fn kube_proxys_rules_tell_its_one_udp_frontend() {
        let mut found = Vec::new();
        for (family, text) in GOLDEN {
            let state = parse_save(Layout::Iptables, family, text).unwrap();
            for (_, object) in &state {
                if let Object::Rule(rule) = object {
                    found.extend(udp_destination(rule));
                }
            }
        }
        let dns = vip("10.1.0.20:53");
        assert_eq!(found, [dns]);
    }

    #[test]
    fn node_ports_and_ipv6_are_read_and_other_rules_are_not() {
        let port = |family: model::Family| {
            let port = 30_053;
            FlowPlace::NodePort { family, port }.over(Protocol::Udp)
        };
        let jump = "-j KUBE-EXT-XPGD46QRK7WJZT7O";
        let node_port = format!("-p udp -m udp --dport 30053 {jump}");
        let six = format!("-d fd00::1/128 -p udp -m udp --dport 53 {jump}");
        let tcp = format!("-d 10.1.0.1/32 -p tcp -m tcp --dport 53 {jump}");
        let net = format!("-d 10.1.0.0/24 -p udp -m udp --dport 53 {jump}");
        let range = format!("-d 10.1.0.1/32 -p udp -m udp --dport 53:54 {jump}");
        let (v4, v6) = (Family::Ipv4, Family::Ipv6);
        assert_eq!(of(v4, &node_port), Some(port(model::Family::Ipv4)));
        assert_eq!(of(v6, &six), Some(vip("[fd00::1]:53")));
        let mark = "-d 10.1.0.1/32 -p udp -m udp --dport 53 -j KUBE-MARK-MASQ".to_owned();
        let foreign = "-d 10.1.0.1/32 -p udp -m udp --dport 53 -j SOMEBODYS".to_owned();
        for text in [tcp, net, range, mark, foreign] {
            assert_eq!(of(v4, &text), None, "{text}");
        }
    }
}
