//! Settings of the node, and counters.

use std::time::{Duration, Instant};

use viprule_testkit::{LIMIT, Namespace, Protocol};
use viprule_writer::host::Outcome;
use viprule_writer::ipvs::Counters;
use viprule_writer::ipvs::host::{IpvsSettings, apply};

use crate::common::{Node, Service, desired, require_ipvs, text};
use crate::drain::{A, VIP, answers, open, service, world};

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn sysctls_and_timeouts_are_set_once() {
    require_ipvs();
    let namespace = Namespace::new("settings").unwrap();
    let settings = IpvsSettings {
        strict_arp: true,
        tcp: Some(Duration::from_secs(1000)),
        tcp_fin: None,
        udp: Some(Duration::from_secs(99)),
    };
    let apply = || namespace.run(|| apply(&settings)).unwrap();
    let outcome = apply();
    assert_eq!(outcome.problems, []);
    let changed: Vec<&str> = outcome.changed.iter().map(|it| &*it.setting).collect();
    assert!(changed.contains(&"net.ipv4.vs.conntrack"), "{changed:?}");
    for (key, value) in [
        ("net/ipv4/vs/conntrack", "1"),
        ("net/ipv4/vs/expire_nodest_conn", "1"),
        ("net/ipv4/vs/expire_quiescent_template", "1"),
        ("net/ipv4/vs/conn_reuse_mode", "1"),
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv4/conf/all/arp_ignore", "1"),
        ("net/ipv4/conf/all/arp_announce", "2"),
    ] {
        assert_eq!(namespace.sysctl(key).unwrap(), value, "{key}");
    }
    let timeouts = text(&namespace, "ipvsadm -l --timeout");
    assert_eq!(timeouts.trim(), "Timeout (tcp tcpfin udp): 1000 120 99");
    assert_eq!(apply(), Outcome::default());
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn connections_are_counted() {
    let (world, _servers) = world(Protocol::Tcp);
    let mut node = Node::start(world.node());
    node.reconcile(&desired(&service(&[A])));
    for _ in 0..3 {
        answers(&mut open(&world));
    }
    // The kernel sums up every two seconds, and may do so between two connections.
    let deadline = Instant::now() + LIMIT;
    let (id, stats) = loop {
        let counts = world.node().run(|| {
            let mut counters = Counters::open().unwrap();
            counters.read().unwrap().collect::<Vec<_>>()
        });
        let [one] = counts.unwrap().try_into().unwrap();
        let all = one.1.connections >= 3 && one.1.packets_in >= 9 && one.1.bytes_out > 0;
        if all || Instant::now() > deadline {
            break one;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(id, Service::tcp(VIP, &[]).id());
    assert_eq!(stats.connections, 3);
    assert!(stats.packets_in >= 9 && stats.bytes_out > 0, "{stats:?}");
}
