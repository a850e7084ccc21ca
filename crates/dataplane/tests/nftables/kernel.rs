//! What the kernel, nft and packets make of it, each test in a network namespace of its own.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use nfnetlink::Family;
use nfnetlink::netlink_batch::{Socket, socket};
use nfnetlink::nftables::Transaction;
use nfnetlink::nftables::native::{Listing, TableId};
use viprule_dataplane::nftables::{
    Desired, Key, Nftables, Object, Set, Settings, TABLE, listing, observed,
};
use viprule_dataplane::{CommonSettings, Dataplane as _, DetectLocal, diff};
use viprule_service::plan::ServicePlan;
use viprule_testkit::netns::Namespace;

use crate::world::{READY, dataplane, facts, ip, plan_with, service, settings, with_plans};

/// Writes the state's tables into the kernel of this thread's namespace.
fn load(state: &Desired) {
    let mut socket = Socket::open(socket::NETFILTER).unwrap();
    socket.allow_send(8 << 20).unwrap();
    for family in Family::ALL {
        let mut transaction = Transaction::<()>::new();
        listing(family, state).unwrap().write(&mut transaction);
        if let Err(error) = transaction.commit(&mut socket) {
            panic!("{error}");
        }
    }
}

fn nft(namespace: &Namespace, args: &[&str]) -> String {
    namespace.command("nft").args(args).text().unwrap()
}

/// What nft prints, and the first lines in which ours differs.
fn differences(ours: &str, theirs: &str) -> Vec<String> {
    let lines = ours.lines().zip(theirs.lines());
    let differing = lines.filter(|(ours, theirs)| ours != theirs);
    let text = differing.map(|(ours, theirs)| format!("ours {ours:?}, nft {theirs:?}"));
    text.take(10).collect()
}

/// The kernel and nft have no order of ranges. What was counted is no part of a state.
fn in_order(mut listing: Listing) -> Listing {
    for set in &mut listing.sets {
        for element in &mut set.elements {
            element.counters = None;
        }
        set.elements.sort();
    }
    listing
}

/// Loads, lists, lets nft read its own listing, and lists again.
fn round_trip(state: &Desired, prints_alike: bool) {
    let namespace = Namespace::new("nftables").unwrap();
    namespace.run(|| load(state)).unwrap();
    let list = |family: Family| {
        nft(
            &namespace,
            &["list", "table", &family.to_string(), "viprule"],
        )
    };
    let first = Family::ALL.map(list);
    for (family, text) in Family::ALL.into_iter().zip(&first) {
        let ours = listing(family, state).unwrap();
        let read = namespace.run(|| {
            let mut socket = Socket::open(socket::NETFILTER).unwrap();
            Listing::read(&mut socket, ours.id()).unwrap().unwrap()
        });
        let read = read.unwrap();
        let own = state.clone().filter(|key| key.family() == family);
        assert!(observed(&read) == own, "{family}");
        let (told, wanted) = (in_order(read.clone()), in_order(ours));
        let texts = [&told, &wanted].map(|listing| format!("{listing:#?}"));
        assert!(told == wanted, "{:#?}", differences(&texts[1], &texts[0]));
        if prints_alike {
            let printed = read.to_string();
            assert!(printed == *text, "{:#?}", differences(&printed, text));
        }
    }
    nft(&namespace, &["flush", "ruleset"]);
    let whole = first.concat();
    let load = namespace.command("nft").args(["-f", "-"]).input(whole);
    load.text().unwrap();
    for (first, second) in first.iter().zip(Family::ALL.map(list)) {
        assert!(*first == second, "{:#?}", differences(first, &second));
    }
}

/// Every kind of frontend in both families.
fn plans() -> Vec<ServicePlan> {
    let mut web = viprule_testkit::objects::service("web", &[ip("10.1.0.1"), ip("fd00:1::1")]);
    web.ports[0].node_port = 30_080;
    web.external_ips = [ip("198.51.100.1"), ip("2001:db8:1::1")].into();
    web.load_balancer_ips = [ip("203.0.113.1"), ip("2001:db8:2::1")].into();
    web.external_policy_local = true;
    web.affinity_seconds = Some(600);
    let ranges = ["10.0.0.0/8", "192.0.2.0/25", "fd00:2::/56", "2001:db8::/64"];
    web.source_ranges = ranges.map(|range| range.parse().unwrap()).into();
    let endpoints = [
        ("10.2.0.5", "here", READY),
        ("10.2.1.5", "there", READY),
        ("fd00:2::5", "here", READY),
        ("fd00:2:0:1::5", "there", READY),
        ("fd00:2:0:2::5", "there", READY),
    ];
    let mut none = viprule_testkit::objects::service("none", &[ip("10.1.0.2"), ip("fd00:1::2")]);
    none.ports[0].node_port = 30_082;
    let mut away = viprule_testkit::objects::service("away", &[ip("10.1.0.3"), ip("fd00:1::3")]);
    away.internal_policy_local = true;
    vec![
        plan_with(&web, &endpoints),
        plan_with(&none, &[]),
        plan_with(&away, &[endpoints[1], endpoints[3]]),
    ]
}

#[test]
fn the_base_is_the_same_to_us_the_kernel_and_nft() {
    round_trip(&with_plans(&dataplane(), &[]), true);
}

#[test]
fn services_are_the_same_to_us_the_kernel_and_nft() {
    round_trip(&with_plans(&dataplane(), &plans()), true);
}

#[test]
fn interfaces_are_told_in_words_that_nft_reads_back() {
    for (detect_local, is_whole) in [
        (DetectLocal::BridgeInterface("cni0".to_owned()), true),
        (DetectLocal::InterfaceNamePrefix("veth".to_owned()), false),
    ] {
        let settings = Settings {
            common: CommonSettings {
                detect_local,
                ..CommonSettings::default()
            },
        };
        round_trip(
            &with_plans(&Nftables::new(settings, &facts()), &[]),
            is_whole,
        );
    }
}

/// How long is waited for an answer. A refusal over IPv6 comes while `connect` has the socket, and
/// so counts from the second SYN on, a second later.
const PATIENCE: Duration = Duration::from_millis(2500);

/// Whether a connection comes about: `None` where nobody answers.
fn connects(to: &str) -> Option<bool> {
    let to: SocketAddr = to.parse().unwrap();
    match TcpStream::connect_timeout(&to, PATIENCE) {
        Ok(_) => Some(true),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Some(false),
        Err(error) if error.kind() == ErrorKind::TimedOut => None,
        Err(error) => panic!("{to}: {error}"),
    }
}

/// A namespace with the node's address and, on the node itself, the endpoint's.
fn node() -> Namespace {
    let namespace = Namespace::new("node").unwrap();
    let lines = [
        "link add uplink type veth peer name elsewhere",
        "link set uplink up",
        "link set elsewhere up",
        "addr add 192.0.2.1/24 dev uplink",
        "addr add 10.2.0.5/32 dev uplink",
        "addr add 2001:db8::1/64 dev uplink nodad",
        "addr add fd00:2::5/128 dev uplink nodad",
        "route add default dev uplink",
        "route add ::/0 dev uplink",
    ];
    namespace.ip(lines).unwrap();
    namespace
}

#[test]
fn packets_of_the_node_go_where_the_elements_say() {
    let here = [("10.2.0.5", "here", READY)];
    let mut web = service();
    web.ports[0].node_port = 30_080;
    web.external_ips = [ip("198.51.100.1")].into();
    web.load_balancer_ips = [ip("203.0.113.1")].into();
    web.source_ranges = ["10.0.0.0/8".parse().unwrap()].into();
    let mut sticky = viprule_testkit::objects::service("sticky", &[ip("10.1.0.4")]);
    sticky.affinity_seconds = Some(60);
    sticky.external_ips = [ip("198.51.100.4")].into();
    sticky.external_policy_local = true;
    let none = viprule_testkit::objects::service("none", &[ip("10.1.0.2")]);
    let mut away = viprule_testkit::objects::service("away", &[ip("10.1.0.3")]);
    away.internal_policy_local = true;
    let there = [("10.2.1.5", "there", READY)];
    let plans = [
        plan_with(&web, &here),
        plan_with(&sticky, &here),
        plan_with(&none, &[]),
        plan_with(&away, &there),
    ];
    let namespace = node();
    let found = namespace.run(|| {
        let _listener = TcpListener::bind("10.2.0.5:8080").unwrap();
        load(&with_plans(&Nftables::new(settings(), &facts()), &plans));
        [
            "10.1.0.1:80",
            "198.51.100.1:80",
            "192.0.2.1:30080",
            "10.1.0.4:80",
            "198.51.100.4:80",
            // The node is not among the sources.
            "203.0.113.1:80",
            // No endpoints; none here.
            "10.1.0.2:80",
            "10.1.0.3:80",
            // No such port of a cluster IP, nor of the node.
            "10.1.0.1:81",
            "192.0.2.1:30081",
        ]
        .map(connects)
    });
    let (yes, refused, nothing) = (Some(true), Some(false), None);
    assert_eq!(
        found.unwrap(),
        [
            yes, yes, yes, yes, yes, nothing, refused, nothing, refused, refused
        ]
    );
    let affinity = nft(&namespace, &["list", "map", "ip", "viprule", "affinity"]);
    assert_eq!(affinity.matches("timeout 1m").count(), 2, "{affinity}");
}

#[test]
fn packets_of_ipv6_go_the_same_ways() {
    let here = [("fd00:2::5", "here", READY)];
    let mut web = viprule_testkit::objects::service("web", &[ip("fd00:1::1")]);
    web.ports[0].node_port = 30_080;
    let mut sticky = viprule_testkit::objects::service("sticky", &[ip("fd00:1::4")]);
    sticky.affinity_seconds = Some(60);
    let none = viprule_testkit::objects::service("none", &[ip("fd00:1::2")]);
    let plans = [
        plan_with(&web, &here),
        plan_with(&sticky, &here),
        plan_with(&none, &[]),
    ];
    let namespace = node();
    let found = namespace.run(|| {
        let _listener = TcpListener::bind("[fd00:2::5]:8080").unwrap();
        load(&with_plans(&dataplane(), &plans));
        [
            "[fd00:1::1]:80",
            "[2001:db8::1]:30080",
            "[fd00:1::4]:80",
            "[fd00:1::2]:80",
            "[fd00:1::1]:81",
        ]
        .map(connects)
    });
    let (yes, refused) = (Some(true), Some(false));
    assert_eq!(found.unwrap(), [yes, yes, yes, refused, refused]);
    let affinity = nft(&namespace, &["list", "map", "ip6", "viprule", "affinity"]);
    assert_eq!(affinity.matches("timeout 1m").count(), 1, "{affinity}");
}

/// A client with affinity stays while its endpoint is there, and goes to another one at once where
/// that has gone.
#[test]
fn clients_with_affinity_stay_and_are_moved_when_their_endpoint_goes() {
    let namespace = node();
    let addresses = ["10.2.0.6", "10.2.0.7", "10.2.0.8"];
    namespace
        .ip(addresses.map(|address| format!("addr add {address}/32 dev uplink")))
        .unwrap();
    let mut sticky = service();
    sticky.affinity_seconds = Some(600);
    let all = addresses.map(|address| (address, "here", READY));
    namespace
        .run(|| {
            let listeners = addresses.map(|address| {
                let listener = TcpListener::bind((address, 8080)).unwrap();
                listener.set_nonblocking(true).unwrap();
                listener
            });
            let accepted = || {
                assert_eq!(connects("10.1.0.1:80"), Some(true));
                let to = listeners
                    .iter()
                    .position(|listener| listener.accept().is_ok());
                to.unwrap()
            };
            load(&with_plans(&dataplane(), &[plan_with(&sticky, &all)]));
            let first = accepted();
            for _ in 0..20 {
                assert_eq!(accepted(), first);
            }
            // Affinity is the kernel's: what is written anew keeps it.
            let rest = all.iter().filter(|(at, ..)| *at != addresses[first]);
            let rest: Vec<_> = rest.copied().collect();
            replace(&plan_with(&sticky, &all), &plan_with(&sticky, &rest));
            let second = accepted();
            assert_ne!(second, first);
            for _ in 0..20 {
                assert_eq!(accepted(), second);
            }
        })
        .unwrap();
}

/// Writes a Service's diff: elements that go, and those that come.
fn replace(old: &ServicePlan, new: &ServicePlan) {
    let [old, new] = [old, new].map(|plan| dataplane().service(plan));
    let diff = diff(&old, &new);
    let encoded = |key: &Key, object: &Object| match (key, object) {
        (Key::Element(element), Object::Element(content)) => {
            (element.set(), element.encode(content))
        }
        _ => panic!("{key} changes"),
    };
    let table = |set: Set| TableId {
        family: set.family,
        name: TABLE,
    };
    let mut transaction = Transaction::<()>::new();
    let replaced = diff.writes.iter();
    let replaced = replaced.filter_map(|write| Some((write.key, write.old?)));
    let gone = diff.deletes.iter().map(|(key, old)| (*key, *old));
    for (key, object) in replaced.chain(gone) {
        let (set, element) = encoded(key, object);
        transaction.delete_elements(table(set), &set.spec(), [&element]);
    }
    for write in &diff.writes {
        let (set, element) = encoded(write.key, write.new);
        transaction.add_elements(table(set), &set.spec(), [&element]);
    }
    let mut socket = Socket::open(socket::NETFILTER).unwrap();
    if let Err(error) = transaction.commit(&mut socket) {
        panic!("{error}");
    }
}

/// Draws reach every endpoint of a row that is no power of two.
#[test]
fn every_slot_is_drawn() {
    let namespace = node();
    let endpoints = ["10.2.0.6", "10.2.0.7", "10.2.0.8"];
    namespace
        .ip(endpoints.map(|address| format!("addr add {address}/32 dev uplink")))
        .unwrap();
    let plan = plan_with(
        &service(),
        &endpoints.map(|address| (address, "here", READY)),
    );
    let counts = namespace.run(|| {
        let listeners = endpoints.map(|address| {
            let listener = TcpListener::bind((address, 8080)).unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        });
        load(&with_plans(&dataplane(), &[plan]));
        for _ in 0..90 {
            assert_eq!(connects("10.1.0.1:80"), Some(true));
        }
        listeners.map(|listener| std::iter::from_fn(|| listener.accept().ok()).count())
    });
    let counts = counts.unwrap();
    assert_eq!(counts.iter().sum::<usize>(), 90);
    // Each has 30 on average; fewer than 8 come about once in a million.
    assert!(counts.iter().all(|count| *count >= 8), "{counts:?}");
}
