//! Where kube-proxy was before.

use netlink_batch::{Socket, socket::NETFILTER};
use nfnetlink::nfacct;
use viprule_testkit::dump::{Dump, Family};

use crate::support::{Place, golden};

const COUNTERS: [&str; 2] = [
    "ct_state_invalid_dropped_pkts",
    "localhost_nps_accepted_pkts",
];

/// The golden cluster's node as kube-proxy left it.
fn kube_proxys() -> Place {
    let place = Place::golden();
    let mut socket = place
        .namespace
        .run(|| Socket::open(NETFILTER))
        .unwrap()
        .unwrap();
    for counter in COUNTERS {
        nfacct::ensure(&mut socket, counter).unwrap();
    }
    for (family, file) in Family::ALL
        .into_iter()
        .zip(["iptables-save.txt", "ip6tables-save.txt"])
    {
        let text = std::fs::read_to_string(golden().join(file)).unwrap();
        place
            .namespace
            .command(family.restore_tool())
            .input(text)
            .text()
            .unwrap();
    }
    place
}

#[test]
fn kube_proxys_rules_are_right_but_for_its_apiservers_service() {
    let place = kube_proxys();
    let answer = place.viprule("diff", &[]);
    assert_eq!(answer.code, 1, "{}", answer.err);
    let lines: Vec<&str> = answer.out.lines().collect();
    let [_, _, chain, rule] = lines[..] else {
        panic!("{}", answer.out);
    };
    assert_eq!(chain, "@@ ipv4 filter KUBE-SERVICES @@");
    assert!(
        rule.starts_with("--A KUBE-SERVICES -d 10.1.0.1/32 "),
        "{rule}"
    );
}

#[test]
fn taking_over_touches_nothing_else() {
    let place = kube_proxys();
    let (before, generation) = (place.dump(), place.generation());
    let report = place.viprule("apply", &[]).ok();
    assert!(
        report.starts_with("leftovers: 0 created, 0 replaced, 1 removed\n"),
        "{report}"
    );
    assert_eq!(place.generation(), generation + 1);
    place.assert_in_sync();
    let without_apiserver = |mut dump: Dump| {
        let chains = dump
            .tables
            .values_mut()
            .flat_map(|table| table.chains.values_mut());
        chains.for_each(|chain| {
            chain
                .rules
                .retain(|rule| !rule.contains("default/kubernetes:"));
        });
        dump
    };
    assert_eq!(place.dump(), before.map(without_apiserver));
}
