//! What kube-proxy left behind in other modes, or we did.

#![allow(clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use nfnetlink::Family;
use viprule_testkit::Namespace;
use viprule_testkit::leftovers::{find, remove};
use viprule_testkit::netns::require_privileges;
use viprule_writer::leftovers::{Leftover, Removal, TableOf, tables};

const NFT: &str = include_str!("leftovers/nft-list-ruleset.txt");
const SETS: &str = include_str!("leftovers/ipset-save.txt");

fn namespace() -> Namespace {
    require_privileges().unwrap();
    Namespace::new("former").unwrap()
}

fn feed(namespace: &Namespace, program: &[&str], input: &str) {
    let command = namespace.command(program[0]).args(&program[1..]);
    command.input(input).text().unwrap();
}

fn text(namespace: &Namespace, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    namespace
        .command(words[0])
        .args(&words[1..])
        .text()
        .unwrap()
}

fn found(namespace: &Namespace) -> Vec<Leftover> {
    namespace.run(find).unwrap().unwrap()
}

fn removal(namespace: &Namespace) -> Removal {
    namespace.run(remove).unwrap().unwrap()
}

#[test]
fn an_untouched_namespace_has_none() {
    let namespace = namespace();
    assert_eq!(found(&namespace), []);
    assert_eq!(removal(&namespace), Removal::default());
}

#[test]
fn tables_of_nftables_mode_go_and_others_stay() {
    let namespace = namespace();
    feed(
        &namespace,
        &["nft", "-f", "-"],
        "table inet kube-proxy { }\ntable ip kube-proxy-2 { }\ntable arp kube-proxy { }\n\
         table inet viprule { }\ntable ip viprule-2 { }\n",
    );
    let before = text(&namespace, "nft list ruleset");
    feed(&namespace, &["nft", "-f", "-"], NFT);
    let ours = "table ip viprule { chain b { }; chain a { jump b; }; }\ntable ip6 viprule { }\n";
    feed(&namespace, &["nft", "-f", "-"], ours);
    let of = |of| Family::ALL.map(|family| Leftover::Table(family, of));
    let all = [of(TableOf::KubeProxy), of(TableOf::Viprule)].concat();
    assert_eq!(found(&namespace), all);
    for one in TableOf::ALL {
        let found = namespace.run(|| tables(&[one])).unwrap().unwrap();
        assert_eq!(found, of(one));
    }
    assert_ne!(text(&namespace, "nft list ruleset"), before);
    assert_eq!(removal(&namespace).removed, all);
    assert_eq!(text(&namespace, "nft list ruleset"), before);
    assert_eq!(found(&namespace), []);
}

#[test]
fn sets_of_ipvs_mode_go_and_others_stay() {
    let namespace = namespace();
    let foreign =
        "create KUBE-CLUSTER-IPS hash:ip,port\ncreate peers hash:ip\nadd peers 192.0.2.1\n";
    feed(&namespace, &["ipset", "restore"], foreign);
    let before = text(&namespace, "ipset save");
    // One of ours by its name, whatever its type.
    feed(
        &namespace,
        &["ipset", "restore"],
        "create KUBE-IPVS-IPS hash:net\n",
    );
    let others = SETS
        .lines()
        .filter(|line| line.split(' ').nth(1) != Some("KUBE-IPVS-IPS"));
    feed(
        &namespace,
        &["ipset", "restore"],
        &(others.collect::<Vec<_>>().join("\n") + "\n"),
    );
    let leftovers = found(&namespace);
    assert_eq!(leftovers.len(), 34);
    assert_eq!(removal(&namespace).removed, leftovers);
    assert_eq!(text(&namespace, "ipset save"), before);
    assert_eq!(found(&namespace), []);
}

#[test]
fn a_set_that_a_rule_uses_stays_and_is_told() {
    let namespace = namespace();
    feed(
        &namespace,
        &["ipset", "restore"],
        "create KUBE-CLUSTER-IP hash:ip,port\ncreate KUBE-LOOP-BACK hash:ip,port,ip\n",
    );
    let rule = "iptables-nft -A INPUT -m set --match-set KUBE-CLUSTER-IP dst,dst -j DROP";
    text(&namespace, rule);
    let removal = removal(&namespace);
    let busy = Leftover::Set("KUBE-CLUSTER-IP".to_owned());
    assert_eq!(
        removal.removed,
        [Leftover::Set("KUBE-LOOP-BACK".to_owned())]
    );
    assert_eq!(removal.left.len(), 1);
    assert_eq!(removal.left[0].0, busy);
    assert!(removal.left[0].1.contains("still used"), "{removal:?}");
    assert_eq!(found(&namespace), [busy]);
}
