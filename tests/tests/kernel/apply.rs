//! `apply` and `diff`.

use std::collections::BTreeSet;

use viprule_testkit::dump::Dump;

use crate::support::{Place, endpoints_of};

fn lines(text: &str) -> BTreeSet<&str> {
    text.lines()
        .filter(|line| line.starts_with("-A "))
        .collect()
}

#[test]
fn iptables_save_prints_what_render_prints() {
    let place = Place::golden();
    let applied = place.viprule("apply", &[]).ok();
    assert!(applied.contains("in 1 transaction\n"), "{applied}");
    let rendered = place.viprule("render", &[]).ok();
    let saved = ["iptables-nft-save", "ip6tables-nft-save"].map(|tool| place.tool(tool));
    assert!(lines(&rendered).len() > 100);
    assert_eq!(lines(&saved.concat()), lines(&rendered));
    for text in &saved {
        assert!(!text.contains("incompatible"), "{text}");
    }

    let second = rendered.rfind("*mangle").unwrap();
    for (text, saved) in [&rendered[..second], &rendered[second..]]
        .iter()
        .zip(&saved)
    {
        let (rendered, saved) = (Dump::parse(text).unwrap(), Dump::parse(saved).unwrap());
        for (name, table) in &rendered.tables {
            for (chain, rendered) in &table.chains {
                if !matches!(chain.as_str(), "KUBE-SERVICES" | "KUBE-NODEPORTS") {
                    assert_eq!(saved.rules(name, chain), rendered.rules, "{name} {chain}");
                }
            }
            let has = &saved.tables[name].chains;
            assert!(table.chains.keys().all(|chain| has.contains_key(chain)));
        }
    }
}

#[test]
fn a_second_apply_sends_nothing() {
    let place = Place::golden();
    let different = place.viprule("diff", &[]);
    assert_eq!(different.code, 1, "{}", different.err);
    assert!(different.out.contains("\n@@ ipv6 nat KUBE-SERVICES @@\n"));
    place.viprule("apply", &[]).ok();
    place.assert_in_sync();
    let generation = place.generation();
    assert_eq!(place.viprule("apply", &[]).ok(), "nothing to change\n");
    place.assert_in_sync();
    assert_eq!(place.generation(), generation);
}

#[test]
fn diff_changes_nothing() {
    let place = Place::golden();
    let generation = place.generation();
    assert_eq!(place.viprule("diff", &[]).code, 1);
    assert_eq!(place.generation(), generation);
    assert_eq!(
        place
            .namespace
            .sysctl("net/ipv4/conf/all/route_localnet")
            .unwrap(),
        "0"
    );
}

#[test]
fn a_change_is_what_diff_said() {
    let place = Place::small();
    place.viprule("apply", &[]).ok();
    place.write("b", 2, &["10.244.0.5", "10.244.9.9"]);
    let said = place.viprule("diff", &[]);
    assert_eq!(said.code, 1);
    let gone = said
        .out
        .lines()
        .filter(|line| line.starts_with("--A "))
        .count();
    let new = said
        .out
        .lines()
        .filter(|line| line.starts_with("+-A "))
        .count();
    // The endpoint's own two rules and the one that leads there.
    assert_eq!((gone, new), (3, 3), "{}", said.out);
    let generation = place.generation();
    assert_eq!(
        place.viprule("apply", &[]).ok(),
        "service shop/b: 1 created, 1 replaced, 0 removed\n\
         leftovers: 0 created, 0 replaced, 1 removed\n\
         1 objects created, 1 replaced, 1 removed in 1 transaction\n"
    );
    assert_eq!(place.generation(), generation + 1);
    place.assert_in_sync();
}

#[test]
fn one_family_leaves_the_other_alone() {
    let place = Place::golden();
    place.viprule("apply", &[]).ok();
    let [_, ipv6] = place.dump();
    let text = endpoints_of("gone", &["10.244.0.9"]);
    place.folder.write("cluster.yaml", &text).unwrap();
    place
        .viprule("apply", &["--ip-family=ipv4", "--allow-empty"])
        .ok();
    let [ipv4, same] = place.dump();
    assert_eq!(same, ipv6);
    assert!(
        ipv4.rules("nat", "KUBE-SERVICES").len() == 1,
        "Services are gone"
    );
    assert_eq!(place.viprule("diff", &["--ip-family=ipv4"]).code, 0);
    assert_eq!(place.viprule("diff", &[]).code, 1);

    let other = Place::golden();
    other.viprule("apply", &["--ip-family=ipv6"]).ok();
    assert_eq!(other.dump()[0].ours().rule_count(), 0);
    assert!(other.dump()[1].ours().rule_count() > 30);
}

#[test]
fn node_ports_on_loopback_need_a_setting_that_apply_makes() {
    let place = Place::small();
    let setting = "net/ipv4/conf/all/route_localnet";
    let off = "--iptables-localhost-nodeports=false";
    place.viprule("apply", &[off]).ok();
    assert_eq!(place.namespace.sysctl(setting).unwrap(), "0");
    place.viprule("apply", &[]).ok();
    assert_eq!(place.namespace.sysctl(setting).unwrap(), "1");
}

#[test]
fn a_node_without_ipv6_gets_none_unless_asked() {
    let place = Place::golden();
    place
        .namespace
        .set_sysctl("net/ipv6/conf/all/disable_ipv6", "1")
        .unwrap();
    place.viprule("apply", &[]).ok();
    place.assert_in_sync();
    let [ipv4, ipv6] = place.dump();
    assert!(ipv4.ours().rule_count() > 100);
    assert_eq!(ipv6.ours().rule_count(), 0);
    place.viprule("apply", &["--ip-family=ipv4,ipv6"]).ok();
    assert!(place.dump()[1].ours().rule_count() > 30);
}

#[test]
fn nodes_that_let_invalid_packets_through_have_no_rule_against_them() {
    let place = Place::small();
    let setting = "net/netfilter/nf_conntrack_tcp_be_liberal";
    let drops = |place: &Place| {
        let rules = place.rules("filter", "KUBE-FORWARD");
        rules.iter().any(|rule| rule.contains("--ctstate INVALID"))
    };
    place.viprule("apply", &[]).ok();
    assert!(drops(&place));
    place.namespace.set_sysctl(setting, "1").unwrap();
    place.viprule("apply", &[]).ok();
    assert!(!drops(&place));
    place.assert_in_sync();
}
