//! Destinations that go under connections.

use std::time::Duration;

use ipvs_netlink::Protocol as Transport;
use viprule_testkit::client::KeepAlive;
use viprule_testkit::server::Server;
use viprule_testkit::{Protocol, World};

use crate::common::{Node, Service, desired, lines, require_ipvs, text};

pub(crate) const VIP: &str = "10.1.0.20:80";
pub(crate) const A: &str = "10.244.0.5:8080";
pub(crate) const B: &str = "10.244.0.6:8080";

/// Pods A and B on the node, with a server each, and what IPVS mode's traffic takes.
pub(crate) fn world(protocol: Protocol) -> (World, [Server; 2]) {
    require_ipvs();
    let world = World::builder()
        .pod("10.244.0.5")
        .pod("10.244.0.6")
        .build()
        .unwrap();
    let servers = [A, B].map(|address| world.serve(protocol, address).unwrap());
    for name in [
        "conntrack",
        "expire_nodest_conn",
        "expire_quiescent_template",
    ] {
        let key = format!("net/ipv4/vs/{name}");
        world.node().set_sysctl(&key, "1").unwrap();
    }
    (world, servers)
}

pub(crate) fn service(endpoints: &[&str]) -> Vec<Service> {
    vec![Service::tcp(VIP, endpoints)]
}

pub(crate) fn open(world: &World) -> KeepAlive {
    let client = world.on_node();
    client.keep_alive(VIP.parse().unwrap()).unwrap().unwrap()
}

#[track_caller]
pub(crate) fn answers(connection: &mut KeepAlive) -> String {
    connection.ask().result.unwrap().backend.to_string()
}

pub(crate) fn destinations(node: &Node<'_>) -> Vec<String> {
    let lines = node.ipvsadm().into_iter();
    let destinations = lines.filter_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        (words[0] == "-a").then(|| format!("{} at {}", words[4], words[7]))
    });
    destinations.collect()
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn an_idle_destination_goes_at_once() {
    let (world, _servers) = world(Protocol::Tcp);
    let mut node = Node::start(world.node());
    node.reconcile(&desired(&service(&[A, B])));
    node.sync(&desired(&service(&[A])));
    assert_eq!(destinations(&node), [format!("{A} at 1")]);
    assert_eq!(node.writer.draining(), 0);
    assert_eq!(node.drain().unwrap(), None);
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn a_busy_destination_stays_until_its_connections_end() {
    let (world, _servers) = world(Protocol::Tcp);
    let mut node = Node::start(world.node());
    node.reconcile(&desired(&service(&[A])));
    let mut kept = open(&world);
    assert_eq!(answers(&mut kept), A);

    let wanted = desired(&service(&[B]));
    node.sync(&wanted);
    assert_eq!(
        destinations(&node),
        [format!("{A} at 0"), format!("{B} at 1")]
    );
    assert_eq!(node.writer.draining(), 1);
    assert_eq!(answers(&mut kept), A, "goes on");
    assert_eq!(answers(&mut open(&world)), B, "new ones go elsewhere");
    assert!(node.drain().unwrap().is_some());
    assert_eq!(node.observe(), wanted, "what drains is not there");
    assert_eq!(node.writer.draining(), 1);

    // A restart finds it again.
    let mut node = Node::start(world.node());
    assert_eq!(node.reconcile(&wanted).bytes, 0);
    assert_eq!(node.writer.draining(), 1);
    node.writer
        .set_drain_timeout(Some(Duration::from_millis(1)));
    std::thread::sleep(Duration::from_millis(2));
    assert_eq!(node.drain().unwrap(), None, "its time is up");
    assert_eq!(destinations(&node), [format!("{B} at 1")]);
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn a_destination_that_comes_back_is_restored() {
    let (world, _servers) = world(Protocol::Tcp);
    let mut node = Node::start(world.node());
    node.reconcile(&desired(&service(&[A, B])));
    let mut kept = [open(&world), open(&world)];
    node.sync(&desired(&service(&[B])));
    assert_eq!(node.writer.draining(), 1);
    node.sync(&desired(&service(&[A, B])));
    assert_eq!(
        destinations(&node),
        [format!("{A} at 1"), format!("{B} at 1")]
    );
    assert_eq!(node.writer.draining(), 0);
    for connection in &mut kept {
        answers(connection);
    }
    // The same after a restart, which knows of the draining one from the kernel.
    node.sync(&desired(&service(&[B])));
    let mut node = Node::start(world.node());
    node.reconcile(&desired(&service(&[A, B])));
    assert_eq!(
        destinations(&node),
        [format!("{A} at 1"), format!("{B} at 1")]
    );
    assert_eq!(node.writer.draining(), 0);
    for connection in &mut kept {
        answers(connection);
    }
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn a_destination_of_udp_goes_at_once() {
    let (world, _servers) = world(Protocol::Udp);
    let mut node = Node::start(world.node());
    let service = |endpoints| vec![Service::new(Transport::Udp, VIP, endpoints)];
    node.reconcile(&desired(&service(&[A])));
    let flow = world.on_node().udp_flow(VIP.parse().unwrap());
    let mut flow = flow.unwrap().unwrap();
    assert_eq!(flow.ask().result.unwrap().backend.to_string(), A);
    node.sync(&desired(&service(&[B])));
    assert_eq!(destinations(&node), [format!("{B} at 1")]);
    assert_eq!(node.writer.draining(), 0);
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn many_virtual_servers_are_looked_at_together() {
    let (world, _servers) = world(Protocol::Tcp);
    let mut node = Node::start(world.node());
    let services = |endpoints: &[&str]| -> Vec<Service> {
        let ports = 1000..1200_u16;
        let all = ports.map(|port| Service::tcp(&format!("10.1.0.20:{port}"), endpoints));
        all.chain(service(endpoints)).collect()
    };
    node.reconcile(&desired(&services(&[A])));
    let mut kept = open(&world);
    node.sync(&desired(&services(&[B])));
    assert_eq!(node.writer.draining(), 1);
    assert_eq!(answers(&mut kept), A);
    let left = destinations(&node);
    assert_eq!(left.len(), 202);
    assert_eq!(left.iter().filter(|it| it.starts_with(A)).count(), 1);
}

const NOTHING: Vec<String> = Vec::new();

/// The addresses, the elements and the virtual servers that are there.
fn left(node: &Node<'_>) -> [Vec<String>; 3] {
    let namespace = node.namespace;
    let addresses = lines(namespace, "ip -o addr show kube-ipvs0");
    let addresses = addresses.iter().filter_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word != "inet");
        words.nth(1).map(str::to_owned)
    });
    let elements = lines(namespace, "ipset save").into_iter();
    let elements = elements.filter(|line| line.starts_with("add "));
    [addresses.collect(), elements.collect(), node.ipvsadm()]
}

/// What is left while a connection of [`service`] with A lasts.
fn held() -> [Vec<String>; 3] {
    let lines = |lines: &[&str]| lines.iter().map(|it| (*it).to_owned()).collect();
    [
        lines(&["10.1.0.20/32"]),
        lines(&[
            "add KUBE-CLUSTER-IP 10.1.0.20,tcp:80",
            "add KUBE-IPVS-IPS 10.1.0.20",
        ]),
        lines(&[
            "-A -t 10.1.0.20:80 -s rr",
            "-a -t 10.1.0.20:80 -r 10.244.0.5:8080 -m -w 0",
        ]),
    ]
}

/// Lets what drains end now.
fn end(node: &mut Node<'_>) {
    node.writer
        .set_drain_timeout(Some(Duration::from_millis(1)));
    std::thread::sleep(Duration::from_millis(2));
    assert_eq!(node.drain().unwrap(), None);
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn a_virtual_server_stays_with_its_address_until_its_connections_end() {
    let (world, _servers) = world(Protocol::Tcp);
    let mut node = Node::start(world.node());
    let others = vec![
        Service::tcp("10.1.0.20:81", &[A]),
        Service::tcp("10.1.0.21:80", &[A, B]),
        Service::new(Transport::Udp, "10.1.0.20:53", &[A]),
    ];
    node.reconcile(&desired(&[service(&[A]), others].concat()));
    let mut kept = open(&world);
    let nothing = desired(&[]);
    node.sync(&nothing);
    assert_eq!(left(&node), held(), "idle ones are gone");
    assert_eq!(answers(&mut kept), A, "goes on");
    let client = world.on_node();
    let refused = client.keep_alive(VIP.parse().unwrap()).unwrap();
    assert!(refused.is_err(), "nobody gets in");
    assert_eq!(node.observe(), nothing, "what drains is not there");
    assert_eq!(node.reconcile(&nothing).bytes, 0);
    assert!(node.drain().unwrap().is_some());

    // A restart finds it again, however often.
    for _ in 0..2 {
        node = Node::start(world.node());
        node.reconcile(&nothing);
        assert_eq!(node.observe(), nothing);
        assert!(node.drain().unwrap().is_some());
        assert_eq!(left(&node), held());
        assert_eq!(answers(&mut kept), A);
    }
    end(&mut node);
    assert_eq!(left(&node), [NOTHING; 3]);
    assert_eq!(node.observe(), nothing);
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn a_virtual_server_that_comes_back_is_taken_over() {
    let (world, _servers) = world(Protocol::Tcp);
    let mut node = Node::start(world.node());
    let (wanted, nothing) = (desired(&service(&[A])), desired(&[]));
    node.reconcile(&wanted);
    let mut kept = open(&world);
    node.sync(&nothing);
    node.sync(&wanted);
    assert_eq!(node.observe(), wanted);
    assert_eq!((node.writer.draining(), node.drain().unwrap()), (0, None));
    assert_eq!(answers(&mut kept), A);
    // As another Service's, with other endpoints.
    node.sync(&nothing);
    let other = desired(&service(&[B]));
    node.sync(&other);
    assert_eq!(answers(&mut kept), A, "drains as a destination");
    assert_eq!(answers(&mut open(&world)), B);
    end(&mut node);
    assert_eq!(node.observe(), other);
    assert_eq!(destinations(&node), [format!("{B} at 1")]);
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn an_address_that_others_want_outlives_what_drains_and_the_other_way_round() {
    let (world, _servers) = world(Protocol::Tcp);
    let mut node = Node::start(world.node());
    let other = || Service::tcp("10.1.0.20:81", &[B]);
    node.reconcile(&desired(&service(&[A])));
    let mut kept = open(&world);
    node.sync(&desired(&[]));
    node.sync(&desired(&[other()]));
    assert_eq!(node.observe(), desired(&[other()]));
    // The other one goes first.
    node.sync(&desired(&[]));
    assert_eq!(left(&node), held());
    assert_eq!(answers(&mut kept), A);
    node.sync(&desired(&[other()]));
    end(&mut node);
    assert_eq!(node.observe(), desired(&[other()]));
    assert_eq!(left(&node)[0], ["10.1.0.20/32"]);
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn the_way_to_the_api_server_waits_for_nobodys_connections() {
    let (world, _servers) = world(Protocol::Tcp);
    let mut node = Node::start(world.node());
    node.reconcile(&desired(&service(&[A])));
    let _kept = open(&world);
    node.sync(&desired(&[]));
    assert_eq!(left(&node), held());
    node.writer
        .set_api_server(&["10.1.0.20:6443".parse().unwrap()]);
    node.drain().unwrap();
    assert_eq!(left(&node), [NOTHING; 3]);
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn all_of_it_goes_at_once_where_everything_is_to_go() {
    let (world, _servers) = world(Protocol::Tcp);
    let mut node = Node::start(world.node());
    node.reconcile(&desired(&service(&[A])));
    let _kept = open(&world);
    node.sync(&viprule_dataplane::State::default());
    assert_eq!(node.ipvsadm(), [""; 0]);
    assert_eq!(lines(world.node(), "ipset list -n"), [""; 0]);
}

/// A destination's upper threshold.
fn stamp(node: &Node<'_>, destination: &str) -> u64 {
    let table = text(node.namespace, "ipvsadm -Ln --thresholds");
    let line = table.lines().find(|line| line.contains(destination));
    let words = line.unwrap_or_else(|| panic!("{table}"));
    let mut words = words.split_whitespace();
    words.nth(2).unwrap().parse().unwrap()
}

/// The kernel keeps when a drain began.
#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn the_time_of_a_drain_goes_on_over_a_restart() {
    let (world, _servers) = world(Protocol::Tcp);
    let mut node = Node::start(world.node());
    node.reconcile(&desired(&service(&[A, B])));
    let _kept = [open(&world), open(&world)];
    let uptime = || -> u64 {
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        text.split('.').next().unwrap().parse().unwrap()
    };
    let before = uptime();
    let wanted = desired(&service(&[B]));
    node.sync(&wanted);
    let began = stamp(&node, A);
    assert!((before + 1..=uptime() + 1).contains(&began), "{began}");
    node.drain().unwrap();
    assert_eq!(stamp(&node, A), began);

    // As if it had begun when the machine started.
    let early = format!("ipvsadm -e -t {VIP} -r {A} -m -w 0 -x 1");
    text(world.node(), &early);
    while uptime() < 10 {
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut node = Node::start(world.node());
    // More than a process has that starts now.
    node.writer
        .set_drain_timeout(Some(Duration::from_secs(uptime() - 3)));
    node.reconcile(&wanted);
    assert_eq!(node.drain().unwrap(), None, "its time is up");
    assert_eq!(destinations(&node), [format!("{B} at 1")]);
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn a_drain_that_somebody_else_began_is_noted_once_and_ends_with_its_return() {
    let (world, _servers) = world(Protocol::Tcp);
    let mut node = Node::start(world.node());
    let wanted = desired(&service(&[A]));
    node.reconcile(&wanted);
    let _kept = open(&world);
    text(
        world.node(),
        "ipvsadm -e -t 10.1.0.20:80 -r 10.244.0.5:8080 -m -w 0",
    );
    let mut node = Node::start(world.node());
    let nothing = desired(&[]);
    node.reconcile(&nothing);
    node.drain().unwrap();
    let noted = stamp(&node, A);
    assert!(noted > 0);
    node.drain().unwrap();
    assert_eq!(stamp(&node, A), noted);
    node.sync(&wanted);
    assert_eq!(node.observe(), wanted);
    assert_eq!(stamp(&node, A), 0);
}
