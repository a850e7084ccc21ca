//! What can be spoiled of chains and of elements.

use std::collections::BTreeSet;

use nfnetlink::nftables::native::{Rule, Statement, Verdict};
use viprule_dataplane::family::in_plans;
use viprule_dataplane::nftables::{Chain, Element, Key, Object};
use viprule_service::model::{Family, Service};
use viprule_testkit::semantics::Cluster;
use viprule_testkit::strategy::every_packet;
use viprule_testkit::walker::Packet;

use super::Nftables;
use crate::mutations::{self, Fixture, Known, Rules, assert_known};
use crate::world::{self, READY, ip, service, slice};

impl Rules for Nftables {
    type Rule = Rule;

    const WITHOUT_EFFECT: &'static Known = &[
        (
            "goto translated",
            "what has an endpoint is in no set of those that lead nowhere",
        ),
        (
            "translated: meta priority",
            "it turns nothing away; another test looks at priorities",
        ),
        (
            "sticky-300: jump",
            "the second draw is for changes in between",
        ),
        (
            "sticky-600: jump",
            "the second draw is for changes in between",
        ),
        ("sticky-endpoints", "what the second draw is for"),
        ("@allowed-udp", "ports here are of TCP"),
        ("@allowed-sctp", "ports here are of TCP"),
    ];
    const INTERCHANGEABLE: &'static Known = &[
        ("check-", "each is of other packets"),
        (
            "pick: jump",
            "who has affinity here has more than one endpoint",
        ),
        (
            "sticky-300: jump",
            "the second draw is for changes in between",
        ),
        (
            "sticky-600: jump",
            "the second draw is for changes in between",
        ),
        ("local: ip", "pods are not the node"),
        ("nat-postrouting: ", "both masquerade"),
        ("restricted: ", "each is of another protocol"),
        ("service: ip", "no cluster IP is external"),
        (
            "services: ip",
            "no address of a Service takes this node port",
        ),
    ];

    /// With affinity and both policies, and rows of local endpoints that have one to four slots.
    fn cluster() -> Cluster {
        let mut cluster = mutations::cluster();
        let sticky = |service: &mut Service| service.affinity_seconds = Some(300);
        let plain = |_: &mut Service| ();
        let mut add = |name, number: u8, change: &dyn Fn(&mut Service), nodes: &[&str]| {
            let mut service = service(name, number);
            service.external_policy_local = true;
            service.load_balancer_ips =
                [format!("203.0.113.{number}"), format!("fd00:203::{number}")]
                    .map(|text| ip(&text))
                    .into();
            change(&mut service);
            for pods in ["10.244.9.", "fd00:10:244::"] {
                let addresses = (1..=nodes.len()).map(|pod| format!("{pods}{number}{pod}"));
                let addresses: Vec<String> = addresses.collect();
                let endpoints = addresses.iter().zip(nodes);
                let endpoints: Vec<_> = endpoints
                    .map(|(pod, node)| (&**pod, *node, READY))
                    .collect();
                cluster.slices.push(slice(&service, &endpoints));
            }
            cluster.services.push(service);
        };
        add("near", 7, &sticky, &["node-0", "node-0", "node-1"]);
        add("wide", 8, &plain, &["node-0", "node-0", "node-0"]);
        add("two", 9, &plain, &["node-0", "node-0"]);
        // The node's own address, at which Services lead nowhere.
        for which in [4, 5] {
            let service = &mut cluster.services[which];
            let more = ["192.168.78.2", "fd00:78::2"].map(ip);
            let all = service.load_balancer_ips.iter().copied().chain(more);
            service.load_balancer_ips = all.collect();
        }
        cluster
    }

    /// Sources that others stand for are left out.
    fn packets(seen: &Cluster) -> Vec<Packet> {
        let left_out = [
            "203.0.113.200",
            "fd00:200::9",
            "10.244.0.1",
            "fd00:10:244::1",
        ]
        .map(ip);
        let mut packets = every_packet(seen);
        packets.retain(|packet| !left_out.contains(&packet.source.ip()));
        packets
    }

    fn family(key: &Key) -> Family {
        in_plans(key.family())
    }

    fn rules(object: &Object) -> &[Rule] {
        object.rules()
    }

    fn line(key: &Key, rule: &Rule) -> String {
        rule.text(key.family()).to_string()
    }

    /// Draws have tests of their own, in rows of all kinds and sizes.
    fn is_spoiled(key: &Key, rule: &Rule) -> bool {
        let Key::Chain { chain, .. } = key else {
            return true;
        };
        let to_a_row = rule.statements.iter().any(|statement| {
            matches!(statement, Statement::Verdict(Verdict::Goto(to)) if to.contains("pick-"))
        });
        match chain {
            Chain::PickSize { .. } | Chain::DrawSize { .. } | Chain::Draw(_) => false,
            Chain::Pick(_) => !to_a_row,
            _ => true,
        }
    }

    fn with_rules(object: &Object, rules: Vec<Rule>) -> Vec<Object> {
        match object {
            Object::Chain { base, .. } => vec![Object::Chain { base: *base, rules }],
            _ => rules
                .into_iter()
                .map(|rule| Object::Rule(Box::new(rule)))
                .collect(),
        }
    }
}

/// Of Services with affinity: ids lead to their endpoints.
const UNUSED: [(&str, &str); 9] = {
    const WHY: &str = "clients are remembered; only changes in between use it";
    [
        (" endpoints: 10.1.0.3:80/tcp slot", WHY),
        (" endpoints: 10.1.0.7:80/tcp slot", WHY),
        ("endpoints: 203.0.113.7:80/tcp slot", WHY),
        ("node-endpoints: 30003/tcp", WHY),
        ("node-endpoints: 30007/tcp", WHY),
        ("node-local-endpoints: 30007/tcp", WHY),
        (" endpoints: [fd00:1::3]:80/tcp slot", WHY),
        (" endpoints: [fd00:1::7]:80/tcp slot", WHY),
        ("endpoints: [fd00:203::7]:80/tcp slot", WHY),
    ]
};

#[test]
fn every_element_left_out_is_noticed() {
    let (cluster, settings) = (Nftables::cluster(), world::settings());
    let fixture = Fixture::<Nftables>::new(&cluster, &settings);
    let unnoticed = fixture.unnoticed(|key, _| match key {
        Key::Element(_) => Some(Vec::new()),
        _ => None,
    });
    let texts: BTreeSet<String> = unnoticed.iter().map(|(key, _)| key.to_string()).collect();
    let others = [
        ("size-1: ", "what has no size leads to slot 0"),
        (
            "rejected-frontends: 10.1.0.6:",
            "any other port of a cluster IP is refused",
        ),
        (
            "rejected-frontends: [fd00:1::6]:",
            "any other port of a cluster IP is refused",
        ),
    ];
    let known: Vec<_> = UNUSED.into_iter().chain(others).collect();
    assert_known(&texts, &known);
}

/// Rows that lead elsewhere, and ids that are each other's.
#[test]
fn every_changed_element_is_noticed() {
    use viprule_dataplane::nftables::ElementContent;
    let (cluster, settings) = (Nftables::cluster(), world::settings());
    let fixture = Fixture::<Nftables>::new(&cluster, &settings);
    let unnoticed = fixture.unnoticed(|key, object| match (key, object) {
        (
            Key::Element(Element::Endpoint { .. } | Element::StickyEndpoint { .. }),
            Object::Element(ElementContent::Endpoint(to)),
        ) => {
            let mut other = *to;
            other.set_port(to.port() + 1);
            Some(vec![Object::Element(ElementContent::Endpoint(other))])
        }
        (Key::Element(Element::StickySlot { .. }), Object::Element(ElementContent::Id(id))) => {
            Some(vec![Object::Element(ElementContent::Id(id ^ 1))])
        }
        _ => None,
    });
    let texts: BTreeSet<String> = unnoticed.iter().map(|(key, _)| key.to_string()).collect();
    assert_known(&texts, &UNUSED);
}
