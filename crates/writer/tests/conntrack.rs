//! Stale flows, on real traffic and on a table of many.

#![allow(clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use nfnetlink::conntrack::{Flow, tcp_state};
use viprule_service::model::{self, Family, ServiceId};
use viprule_service::plan::{AllowedFlows, FlowDestination, FlowFrontend, FlowPlace};
use viprule_testkit::client::UdpFlow;
use viprule_testkit::flows::{self, NewFlow};
use viprule_testkit::netns::require_privileges;
use viprule_testkit::{Namespace, Protocol, World};
use viprule_writer::conntrack::{Cleaned, Cleaner};

const A: &str = "10.244.0.5:53";
const B: &str = "10.244.0.6:53";
const VIP: &str = "10.1.0.20:53";
const OTHER_VIP: &str = "10.1.0.21:53";
const NODE_PORT: &str = "192.168.77.2:30053";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn vip(address: &str) -> FlowDestination {
    FlowPlace::at(at(address)).over(model::Protocol::Udp)
}

fn dns() -> ServiceId {
    ServiceId::new("kube-system", "dns").unwrap()
}

fn serving(destination: FlowDestination, endpoints: &[&str]) -> FlowFrontend {
    FlowFrontend {
        destination,
        flows: AllowedFlows {
            serving: !endpoints.is_empty(),
            endpoints: endpoints.iter().map(|text| at(text)).collect(),
        },
    }
}

fn cleaner(namespace: &Namespace) -> (Cleaner, Receiver<Cleaned>) {
    let (sender, receiver) = mpsc::channel();
    let report = move |cleaned| sender.send(cleaned).unwrap();
    let cleaner = namespace.run(|| Cleaner::spawn(report)).unwrap().unwrap();
    (cleaner, receiver)
}

/// All reports so far, none of which may be a failure.
#[track_caller]
fn reports(receiver: &Receiver<Cleaned>) -> Vec<Cleaned> {
    let reports: Vec<Cleaned> = receiver.try_iter().collect();
    assert!(
        reports.iter().all(|cleaned| cleaned.failure.is_none()),
        "{reports:?}"
    );
    reports
}

/// Pods A and B on the node, with a server for each protocol.
fn world() -> (World, [viprule_testkit::server::Server; 4]) {
    require_privileges().unwrap();
    let world = World::builder()
        .pod("10.244.0.5")
        .pod("10.244.0.6")
        .build()
        .unwrap();
    let of_both = [Protocol::Udp, Protocol::Tcp].map(|it| [(it, A), (it, B)]);
    let servers = of_both.as_flattened().try_into().unwrap();
    let servers: [_; 4] = servers;
    let servers = servers.map(|(protocol, address)| world.serve(protocol, address).unwrap());
    (world, servers)
}

/// Where the node sends new flows.
fn rules(world: &World, targets: &[(&str, &str)]) {
    let rule = |(from, to): &(&str, &str)| {
        let from = at(from);
        let (ip, port) = (from.ip(), from.port());
        ["udp", "tcp"].map(|it| format!("ip daddr {ip} {it} dport {port} dnat to {to}\n"))
    };
    let rules: String = targets.iter().flat_map(rule).collect();
    let hook = |name, priority| {
        format!("chain {name} {{\ntype nat hook {name} priority {priority};\n{rules}}}\n")
    };
    let (pre, out) = (hook("prerouting", -100), hook("output", -100));
    let table = format!("table ip t\ndelete table ip t\ntable ip t {{\n{pre}{out}}}\n");
    let nft = world.node().command("nft").args(["-f", "-"]);
    nft.input(table).text().unwrap();
}

fn flow_from(client: viprule_testkit::client::Client<'_>, to: &str) -> UdpFlow {
    client.udp_flow(at(to)).unwrap().unwrap()
}

/// Nobody answers. Who would, does so before the time is up, or late on a slow machine.
#[track_caller]
fn is_silent(flow: &mut UdpFlow) {
    flow.ask_within(Duration::from_secs(2)).result.unwrap_err();
}

#[track_caller]
fn answers(flow: &mut UdpFlow) -> SocketAddr {
    flow.ask().result.unwrap().backend
}

fn tracked(world: &World) -> Vec<(SocketAddr, SocketAddr, u32)> {
    let key = |flow: &Flow| (flow.original.source, flow.reply.source, flow.id);
    let mut flows: Vec<_> = flows::list(world.node()).unwrap().iter().map(key).collect();
    flows.sort_unstable();
    flows
}

#[test]
fn a_flow_leaves_an_endpoint_that_went_and_others_stay() {
    let (world, _servers) = world();
    let (cleaner, reported) = cleaner(world.node());
    cleaner.update(&dns(), Box::new([serving(vip(VIP), &[A, B])]));
    rules(&world, &[(VIP, B)]);
    let mut live = flow_from(world.on_node(), VIP);
    assert_eq!(answers(&mut live), at(B));
    rules(&world, &[(VIP, A), (OTHER_VIP, A)]);
    let mut stale = flow_from(world.on_node(), VIP);
    let mut foreign = flow_from(world.on_node(), OTHER_VIP);
    assert_eq!([answers(&mut stale), answers(&mut foreign)], [at(A); 2]);

    rules(&world, &[(VIP, B)]);
    assert_eq!(answers(&mut stale), at(A), "the rules alone change nothing");
    let before = tracked(&world);
    cleaner.wait();
    reports(&reported);
    cleaner.update(&dns(), Box::new([serving(vip(VIP), &[B])]));
    cleaner.wait();
    let reports = reports(&reported);
    let counts: Vec<_> = reports.iter().map(|it| (it.family, it.deleted)).collect();
    assert_eq!(counts, [(Family::Ipv4, 1)]);

    let port = stale.local_address().unwrap().port();
    let mut expected = before;
    expected.retain(|(source, _, _)| source.port() != port);
    assert_eq!(tracked(&world), expected);
    assert_eq!(answers(&mut stale), at(B));
    assert_eq!([answers(&mut live), answers(&mut foreign)], [at(B), at(A)]);
}

#[test]
fn a_flow_made_while_there_was_no_endpoint_finds_the_first_one() {
    let (world, _servers) = world();
    let (cleaner, _reported) = cleaner(world.node());
    cleaner.update(&dns(), Box::new([serving(vip(VIP), &[])]));
    rules(&world, &[(OTHER_VIP, A)]);
    let mut flow = flow_from(world.on_node(), VIP);
    is_silent(&mut flow);
    rules(&world, &[(VIP, A)]);
    is_silent(&mut flow);
    cleaner.update(&dns(), Box::new([serving(vip(VIP), &[A])]));
    cleaner.wait();
    assert_eq!(answers(&mut flow), at(A));
}

#[test]
fn flows_of_node_ports_are_ended_on_the_nodes_addresses_only() {
    let (world, _servers) = world();
    let (cleaner, reported) = cleaner(world.node());
    cleaner.set_node_addresses([at(NODE_PORT).ip()]);
    rules(&world, &[(NODE_PORT, A), ("10.1.0.99:30053", A)]);
    let mut outside = flow_from(world.outside(), NODE_PORT);
    let mut foreign = flow_from(world.on_node(), "10.1.0.99:30053");
    assert_eq!([answers(&mut outside), answers(&mut foreign)], [at(A); 2]);
    rules(&world, &[(NODE_PORT, B)]);
    let node_port = FlowPlace::NodePort {
        family: Family::Ipv4,
        port: 30_053,
    };
    let node_port = node_port.over(model::Protocol::Udp);
    cleaner.update(&dns(), Box::new([serving(node_port, &[B])]));
    cleaner.wait();
    assert_eq!(reports(&reported)[0].deleted, 1);
    assert_eq!(answers(&mut outside), at(B));
    assert_eq!(answers(&mut foreign), at(A));
}

#[test]
fn flows_end_with_their_service_and_with_its_last_endpoint() {
    let (world, _servers) = world();
    let (cleaner, reported) = cleaner(world.node());
    rules(&world, &[(VIP, A), (OTHER_VIP, B)]);
    let mut flow = flow_from(world.on_node(), VIP);
    let mut other = flow_from(world.on_node(), OTHER_VIP);
    let (dns, web) = (dns(), ServiceId::new("shop", "web").unwrap());
    cleaner.update(&dns, Box::new([serving(vip(VIP), &[A])]));
    cleaner.update(&web, Box::new([serving(vip(OTHER_VIP), &[B])]));
    assert_eq!([answers(&mut flow), answers(&mut other)], [at(A), at(B)]);
    // Without any rule that needs it the kernel would stop tracking.
    rules(&world, &[("10.1.0.99:1", A)]);
    cleaner.wait();
    assert_eq!([answers(&mut flow), answers(&mut other)], [at(A), at(B)]);
    reports(&reported);
    cleaner.update(&dns, Box::new([]));
    cleaner.update(&web, Box::new([serving(vip(OTHER_VIP), &[])]));
    cleaner.wait();
    assert_eq!(
        reports(&reported).iter().map(|it| it.deleted).sum::<u64>(),
        2
    );
    is_silent(&mut flow);
    is_silent(&mut other);
}

/// A flow from 10.9.N.N to an address of this last byte.
fn numbered(number: u32, vip: u8, endpoint: &str) -> NewFlow {
    let [_, a, b, _] = number.to_be_bytes();
    NewFlow {
        source: SocketAddr::from(([10, 9, a, b], 1024 + (number & 0xff) as u16)),
        destination: SocketAddr::from(([10, 1, 0, vip], 53)),
        endpoint: (!endpoint.is_empty()).then(|| at(endpoint)),
        tcp_state: None,
    }
}

#[test]
fn memory_does_not_grow_with_the_table() {
    const FLOWS: u32 = 200_000;
    require_privileges().unwrap();
    let namespace = Namespace::new("many").unwrap();
    // Destination 1 in four fifths of the table; its flows are untranslated, so they are stale.
    let many: Vec<NewFlow> = (0..FLOWS)
        .map(|n| numbered(n, if n % 5 == 0 { 2 } else { 1 }, ""))
        .collect();
    flows::add(&namespace, &many).unwrap();
    flows::add(
        &namespace,
        &[numbered(FLOWS, 3, A), numbered(FLOWS + 1, 3, B)],
    )
    .unwrap();
    let (cleaner, reported) = cleaner(&namespace);

    // One destination: the kernel sends its flows only.
    cleaner.update(&dns(), Box::new([serving(vip("10.1.0.3:53"), &[A])]));
    cleaner.wait();
    let one = reports(&reported).remove(0);
    assert_eq!((one.dumps, one.seen, one.deleted, one.held), (1, 2, 1, 1));

    // Many destinations: one dump for all.
    let destinations = [1].into_iter().chain(10_u8..30);
    let destinations: Vec<FlowFrontend> = destinations
        .map(|n| serving(vip(&format!("10.1.0.{n}:53")), &[A]))
        .collect();
    cleaner.update(&ServiceId::new("shop", "web").unwrap(), destinations.into());
    cleaner.wait();
    let all = reports(&reported).remove(0);
    assert_eq!(all.dumps, 1);
    assert_eq!(all.deleted, u64::from(FLOWS) * 4 / 5);
    assert!(all.held <= 256, "{all:?}");
    let left = flows::list(&namespace).unwrap();
    let vips: BTreeSet<_> = left.iter().map(|f| f.original.destination).collect();
    assert_eq!(left.len(), FLOWS as usize / 5 + 1);
    assert_eq!(vips, [at("10.1.0.2:53"), at("10.1.0.3:53")].into());
}

#[test]
fn ipv6_flows_are_ended_too() {
    require_privileges().unwrap();
    let namespace = Namespace::new("six").unwrap();
    let to = |port, destination: &str, endpoint: &str| NewFlow {
        source: format!("[fd00::9]:{port}").parse().unwrap(),
        destination: at(destination),
        endpoint: Some(at(endpoint)),
        tcp_state: None,
    };
    let (vip6, other) = ("[fd00:10:1::20]:53", "[fd00:10:1::21]:53");
    let (a, b) = ("[fd00:10:244::5]:53", "[fd00:10:244::6]:53");
    flows::add(
        &namespace,
        &[to(1, vip6, a), to(2, vip6, b), to(3, other, a)],
    )
    .unwrap();
    let (cleaner, reported) = cleaner(&namespace);
    cleaner.update(&dns(), Box::new([serving(vip(vip6), &[b])]));
    cleaner.wait();
    let report = reports(&reported).remove(0);
    assert_eq!((report.family, report.deleted), (Family::Ipv6, 1));
    let left: BTreeSet<u16> = flows::list(&namespace)
        .unwrap()
        .iter()
        .map(|flow| flow.original.source.port())
        .collect();
    assert_eq!(left, [2, 3].into());
}

#[test]
fn a_restart_ends_flows_of_frontends_whose_rules_it_removed() {
    require_privileges().unwrap();
    let namespace = Namespace::new("restart").unwrap();
    flows::add(
        &namespace,
        &[numbered(0, 1, A), numbered(1, 2, A), numbered(2, 1, "")],
    )
    .unwrap();
    let (cleaner, reported) = cleaner(&namespace);
    cleaner.removed([vip("10.1.0.1:53")]);
    cleaner.wait();
    assert_eq!(reports(&reported)[0].deleted, 1);
    assert_eq!(flows::list(&namespace).unwrap().len(), 2);
}

fn tcp(address: &str) -> FlowDestination {
    vip(address).place.over(model::Protocol::Tcp)
}

#[test]
fn a_syn_that_is_sent_again_and_again_finds_the_service_and_connections_stay() {
    const SOURCE: &str = "192.168.77.2:40123";
    let (world, _servers) = world();
    let (cleaner, reported) = cleaner(world.node());
    cleaner.update(&dns(), Box::new([serving(tcp(VIP), &[])]));
    rules(&world, &[(VIP, B)]);
    let mut open = world.on_node().keep_alive(at(VIP)).unwrap().unwrap();
    assert_eq!(open.ask().result.unwrap().backend, at(B));
    rules(&world, &[(OTHER_VIP, A)]);
    let client = world.on_node().timeout(Duration::from_millis(1500));
    let again = |to| client.tcp_from(at(SOURCE), at(to)).unwrap().result;
    again(VIP).unwrap_err();
    again("10.1.0.99:53").unwrap_err();
    rules(&world, &[(VIP, A)]);
    again(VIP).unwrap_err();

    let before = flows::list_tcp(world.node()).unwrap();
    cleaner.update(&dns(), Box::new([serving(tcp(VIP), &[A])]));
    cleaner.wait();
    let reports = reports(&reported);
    let counts: Vec<_> = reports.iter().map(|it| (it.protocol, it.deleted)).collect();
    assert_eq!(counts, [(model::Protocol::Tcp, 1)]);
    let stuck =
        |flow: &Flow| flow.original.source == at(SOURCE) && flow.original.destination == at(VIP);
    let key = |flow: &Flow| (!stuck(flow)).then_some((flow.original.source, flow.id));
    let left = flows::list_tcp(world.node()).unwrap();
    let keys = |flows: &[Flow]| flows.iter().filter_map(key).collect::<BTreeSet<_>>();
    assert!(before.iter().any(stuck) && !left.iter().any(stuck));
    assert_eq!(keys(&before), keys(&left));
    assert_eq!(again(VIP).unwrap().backend, at(A));
    assert_eq!(open.ask().result.unwrap().backend, at(B), "though it left");
}

#[test]
fn of_tcp_only_syns_without_an_answer_that_miss_the_endpoints_are_ended() {
    const SYN_RECV: u8 = 2;
    const ESTABLISHED: u8 = 3;
    require_privileges().unwrap();
    for [source, vip, other, a, b] in [
        ["10.9.9.9", VIP, OTHER_VIP, A, B],
        [
            "fd00::9",
            "[fd00:10:1::20]:53",
            "[fd00:10:1::21]:53",
            "[fd00:10:244::5]:53",
            "[fd00:10:244::6]:53",
        ],
    ] {
        let namespace = Namespace::new("syns").unwrap();
        let flow = |port, to: &str, endpoint: Option<&str>, tcp_state| NewFlow {
            source: (source.parse::<std::net::IpAddr>().unwrap(), port).into(),
            destination: at(to),
            endpoint: endpoint.map(at),
            tcp_state: Some(tcp_state),
        };
        let stale = [
            flow(1, vip, Some(b), tcp_state::SYN_SENT),
            flow(2, vip, None, tcp_state::SYN_SENT),
        ];
        let others = [
            flow(3, vip, Some(a), tcp_state::SYN_SENT),
            flow(4, vip, Some(b), SYN_RECV),
            flow(5, vip, Some(b), ESTABLISHED),
            flow(6, vip, None, ESTABLISHED),
            flow(7, other, Some(b), tcp_state::SYN_SENT),
            NewFlow {
                tcp_state: None,
                ..flow(8, vip, Some(b), 0)
            },
        ];
        flows::add(&namespace, &[&stale[..], &others].concat()).unwrap();
        let (cleaner, reported) = cleaner(&namespace);
        cleaner.update(&dns(), Box::new([serving(tcp(vip), &[a])]));
        cleaner.wait();
        assert_eq!(reports(&reported).remove(0).deleted, 2);
        let left = flows::list_tcp(&namespace).unwrap();
        let ports: BTreeSet<_> = left.iter().map(|it| it.original.source.port()).collect();
        assert_eq!(ports, (3..=7).collect());
        assert_eq!(flows::list(&namespace).unwrap().len(), 1);

        // The endpoint leaves, and nobody takes its place.
        cleaner.update(&dns(), Box::new([serving(tcp(vip), &[])]));
        cleaner.wait();
        let left = flows::list_tcp(&namespace).unwrap();
        let ports: BTreeSet<_> = left.iter().map(|it| it.original.source.port()).collect();
        assert_eq!(ports, (4..=7).collect());
    }
}
