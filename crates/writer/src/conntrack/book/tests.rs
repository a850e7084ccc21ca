use nfnetlink::Family::Ipv4;
use nfnetlink::conntrack::{Tuple, protocol, status};

use super::*;

const VIP: &str = "10.1.0.20:53";
const NODE: &str = "192.0.2.10";

fn id(name: &str) -> ServiceId {
    ServiceId::new("ns", name).unwrap()
}

fn vip() -> UdpDestination {
    UdpDestination::Virtual(VIP.parse().unwrap())
}

const NODE_PORT: UdpDestination = UdpDestination::NodePort {
    family: Family::Ipv4,
    port: 30_053,
};

fn frontend(destination: UdpDestination, serving: bool, endpoints: &[&str]) -> UdpFrontend {
    let endpoints = endpoints.iter().map(|text| text.parse().unwrap()).collect();
    UdpFrontend {
        destination,
        flows: UdpFlows { serving, endpoints },
    }
}

/// A flow to `destination` that leads to `endpoint`, translated if that is another place.
fn flow(destination: &str, endpoint: &str) -> Flow {
    let tuple = |source: &str, destination: &str| Tuple {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        zone: None,
    };
    Flow {
        family: Ipv4,
        protocol: protocol::UDP,
        original: tuple("10.9.9.9:40000", destination),
        reply: tuple(endpoint, "10.9.9.9:40000"),
        status: if destination == endpoint {
            0
        } else {
            status::DST_NAT
        },
        zone: None,
        id: 1,
    }
}

/// A book that has settled on these.
fn settled(frontends: Vec<UdpFrontend>) -> Book {
    let mut book = Book::default();
    book.set_node_addresses([NODE.parse().unwrap()]);
    book.update(&id("a"), frontends);
    book.take_pending();
    book
}

fn stale(book: &Book, flow: &Flow) -> bool {
    book.is_stale(flow, &[vip(), NODE_PORT].into())
}

#[test]
fn only_changes_that_leave_flows_behind_are_work() {
    let (a, b) = ("10.244.0.1:53", "10.244.0.2:53");
    let mut book = Book::default();
    book.update(&id("a"), vec![frontend(vip(), true, &[a])]);
    assert_eq!(book.take_pending(), [vip()].into(), "unknown before");
    book.update(&id("a"), vec![frontend(vip(), true, &[a])]);
    assert!(!book.has_work(), "the same");
    book.update(&id("a"), vec![frontend(vip(), true, &[a, b])]);
    assert!(!book.has_work(), "one more");
    book.update(&id("a"), vec![frontend(vip(), true, &[b])]);
    assert_eq!(book.take_pending(), [vip()].into(), "one less");
    book.update(&id("a"), vec![frontend(vip(), false, &[b])]);
    assert!(!book.has_work(), "still there, though it doesn't serve");
    book.update(&id("a"), vec![frontend(vip(), true, &[b])]);
    assert_eq!(book.take_pending(), [vip()].into(), "serves again");
    book.update(&id("a"), vec![]);
    assert_eq!(book.take_pending(), [vip()].into(), "Service deleted");
    book.update(&id("a"), vec![]);
    assert!(!book.has_work());
    assert!(book.current.services.is_empty() && book.current.owners.is_empty());
}

#[test]
fn flows_to_other_endpoints_are_stale_and_so_are_those_to_none() {
    let book = settled(vec![frontend(vip(), true, &["10.244.0.1:53"])]);
    assert!(!stale(&book, &flow(VIP, "10.244.0.1:53")));
    assert!(stale(&book, &flow(VIP, "10.244.0.1:54")));
    assert!(stale(&book, &flow(VIP, "10.244.0.2:53")));
    assert!(stale(&book, &flow(VIP, VIP)));
    assert!(!stale(&book, &flow("10.1.0.20:54", "10.244.0.2:53")));
    assert!(!stale(&book, &flow("10.1.0.21:53", "10.244.0.2:53")));
}

#[test]
fn without_a_serving_endpoint_only_flows_to_endpoints_that_are_gone_are_stale() {
    let book = settled(vec![frontend(vip(), false, &["10.244.0.1:53"])]);
    assert!(!stale(&book, &flow(VIP, "10.244.0.1:53")));
    assert!(stale(&book, &flow(VIP, "10.244.0.2:53")));
    assert!(!stale(&book, &flow(VIP, VIP)), "would find nothing better");
}

#[test]
fn flows_of_a_deleted_service_are_stale_where_they_are_translated() {
    let mut book = settled(vec![frontend(vip(), true, &["10.244.0.1:53"])]);
    book.update(&id("a"), vec![]);
    assert!(stale(&book, &flow(VIP, "10.244.0.1:53")));
    assert!(!stale(&book, &flow(VIP, VIP)));
}

#[test]
fn node_ports_count_on_the_nodes_own_addresses_only() {
    let book = settled(vec![frontend(NODE_PORT, true, &["10.244.0.1:53"])]);
    assert!(stale(&book, &flow("192.0.2.10:30053", "10.244.0.2:53")));
    assert!(!stale(&book, &flow("192.0.2.10:30053", "10.244.0.1:53")));
    assert!(!stale(&book, &flow("192.0.2.10:30054", "10.244.0.2:53")));
    assert!(!stale(
        &book,
        &flow("198.51.100.7:30053", "198.51.100.7:30053")
    ));
    assert!(!stale(&book, &flow("198.51.100.7:30053", "10.244.0.2:53")));
}

#[test]
fn a_node_port_is_looked_at_again_on_a_new_address() {
    let mut book = settled(vec![frontend(NODE_PORT, true, &["10.244.0.1:53"])]);
    book.set_node_addresses([NODE.parse().unwrap()]);
    assert!(!book.has_work());
    book.set_node_addresses(["fd00::1".parse().unwrap(), NODE.parse().unwrap()]);
    assert!(!book.has_work(), "another family");
    book.set_node_addresses(["192.0.2.11".parse().unwrap()]);
    assert_eq!(book.take_pending(), [NODE_PORT].into());
}

#[test]
fn a_virtual_ip_on_the_node_is_not_the_node_ports() {
    let shared = UdpDestination::Virtual("192.0.2.10:30053".parse().unwrap());
    let book = settled(vec![
        frontend(shared, true, &["10.244.0.9:53"]),
        frontend(NODE_PORT, true, &["10.244.0.1:53"]),
    ]);
    assert!(!stale(&book, &flow("192.0.2.10:30053", "10.244.0.9:53")));
}

#[test]
fn services_that_share_an_address_keep_each_others_flows() {
    let mut book = settled(vec![frontend(vip(), true, &["10.244.0.1:53"])]);
    book.update(&id("b"), vec![frontend(vip(), true, &["10.244.0.2:53"])]);
    assert!(!book.has_work(), "more endpoints than before");
    assert!(!stale(&book, &flow(VIP, "10.244.0.1:53")));
    assert!(!stale(&book, &flow(VIP, "10.244.0.2:53")));
    book.update(&id("a"), vec![]);
    assert_eq!(book.take_pending(), [vip()].into());
    assert!(stale(&book, &flow(VIP, "10.244.0.1:53")));
    assert!(!stale(&book, &flow(VIP, "10.244.0.2:53")));
}

#[test]
fn announced_endpoints_keep_their_flows_until_the_update() {
    let (old, new) = ("10.244.0.1:53", "10.244.0.2:53");
    let mut book = settled(vec![frontend(vip(), true, &[old])]);
    book.announce(&id("a"), vec![frontend(vip(), true, &[new])]);
    assert!(!book.has_work());
    assert!(!stale(&book, &flow(VIP, old)) && !stale(&book, &flow(VIP, new)));
    book.update(&id("a"), vec![frontend(vip(), true, &[new])]);
    assert!(book.has_work());
    assert!(stale(&book, &flow(VIP, old)) && !stale(&book, &flow(VIP, new)));
    book.announce(&id("a"), vec![frontend(vip(), true, &[old])]);
    book.update(&id("a"), vec![frontend(vip(), true, &[new])]);
    assert!(stale(&book, &flow(VIP, old)), "it was not written");
}

#[test]
fn what_was_announced_in_vain_is_looked_at_again() {
    let (old, new) = ("10.244.0.1:53", "10.244.0.2:53");
    let current = || vec![frontend(vip(), true, &[old])];
    for withdrawn in [true, false] {
        let mut book = settled(current());
        book.announce(&id("a"), vec![frontend(vip(), true, &[new])]);
        assert!(!stale(&book, &flow(VIP, new)));
        if withdrawn {
            book.withdraw(&id("a"));
        } else {
            book.update(&id("a"), current());
        }
        assert!(stale(&book, &flow(VIP, new)) && !stale(&book, &flow(VIP, old)));
        assert_eq!(book.take_pending(), [vip()].into(), "it was spared");
    }
    let mut book = settled(current());
    book.announce(&id("a"), current());
    book.withdraw(&id("a"));
    book.withdraw(&id("b"));
    assert!(!book.has_work(), "nothing was spared");
    assert!(book.announced.services.is_empty() && book.announced.owners.is_empty());
}

#[test]
fn removed_frontends_without_a_service_are_looked_at() {
    let mut book = Book::default();
    book.removed([vip()]);
    assert_eq!(book.take_pending(), [vip()].into());
    assert!(stale(&book, &flow(VIP, "10.244.0.1:53")));
    assert!(!stale(&book, &flow(VIP, VIP)));
}

#[test]
fn untranslated_flows_in_zones_are_left_alone() {
    let book = settled(vec![frontend(vip(), true, &["10.244.0.1:53"])]);
    let zoned = |endpoint| Flow {
        zone: Some(5),
        ..flow(VIP, endpoint)
    };
    assert!(!stale(&book, &zoned(VIP)));
    assert!(stale(&book, &zoned("10.244.0.2:53")));
}
