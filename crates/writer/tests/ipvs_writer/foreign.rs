//! What belongs to others, and what the kernel refuses.

use viprule_dataplane::Feature;
use viprule_testkit::Namespace;
use viprule_writer::leftovers::Leftover;
use viprule_writer::{ApplyError, Writer as _};

use crate::common::{Node, Service, desired, lines, require_ipvs, text};

fn shop() -> Vec<Service> {
    vec![
        Service::tcp("10.1.0.20:80", &["10.244.0.5:8080"]),
        Service::tcp("10.1.0.21:80", &["10.244.0.6:8080"]),
    ]
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn foreign_servers_sets_and_addresses_survive_everything() {
    require_ipvs();
    let namespace = Namespace::new("foreign").unwrap();
    for line in [
        "ip addr add 192.0.2.1/32 dev lo",
        "ipvsadm -A -t 192.0.2.1:80 -s lc",
        "ipvsadm -a -t 192.0.2.1:80 -r 192.0.2.7:80 -m -w 0",
        "ipvsadm -A -f 42 -s wrr",
        "ipset create KUBE-CLUSTER-IPS hash:ip,port",
        "ipset create peers hash:ip",
    ] {
        text(&namespace, line);
    }
    let look =
        || ["ipvsadm -Sn", "ipset save", "ip -brief addr"].map(|line| lines(&namespace, line));
    let before = look();
    let mut node = Node::start(&namespace);
    node.reconcile(&desired(&shop()));
    assert_eq!(node.observe(), desired(&shop()));
    assert_eq!(node.writer.draining(), 0);
    node.sync(&viprule_dataplane::State::default());
    assert_eq!(look(), before);
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn a_set_that_somebody_uses_stays_and_the_rest_goes() {
    require_ipvs();
    let namespace = Namespace::new("busy").unwrap();
    let mut node = Node::start(&namespace);
    node.reconcile(&desired(&shop()));
    text(&namespace, "iptables -N other");
    text(
        &namespace,
        "iptables -A other -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT",
    );
    let error = node.try_sync(&viprule_dataplane::State::default());
    let Err(ApplyError::Refused { refusals, .. }) = error else {
        panic!("{error:?}");
    };
    assert_eq!(refusals.len(), 1);
    let reason = &refusals[0].reason;
    assert!(reason.contains("KUBE-CLUSTER-IP is still used"), "{reason}");
    let sets = lines(&namespace, "ipset list -n");
    assert_eq!(sets, ["KUBE-CLUSTER-IP"]);
    assert_eq!(lines(&namespace, "ipset save").len(), 1, "it is empty");
    assert_eq!(node.ipvsadm(), [""; 0]);
    assert!(!text(&namespace, "ip link").contains("kube-ipvs0"));
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn a_service_that_is_refused_keeps_what_it_had_and_others_wait() {
    require_ipvs();
    let namespace = Namespace::new("refused").unwrap();
    let mut node = Node::start(&namespace);
    let [first, second] = shop().try_into().unwrap_or_else(|_| panic!());
    node.reconcile(&desired(std::slice::from_ref(&first)));
    let before = node.ipvsadm();

    let held = node.observe().fingerprints();
    let of = |service: &Service| {
        let objects = service.objects();
        held.clone().filter(|key| objects.get(key).is_some())
    };
    let mut changed = first.clone().scheduled_by(LACKING);
    changed.endpoints.clear();
    let (old, new) = (of(&first), changed.objects());
    let nothing = of(&second).filter(|_| false);
    let other = second.objects();
    let diffs = [
        viprule_dataplane::diff(&old, &new),
        viprule_dataplane::diff(&nothing, &other),
    ];
    let error = node.write(&diffs).unwrap_err();
    let ApplyError::Refused { refusals, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(refusals[0].tag, Some(viprule_writer::Tag(0)));
    assert!(refusals[0].reason.contains("ip_vs_twos"), "{refusals:?}");
    let after: Vec<String> = node.ipvsadm();
    let of_first = |lines: &[String]| -> Vec<String> {
        let all = lines.iter().filter(|it| it.contains("10.1.0.20"));
        all.cloned().collect()
    };
    assert_eq!(of_first(&after), of_first(&before));
    // No packet meets the other one before all is well; it is complete without the refused one.
    let both = desired(&[first, second]);
    let found = node.observe().fingerprints();
    let missing = viprule_dataplane::diff(&found, &both);
    let keys: Vec<_> = missing.writes.iter().map(|it| it.key.to_string()).collect();
    assert_eq!(keys, ["address 10.1.0.21 on kube-ipvs0"]);
    node.write(&[missing]).unwrap();
    assert_eq!(node.observe(), both);
    // What was to go stays as well, until what is wanted in its place can be written.
    let state = viprule_dataplane::State::default();
    let held = node.observe().fingerprints();
    let other = held.clone().filter(|key| other.get(key).is_some());
    let diffs = [
        viprule_dataplane::diff(&old, &new),
        viprule_dataplane::diff(&other, &state),
    ];
    let before = node.ipvsadm();
    node.write(&diffs).unwrap_err();
    assert_eq!(node.ipvsadm(), before);
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn a_server_that_somebody_removed_asks_for_a_look() {
    require_ipvs();
    let namespace = Namespace::new("stale").unwrap();
    let mut node = Node::start(&namespace);
    node.reconcile(&desired(&shop()));
    text(&namespace, "ipvsadm -D -t 10.1.0.20:80");
    let mut more = shop();
    more[0].endpoints.push("10.244.0.7:8080".parse().unwrap());
    let error = node.try_sync(&desired(&more)).unwrap_err();
    assert!(matches!(error, ApplyError::Foreign(_)), "{error}");
    node.reconcile(&desired(&more));
    assert_eq!(node.observe(), desired(&more));
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn a_server_that_was_there_without_a_sign_of_ours_asks_for_a_look() {
    require_ipvs();
    let namespace = Namespace::new("unknown").unwrap();
    let mut node = Node::start(&namespace);
    for line in [
        "ipvsadm -A -t 10.1.0.20:80 -s lc",
        "ipvsadm -a -t 10.1.0.20:80 -r 192.0.2.7:80 -m",
    ] {
        text(&namespace, line);
    }
    node.reconcile(&desired(&[]));
    let error = node.try_sync(&desired(&shop())).unwrap_err();
    assert!(matches!(error, ApplyError::Foreign(_)), "{error}");
    node.sync(&desired(&shop()));
    assert_eq!(node.observe(), desired(&shop()));
    assert!(!text(&namespace, "ipvsadm -Sn").contains("192.0.2.7"));
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn a_scheduler_that_is_missing_is_named() {
    use viprule_writer::ipvs::probe;
    require_ipvs();
    let namespace = Namespace::new("probe").unwrap();
    let ask = |name: &str| {
        let scheduler = name.parse().unwrap();
        namespace
            .run(|| probe(crate::common::backend(), &scheduler))
            .unwrap()
    };
    for name in [
        "rr", "wrr", "lc", "wlc", "sh", "mh", "sed", "nq", "fo", "ovf",
    ] {
        ask(name).unwrap();
    }
    let error = ask("nonsense").unwrap_err().to_string();
    assert!(error.contains("ip_vs_nonsense"), "{error}");
    assert_eq!(lines(&namespace, "ipvsadm -Sn"), [""; 0], "nothing is made");
}

/// One of Linux' schedulers that this kernel lacks: `twos` is the youngest.
const LACKING: &str = "twos";

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn a_scheduler_that_the_kernel_lacks_is_told_and_one_that_linux_lacks_is_not_asked_for() {
    require_ipvs();
    let namespace = Namespace::new("lacking").unwrap();
    let mut node = Node::start(&namespace);
    let service = || Service::tcp("10.1.0.20:80", &["10.244.0.5:8080"]);
    node.reconcile(&desired(&[service()]));
    let before = node.ipvsadm();
    let lacking = Feature::Scheduler(LACKING.parse().unwrap());
    assert!(!node.run(|writer| writer.has(&lacking)).unwrap());
    let wanted = desired(&[service().scheduled_by(LACKING)]);
    node.try_sync(&wanted).unwrap_err();
    assert_eq!(node.writer.take_lacking(), [lacking].into());
    assert_eq!(node.writer.take_lacking(), [].into());
    // The module of that name is IPVS' FTP helper, no scheduler.
    let wanted = desired(&[service().scheduled_by("ftp")]);
    let error = node.try_sync(&wanted).unwrap_err().to_string();
    assert!(error.contains("none that Linux has"), "{error}");
    assert_eq!(node.writer.take_lacking(), [].into());
    let modules = std::fs::read_to_string("/proc/modules").unwrap();
    assert!(!modules.contains("ip_vs_ftp"), "{modules}");
    assert_eq!(node.ipvsadm(), before, "what was there stays");
}

#[test]
#[ignore = "needs IPVS: run by scripts/vm"]
fn an_unused_set_of_our_name_is_made_anew_and_one_in_use_is_told() {
    require_ipvs();
    let wanted = desired(&shop());
    for made in [
        "hash:ip,port timeout 600",
        "hash:ip,port family inet6",
        "hash:ip,port counters",
        "hash:ip,port maxelem 16",
        "hash:ip",
        "bitmap:port range 0-1023",
    ] {
        let namespace = Namespace::new("sets").unwrap();
        text(&namespace, &format!("ipset create KUBE-CLUSTER-IP {made}"));
        text(
            &namespace,
            "ipset create KUBE-NODE-PORT-TCP bitmap:port range 0-80",
        );
        let mut node = Node::start(&namespace);
        node.reconcile(&wanted);
        assert_eq!(node.observe(), wanted, "{made}");
        let found = namespace.run(viprule_testkit::leftovers::find).unwrap();
        let set = Leftover::Set("KUBE-CLUSTER-IP".to_owned());
        assert!(found.unwrap().contains(&set), "{made}");

        let namespace = Namespace::new("sets").unwrap();
        text(
            &namespace,
            "ipset create KUBE-CLUSTER-IP hash:ip,port timeout 600",
        );
        text(&namespace, "ipset add KUBE-CLUSTER-IP 192.0.2.1,tcp:80");
        let rule = "INPUT -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT";
        text(&namespace, &format!("iptables -A {rule}"));
        let mut node = Node::start(&namespace);
        let error = node.try_sync(&wanted).unwrap_err();
        let ApplyError::Refused { refusals, .. } = error else {
            panic!("{error}");
        };
        let reason = &refusals[0].reason;
        assert!(reason.contains("1 rule or set use it: remove"), "{reason}");
        let listed = text(&namespace, "ipset list KUBE-CLUSTER-IP");
        assert!(listed.contains("192.0.2.1,tcp:80"), "{listed}");
        let removal = namespace
            .run(viprule_testkit::leftovers::remove)
            .unwrap()
            .unwrap();
        assert!(removal.left.iter().any(|(it, _)| *it == set), "{removal:?}");
        text(&namespace, &format!("iptables -D {rule}"));
        node.reconcile(&wanted);
        assert_eq!(node.observe(), wanted);
    }
}
