//! What IPVS mode left, while another mode serves.

use std::time::Duration;

use viprule_dataplane::State;
use viprule_dataplane::ipvs::{Desired, Key};
use viprule_testkit::leftovers;
use viprule_testkit::{Namespace, Protocol, World};
use viprule_writer::ipvs::{Former, Progress};
use viprule_writer::leftovers::{Leftover, Removal};

use crate::common::{Node, Service, desired, lines, require_ipvs, text};
use crate::drain::{A, VIP, answers, destinations, open, world};

/// A rule that keeps connections tracked and translated, as the other mode's rules do.
fn track(world: &World) {
    text(
        world.node(),
        "iptables -t nat -A POSTROUTING -s 203.0.113.1 -j MASQUERADE",
    );
}

/// Removes the chains, as another mode does when it takes over.
fn leave(node: &mut Node<'_>, services: &[Service]) {
    let wanted: Desired = desired(services);
    node.sync(&wanted.filter(|key| !matches!(key, Key::Netfilter(_))));
}

fn find(world: &World) -> Former {
    world
        .node()
        .run(|| Former::find(&nfnetlink::Family::ALL))
        .unwrap()
        .unwrap()
        .unwrap()
}

fn drain(world: &World, former: &mut Former) -> Progress {
    world.node().run(|| former.drain()).unwrap().unwrap()
}

fn services() -> [Service; 3] {
    [
        Service::tcp(VIP, &[A]),
        Service::tcp("10.1.0.21:80", &["10.244.0.6:8080"]),
        Service::new(ipvs_netlink::Protocol::Udp, "10.1.0.21:53", &[A]),
    ]
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn connections_go_on_until_they_end() {
    let (world, _servers) = world(Protocol::Tcp);
    track(&world);
    text(world.node(), "ipvsadm -A -t 192.168.77.2:99 -s rr");
    let mut node = Node::start(world.node());
    node.reconcile(&desired(&services()));
    let mut kept = open(&world);
    leave(&mut node, &services());

    let mut former = find(&world);
    let leftovers = former.leftovers();
    assert_eq!(
        leftovers[..2],
        [Leftover::VirtualServers(3), Leftover::Link]
    );
    assert_eq!(leftovers.len(), 2 + 34);
    let progress = drain(&world, &mut former);
    assert_eq!(progress.removal.removed, [Leftover::VirtualServers(2)]);
    assert_eq!(progress.udp, ["10.1.0.21:53".parse().unwrap()]);
    assert!(progress.next.is_some());
    assert_eq!(destinations(&node), [format!("{A} at 0")]);
    assert_eq!(answers(&mut kept), A);
    // An address goes with its own last virtual server.
    let on_link = text(world.node(), "ip -o addr show kube-ipvs0");
    assert!(on_link.contains("10.1.0.20/32"), "{on_link}");
    assert!(!on_link.contains("10.1.0.21/32"), "{on_link}");

    // A restart goes on with it.
    let mut former = find(&world);
    assert_eq!(former.leftovers()[0], Leftover::VirtualServers(1));
    assert!(drain(&world, &mut former).next.is_some());
    assert_eq!(answers(&mut kept), A);
    former.set_drain_timeout(Some(Duration::from_millis(1)));
    std::thread::sleep(Duration::from_millis(2));
    let end = drain(&world, &mut former);
    assert_eq!((end.next, end.removal.left.len()), (None, 0));
    assert_eq!(end.removal.removed.len(), 1 + 1 + 34);
    assert!(
        world
            .node()
            .run(|| Former::find(&nfnetlink::Family::ALL))
            .unwrap()
            .unwrap()
            .is_none()
    );
    assert_eq!(node.ipvsadm(), ["-A -t 192.168.77.2:99 -s rr"], "foreign");
    assert_eq!(node.observe().len(), 0);
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn the_way_back_restores_what_drained() {
    let (world, _servers) = world(Protocol::Tcp);
    track(&world);
    let mut node = Node::start(world.node());
    node.reconcile(&desired(&services()));
    let mut kept = open(&world);
    leave(&mut node, &services());
    drain(&world, &mut find(&world));
    let mut node = Node::start(world.node());
    node.reconcile(&desired(&services()));
    assert_eq!(node.observe(), desired(&services()));
    assert_eq!(node.writer.draining(), 0);
    assert_eq!(answers(&mut kept), A);
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn all_goes_at_once_where_that_is_asked_for() {
    require_ipvs();
    let namespace = Namespace::new("cleanup").unwrap();
    let nothing = namespace.run(leftovers::remove).unwrap().unwrap();
    assert_eq!(nothing, Removal::default());
    text(&namespace, "ipvsadm -A -t 192.0.2.1:80 -s rr");
    let mut node = Node::start(&namespace);
    node.reconcile(&desired(&services()));
    leave(&mut node, &services());
    text(
        &namespace,
        "iptables -A INPUT -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT",
    );
    let found = namespace.run(leftovers::find).unwrap().unwrap();
    let removal = namespace.run(leftovers::remove).unwrap().unwrap();
    let busy = Leftover::Set("KUBE-CLUSTER-IP".to_owned());
    let left: Vec<_> = removal.left.iter().map(|(it, _)| it).collect();
    assert_eq!(left, [&busy]);
    assert_eq!(removal.removed.len(), found.len() - 1);
    assert_eq!(node.ipvsadm(), ["-A -t 192.0.2.1:80 -s rr"]);
    assert_eq!(lines(&namespace, "ipset list -n"), ["KUBE-CLUSTER-IP"]);
    text(&namespace, "iptables -F");
    let removal = namespace.run(leftovers::remove).unwrap().unwrap();
    assert_eq!(removal.removed, [busy]);
    let seen = node.observe();
    assert_eq!(seen, State::default());
}
