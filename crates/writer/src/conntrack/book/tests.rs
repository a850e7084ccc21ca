use nfnetlink::Family::Ipv4;
use nfnetlink::conntrack::{Tuple, protocol, status, tcp_state};

use super::*;

const VIP: &str = "10.1.0.20:53";
const NODE: &str = "192.0.2.10";

fn id(name: &str) -> ServiceId {
    ServiceId::new("ns", name).unwrap()
}

fn vip() -> FlowDestination {
    FlowPlace::at(VIP.parse().unwrap()).over(Protocol::Udp)
}

const NODE_PORT: FlowDestination = FlowPlace::NodePort {
    family: Family::Ipv4,
    port: 30_053,
}
.over(Protocol::Udp);

fn frontend(destination: FlowDestination, serving: bool, endpoints: &[&str]) -> FlowFrontend {
    let endpoints = endpoints.iter().map(|text| text.parse().unwrap()).collect();
    FlowFrontend {
        destination,
        flows: AllowedFlows { serving, endpoints },
    }
}

/// A flow to `destination` that leads to `endpoint`, translated if that is another place.
fn flow(destination: &str, endpoint: &str) -> Flow {
    let tuple = |source: &str, destination: &str| {
        Tuple::new(source.parse().unwrap(), destination.parse().unwrap())
    };
    let (original, reply) = (
        tuple("10.9.9.9:40000", destination),
        tuple(endpoint, "10.9.9.9:40000"),
    );
    let mut flow = Flow::new(Ipv4, protocol::UDP, original, reply);
    if destination != endpoint {
        flow.status = status::DST_NAT;
    }
    flow.id = 1;
    flow
}

/// The flow with something else about it.
fn with(mut flow: Flow, change: impl FnOnce(&mut Flow)) -> Flow {
    change(&mut flow);
    flow
}

/// A book that has settled on these.
fn settled(frontends: impl Into<Box<[FlowFrontend]>>) -> Book {
    let mut book = Book::default();
    book.set_node_addresses([NODE.parse().unwrap()]);
    book.update(&id("a"), frontends.into());
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
    book.update(&id("a"), Box::new([frontend(vip(), true, &[a])]));
    assert_eq!(book.take_pending(), [vip()].into(), "unknown before");
    book.update(&id("a"), Box::new([frontend(vip(), true, &[a])]));
    assert!(!book.has_work(), "the same");
    book.update(&id("a"), Box::new([frontend(vip(), true, &[a, b])]));
    assert!(!book.has_work(), "one more");
    book.update(&id("a"), Box::new([frontend(vip(), true, &[b])]));
    assert_eq!(book.take_pending(), [vip()].into(), "one less");
    book.update(&id("a"), Box::new([frontend(vip(), false, &[b])]));
    assert!(!book.has_work(), "still there, though it doesn't serve");
    book.update(&id("a"), Box::new([frontend(vip(), true, &[b])]));
    assert_eq!(book.take_pending(), [vip()].into(), "serves again");
    book.update(&id("a"), Box::new([]));
    assert_eq!(book.take_pending(), [vip()].into(), "Service deleted");
    book.update(&id("a"), Box::new([]));
    assert!(!book.has_work());
    assert!(book.current.services.is_empty() && book.current.owners.is_empty());
}

#[test]
fn flows_to_other_endpoints_are_stale_and_so_are_those_to_none() {
    let book = settled([frontend(vip(), true, &["10.244.0.1:53"])]);
    assert!(!stale(&book, &flow(VIP, "10.244.0.1:53")));
    assert!(stale(&book, &flow(VIP, "10.244.0.1:54")));
    assert!(stale(&book, &flow(VIP, "10.244.0.2:53")));
    assert!(stale(&book, &flow(VIP, VIP)));
    assert!(!stale(&book, &flow("10.1.0.20:54", "10.244.0.2:53")));
    assert!(!stale(&book, &flow("10.1.0.21:53", "10.244.0.2:53")));
}

#[test]
fn without_a_serving_endpoint_only_flows_to_endpoints_that_are_gone_are_stale() {
    let book = settled([frontend(vip(), false, &["10.244.0.1:53"])]);
    assert!(!stale(&book, &flow(VIP, "10.244.0.1:53")));
    assert!(stale(&book, &flow(VIP, "10.244.0.2:53")));
    assert!(!stale(&book, &flow(VIP, VIP)), "would find nothing better");
}

#[test]
fn flows_of_a_deleted_service_are_stale_where_they_are_translated() {
    let mut book = settled([frontend(vip(), true, &["10.244.0.1:53"])]);
    book.update(&id("a"), Box::new([]));
    assert!(stale(&book, &flow(VIP, "10.244.0.1:53")));
    assert!(!stale(&book, &flow(VIP, VIP)));
}

#[test]
fn node_ports_count_on_the_nodes_own_addresses_only() {
    let book = settled([frontend(NODE_PORT, true, &["10.244.0.1:53"])]);
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
    let mut book = settled([frontend(NODE_PORT, true, &["10.244.0.1:53"])]);
    book.set_node_addresses([NODE.parse().unwrap()]);
    assert!(!book.has_work());
    book.set_node_addresses(["fd00::1".parse().unwrap(), NODE.parse().unwrap()]);
    assert!(!book.has_work(), "another family");
    book.set_node_addresses(["192.0.2.11".parse().unwrap()]);
    assert_eq!(book.take_pending(), [NODE_PORT].into());
}

#[test]
fn a_virtual_ip_on_the_node_is_not_the_node_ports() {
    let shared = FlowPlace::at("192.0.2.10:30053".parse().unwrap()).over(Protocol::Udp);
    let book = settled([
        frontend(shared, true, &["10.244.0.9:53"]),
        frontend(NODE_PORT, true, &["10.244.0.1:53"]),
    ]);
    assert!(!stale(&book, &flow("192.0.2.10:30053", "10.244.0.9:53")));
}

#[test]
fn services_that_share_an_address_keep_each_others_flows() {
    let mut book = settled([frontend(vip(), true, &["10.244.0.1:53"])]);
    book.update(
        &id("b"),
        Box::new([frontend(vip(), true, &["10.244.0.2:53"])]),
    );
    assert!(!book.has_work(), "more endpoints than before");
    assert!(!stale(&book, &flow(VIP, "10.244.0.1:53")));
    assert!(!stale(&book, &flow(VIP, "10.244.0.2:53")));
    book.update(&id("a"), Box::new([]));
    assert_eq!(book.take_pending(), [vip()].into());
    assert!(stale(&book, &flow(VIP, "10.244.0.1:53")));
    assert!(!stale(&book, &flow(VIP, "10.244.0.2:53")));
}

#[test]
fn announced_endpoints_keep_their_flows_until_the_update() {
    let (old, new) = ("10.244.0.1:53", "10.244.0.2:53");
    let mut book = settled([frontend(vip(), true, &[old])]);
    book.announce(&id("a"), &[frontend(vip(), true, &[new])]);
    assert!(!book.has_work());
    assert!(!stale(&book, &flow(VIP, old)) && !stale(&book, &flow(VIP, new)));
    book.update(&id("a"), Box::new([frontend(vip(), true, &[new])]));
    assert!(book.has_work());
    assert!(stale(&book, &flow(VIP, old)) && !stale(&book, &flow(VIP, new)));
    book.announce(&id("a"), &[frontend(vip(), true, &[old])]);
    book.update(&id("a"), Box::new([frontend(vip(), true, &[new])]));
    assert!(stale(&book, &flow(VIP, old)), "it was not written");
}

#[test]
fn what_was_announced_in_vain_is_looked_at_again() {
    let (old, new) = ("10.244.0.1:53", "10.244.0.2:53");
    let current = || -> Box<[_]> { [frontend(vip(), true, &[old])].into() };
    for withdrawn in [true, false] {
        let mut book = settled(current());
        book.announce(&id("a"), &[frontend(vip(), true, &[new])]);
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
    book.announce(&id("a"), &current());
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
    let book = settled([frontend(vip(), true, &["10.244.0.1:53"])]);
    let zoned = |endpoint| with(flow(VIP, endpoint), |flow| flow.zone = Some(5));
    assert!(!stale(&book, &zoned(VIP)));
    assert!(stale(&book, &zoned("10.244.0.2:53")));
}

/// The same frontends over TCP, and what leads there.
mod tcp {
    use super::*;

    fn tcp(destination: FlowDestination) -> FlowDestination {
        destination.place.over(Protocol::Tcp)
    }

    fn syn(destination: &str, endpoint: &str) -> Flow {
        with(flow(destination, endpoint), |flow| {
            flow.protocol = protocol::TCP;
            flow.tcp_state = Some(tcp_state::SYN_SENT);
        })
    }

    fn stale(book: &Book, flow: &Flow) -> bool {
        book.is_stale(flow, &[tcp(vip()), tcp(NODE_PORT)].into())
    }

    #[test]
    fn first_endpoints_and_endpoints_that_leave_are_work() {
        let (a, b) = ("10.244.0.1:53", "10.244.0.2:53");
        let mut book = Book::default();
        let mut change = |serving, endpoints: &[&str]| {
            book.update(
                &id("a"),
                Box::new([frontend(tcp(vip()), serving, endpoints)]),
            );
            assert!(!book.has_work(), "not at once");
            book.take_changed().into_values().collect::<Vec<_>>()
        };
        assert_eq!(change(false, &[]), [], "new clients are refused");
        assert_eq!(change(true, &[a]), [Change::Served]);
        assert_eq!(change(true, &[a, b]), []);
        assert_eq!(change(true, &[b]), [Change::Left]);
        assert_eq!(change(false, &[b]), [], "still there");
        assert_eq!(change(true, &[a]), [Change::Served], "serves again");
        assert_eq!(change(false, &[]), [Change::Left]);
        book.update(&id("a"), Box::new([]));
        assert_eq!(book.take_changed(), [].into(), "nothing better to be found");
        book.update(&id("a"), Box::new([frontend(tcp(vip()), true, &[a])]));
        let expected = [(tcp(vip()), Change::Served)].into();
        assert_eq!(book.take_changed(), expected);
    }

    #[test]
    fn clients_that_wait_count_more_than_an_endpoint_that_leaves() {
        let mut book = Book::default();
        for (serving, endpoints) in [(true, "10.244.0.1:53"), (true, "10.244.0.2:53")] {
            book.update(
                &id("a"),
                Box::new([frontend(tcp(vip()), serving, &[endpoints])]),
            );
        }
        let changed = book.take_changed();
        assert_eq!(changed, [(tcp(vip()), Change::Served)].into());
    }

    #[test]
    fn a_node_port_is_looked_at_again_on_a_new_address() {
        let mut book = Book::default();
        book.update(
            &id("a"),
            Box::new([frontend(tcp(NODE_PORT), true, &["10.244.0.1:53"])]),
        );
        book.take_changed();
        book.set_node_addresses([NODE.parse().unwrap()]);
        let changed = book.take_changed();
        assert_eq!(changed, [(tcp(NODE_PORT), Change::Served)].into());
        assert!(stale(&book, &syn("192.0.2.10:30053", "192.0.2.10:30053")));
        assert!(!stale(&book, &syn("192.0.2.11:30053", "192.0.2.11:30053")));
    }

    #[test]
    fn syns_that_nobody_answered_are_stale_where_they_miss_the_endpoints() {
        let book = settled([frontend(tcp(vip()), true, &["10.244.0.1:53"])]);
        assert!(stale(&book, &syn(VIP, VIP)));
        assert!(stale(&book, &syn(VIP, "10.244.0.2:53")));
        assert!(!stale(&book, &syn(VIP, "10.244.0.1:53")));
        assert!(!stale(&book, &syn("10.1.0.21:53", "10.244.0.2:53")));
        // In IPVS mode the destination is not translated; only the answer's tuple is another.
        let ipvs = |endpoint| with(syn(VIP, endpoint), |flow| flow.status = 0);
        assert!(stale(&book, &ipvs("10.244.0.2:53")));
        assert!(!stale(&book, &ipvs("10.244.0.1:53")));
        let zoned = with(syn(VIP, VIP), |flow| flow.zone = Some(5));
        assert!(!stale(&book, &zoned), "somebody else's");
    }

    #[test]
    fn what_was_answered_is_never_stale() {
        let book = settled([frontend(tcp(vip()), true, &["10.244.0.1:53"])]);
        let stuck = syn(VIP, "10.244.0.2:53");
        assert!(stale(&book, &stuck));
        for tcp_state in [None, Some(0), Some(2), Some(3), Some(7), Some(9)] {
            let now = with(stuck, |flow| flow.tcp_state = tcp_state);
            assert!(!stale(&book, &now), "{tcp_state:?}");
        }
        let answered = with(stuck, |flow| flow.status |= status::SEEN_REPLY);
        assert!(!stale(&book, &answered));
    }

    #[test]
    fn without_the_service_nothing_is_stale() {
        let mut book = settled([frontend(tcp(vip()), false, &[])]);
        assert!(stale(&book, &syn(VIP, "10.244.0.2:53")), "is refused then");
        assert!(!stale(&book, &syn(VIP, VIP)), "would find nothing better");
        book.update(&id("a"), Box::new([]));
        assert!(!stale(&book, &syn(VIP, "10.244.0.2:53")));
    }

    #[test]
    fn protocols_with_one_port_are_told_apart() {
        let (a, b) = ("10.244.0.1:53", "10.244.0.2:53");
        let both = [
            frontend(vip(), true, &[a]),
            frontend(tcp(vip()), true, &[b]),
        ];
        let book = settled(both);
        assert!(stale(&book, &syn(VIP, a)) && !stale(&book, &syn(VIP, b)));
        assert!(!stale(&book, &flow(VIP, b)), "not among those looked at");
    }
}
