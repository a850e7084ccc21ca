//! First syncs, changes, and removal.

use ipvs_netlink::Protocol;
use viprule_dataplane::diff;
use viprule_testkit::Namespace;
use viprule_writer::ApplyError;

use crate::common::{Node, Service, desired, lines, require_ipvs, text};

fn shop() -> Vec<Service> {
    vec![
        Service::tcp("10.1.0.20:80", &["10.244.0.5:8080", "10.244.0.6:8080"]),
        Service::new(Protocol::Udp, "10.1.0.20:53", &["10.244.0.5:53"]),
        Service::new(Protocol::Sctp, "10.1.0.21:80", &["10.244.0.5:80"]),
        Service::tcp("[fd00:10:1::80]:80", &["[fd00:10:244::5]:8080"]),
        Service::tcp("10.1.0.22:80", &[]),
    ]
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn a_first_sync_is_complete_and_a_second_look_finds_nothing_to_do() {
    require_ipvs();
    let namespace = Namespace::new("sync").unwrap();
    let mut node = Node::start(&namespace);
    let wanted = desired(&shop());
    assert!(node.reconcile(&wanted).bytes > 0);
    assert_eq!(node.observe(), wanted);
    assert!(diff(&node.observe(), &wanted).is_empty());
    let expected = [
        "-A -t 10.1.0.20:80 -s rr",
        "-A -t 10.1.0.22:80 -s rr",
        "-A -t [fd00:10:1::80]:80 -s rr",
        "-A -u 10.1.0.20:53 -s rr",
        "-A --sctp-service 10.1.0.21:80 -s rr",
        "-a -t 10.1.0.20:80 -r 10.244.0.5:8080 -m -w 1",
        "-a -t 10.1.0.20:80 -r 10.244.0.6:8080 -m -w 1",
        "-a -t [fd00:10:1::80]:80 -r [fd00:10:244::5]:8080 -m -w 1",
        "-a -u 10.1.0.20:53 -r 10.244.0.5:53 -m -w 1",
        "-a --sctp-service 10.1.0.21:80 -r 10.244.0.5:80 -m -w 1",
    ];
    let mut expected = expected.map(str::to_owned);
    expected.sort_unstable();
    assert_eq!(node.ipvsadm(), expected);
    let addresses = text(&namespace, "ip -brief addr show kube-ipvs0");
    let mut addresses: Vec<&str> = addresses.split_whitespace().skip(1).collect();
    addresses.sort_unstable();
    let all = [
        "10.1.0.20/32",
        "10.1.0.21/32",
        "10.1.0.22/32",
        "DOWN",
        "fd00:10:1::80/128",
    ];
    assert_eq!(addresses, all);
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn a_set_that_is_full_grows() {
    use std::net::{IpAddr, Ipv4Addr};

    use nfnetlink::ipset::Entry;
    use viprule_dataplane::ipvs::{Desired, Key, Object};
    use viprule_dataplane::ownership::{Set, SetName};

    require_ipvs();
    let namespace = Namespace::new("full").unwrap();
    let mut node = Node::start(&namespace);
    let set = Set {
        name: SetName::IpvsIps,
        family: nfnetlink::Family::Ipv4,
    };
    let entries = (0..70_000).map(|n| {
        let entry = Entry::Ip(IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n)));
        (Key::Entry { set, entry }, Object::Entry)
    });
    let wanted: Desired = desired(&shop()).merged(entries.collect());
    node.reconcile(&wanted);
    assert_eq!(node.observe(), wanted);
    assert_eq!(Node::start(&namespace).reconcile(&wanted).bytes, 0);
    node.sync(&desired(&shop()));
    assert_eq!(node.observe(), desired(&shop()));
    let header = text(&namespace, "ipset -t list KUBE-IPVS-IPS");
    assert!(header.contains("maxelem 131072"), "{header}");
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn a_restart_on_a_full_kernel_writes_nothing() {
    require_ipvs();
    let namespace = Namespace::new("restart").unwrap();
    let wanted = desired(&shop());
    Node::start(&namespace).reconcile(&wanted);
    let written = Node::start(&namespace).reconcile(&wanted);
    assert_eq!((written.transactions, written.bytes), (0, 0));
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn nothing_is_left_of_what_is_removed() {
    require_ipvs();
    let namespace = Namespace::new("removal").unwrap();
    let before = lines(&namespace, "ip -brief addr");
    let mut node = Node::start(&namespace);
    node.reconcile(&desired(&shop()));
    node.sync(&desired(&shop()[..2]));
    assert_eq!(node.observe(), desired(&shop()[..2]));
    assert_eq!(node.ipvsadm().len(), 5);
    node.sync(&viprule_dataplane::State::default());
    assert_eq!(node.ipvsadm(), [""; 0]);
    assert_eq!(lines(&namespace, "ip -brief addr"), before);
    assert_eq!(lines(&namespace, "ipset save"), [""; 0]);
    assert!(
        node.observe()
            .iter()
            .all(|(key, _)| { !viprule_dataplane::ObjectKey::is_removable(key) })
    );
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn what_exists_already_is_taken_over() {
    require_ipvs();
    let namespace = Namespace::new("exists").unwrap();
    let wanted = desired(&shop());
    Node::start(&namespace).reconcile(&wanted);
    text(&namespace, "ipvsadm -E -t 10.1.0.20:80 -s wrr -p 300");
    text(
        &namespace,
        "ipvsadm -e -t 10.1.0.20:80 -r 10.244.0.5:8080 -m -w 0",
    );
    // One that takes the kernel for empty but for chains, whose writing is not repeatable.
    let mut node = Node::start(&namespace);
    let seen = node.observe();
    let is_chain = |key: &_| matches!(key, viprule_dataplane::ipvs::Key::Netfilter(_));
    let known = seen.filter(is_chain).fingerprints();
    let error = node.write(&[diff(&known, &wanted)]).unwrap_err();
    // All of it is written; there may be more in the virtual servers than is known.
    assert!(matches!(error, ApplyError::Foreign(_)), "{error}");
    assert_eq!(node.observe(), wanted);
    assert_eq!(node.writer.draining(), 0);
}

/// The kernel's table of virtual servers as text leaves out some where several namespaces have
/// virtual servers.
#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn nodes_on_one_kernel_see_all_of_theirs() {
    const SERVICES: u32 = 800;
    require_ipvs();
    let service = |number: u32, endpoints: &[&str]| {
        let [_, _, high, low] = number.to_be_bytes();
        Service::tcp(&format!("10.1.{high}.{low}:80"), endpoints)
    };
    let all = |endpoints: &[&str]| {
        let services: Vec<Service> = (1..=SERVICES).map(|it| service(it, endpoints)).collect();
        desired(&services)
    };
    let wanted = all(&["10.244.0.5:8080", "10.244.0.6:8080"]);
    let namespaces = ["one", "other"].map(|name| Namespace::new(name).unwrap());
    let mut nodes = namespaces.each_ref().map(Node::start);
    for node in &mut nodes {
        node.reconcile(&wanted);
    }
    for namespace in &namespaces {
        let written = Node::start(namespace).reconcile(&wanted);
        assert_eq!((written.transactions, written.bytes), (0, 0));
    }
    for node in &mut nodes {
        node.sync(&all(&["10.244.0.5:8080"]));
        assert_eq!(node.writer.draining(), 0);
        assert_eq!(node.ipvsadm().len(), 2 * SERVICES as usize);
    }
}
