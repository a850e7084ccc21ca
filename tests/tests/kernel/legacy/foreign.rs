//! What others have, and what others do.

use viprule_dataplane::Scope;
use viprule_testkit::dump::Dump;

use super::support::{Node, uncounted};
use crate::support::{Place, chain_of};

/// Foreign chains and rules everywhere.
const FOREIGN: [&str; 9] = [
    "iptables-legacy -N CNI-OTHER",
    "iptables-legacy -A CNI-OTHER -s 192.0.2.1 -j RETURN",
    "iptables-legacy -I INPUT 1 -s 192.0.2.2 -j ACCEPT",
    "iptables-legacy -A FORWARD -j CNI-OTHER",
    "iptables-legacy -t mangle -N KUBE-KUBELET-CANARY",
    "iptables-legacy -t nat -N KUBE-SVC-MINE",
    "iptables-legacy -t nat -A KUBE-SVC-MINE -p tcp --dport 80 -j DNAT --to-destination 192.0.2.3",
    "iptables-legacy -t nat -A POSTROUTING -s 192.0.2.4 -j MASQUERADE",
    "ip6tables-legacy -A INPUT -s 2001:db8::1 -j ACCEPT",
];

fn foreign(saved: &[Dump; 2]) -> [Dump; 2] {
    saved.each_ref().map(Dump::foreign)
}

/// What is of ours, kubelet's chain and what leads there left out.
fn ours(saved: &[Dump; 2]) -> Vec<String> {
    let tables = saved
        .iter()
        .flat_map(|dump| dump.ours().tables.into_values());
    let chains = tables.flat_map(|table| table.chains);
    let chains = chains.filter(|(name, _)| name != "KUBE-FIREWALL");
    let text = chains.flat_map(|(name, chain)| {
        let rules = chain.rules.into_iter();
        let rules = rules.filter(|rule| !rule.ends_with("-j KUBE-FIREWALL"));
        let itself = chain.policy.is_none().then_some(name);
        itself.into_iter().chain(rules).collect::<Vec<_>>()
    });
    text.collect()
}

#[test]
fn cleanup_takes_everything_of_ours_and_nothing_foreign() {
    let mut node = Node::new(Place::golden(), uncounted());
    for line in FOREIGN {
        node.place.tool(line);
    }
    let before = foreign(&node.saved());
    node.look().unwrap();
    node.assert_right();
    assert_eq!(
        foreign(&node.saved())[0].rules("filter", "INPUT"),
        before[0].rules("filter", "INPUT")
    );
    assert!(ours(&node.saved()).len() > 100);

    let report = node.remove_everything();
    assert_eq!(report.refused, [""; 0]);
    assert_eq!(ours(&node.saved()), [""; 0]);
    for (now, before) in foreign(&node.saved()).iter().zip(&before) {
        for (name, table) in &before.tables {
            for (chain, held) in &table.chains {
                assert_eq!(now.rules(name, chain), held.rules, "{name} {chain}");
                assert!(
                    now.tables[name].chains.contains_key(chain),
                    "{name} {chain}"
                );
            }
        }
    }
    node.fed();
    assert!(node.remove_everything().is_empty());
    assert_eq!(node.fed(), "");
}

#[test]
fn rules_in_built_in_chains_come_back_to_their_places_among_foreign_ones() {
    let mut node = Node::new(Place::small(), uncounted());
    node.look().unwrap();
    for line in [
        "iptables-legacy -I FORWARD 1 -s 192.0.2.1 -j ACCEPT",
        "iptables-legacy -I FORWARD 3 -s 192.0.2.2 -j ACCEPT",
        "iptables-legacy -A FORWARD -s 192.0.2.3 -j ACCEPT",
    ] {
        node.place.tool(line);
    }
    for gone in [vec![5], vec![3, 4], vec![1], vec![2, 3, 4, 5]] {
        let before = node.saved()[0].rules("filter", "FORWARD").to_vec();
        assert_eq!(before.len(), 7);
        for at in gone.iter().rev() {
            node.place
                .tool(&format!("iptables-legacy -D FORWARD {}", at + 1));
        }
        let report = node.look().unwrap();
        assert_eq!(
            (report.created, report.removed),
            (gone.len(), 0),
            "{gone:?}"
        );
        let now = node.saved()[0].rules("filter", "FORWARD").to_vec();
        for of_ours in [true, false] {
            let some = |rules: &[String]| -> Vec<String> {
                let rules = rules.iter();
                let rules = rules.filter(|rule| rule.contains("KUBE-") == of_ours);
                rules.cloned().collect()
            };
            assert_eq!(some(&now), some(&before), "{gone:?}");
        }
        // Beside one of ours with nothing foreign between.
        if gone == [5] || gone == [3, 4] {
            assert_eq!(now, before, "{gone:?}");
        }
    }
}

#[test]
fn what_others_change_is_put_right() {
    let mut node = Node::new(Place::small(), uncounted());
    node.look().unwrap();
    let chain = chain_of(
        node.saved()[0].rules("nat", "KUBE-SERVICES"),
        "shop/b:http cluster IP",
    );
    for line in [
        "iptables-legacy -t nat -D PREROUTING 1".to_owned(),
        format!("iptables-legacy -t nat -F {chain}"),
        "iptables-legacy -t nat -D KUBE-SERVICES 2".to_owned(),
        "iptables-legacy -t nat -A KUBE-SERVICES -d 10.1.0.99 -j RETURN".to_owned(),
        "iptables-legacy -t nat -N KUBE-SEP-AAAAAAAAAAAAAAAA".to_owned(),
        "ip6tables-legacy -t filter -F KUBE-FORWARD".to_owned(),
    ] {
        node.place.tool(&line);
    }
    let report = node.look().unwrap();
    assert!(
        report.created >= 2 && report.replaced == 2 && report.removed >= 2,
        "{report:?}"
    );
    node.assert_right();
}

#[test]
fn a_change_on_stale_knowledge_ends_right_and_blames_nobody() {
    let mut node = Node::new(Place::small(), uncounted());
    node.look().unwrap();
    // The rule that is to be deleted is gone, and a chain that is to be led to.
    node.place.tool("iptables-legacy -t nat -F KUBE-SERVICES");
    node.place.tool("iptables-legacy -t nat -F KUBE-NODEPORTS");
    std::fs::remove_file(node.place.folder.path().join("b.yaml")).unwrap();
    let report = node.follow();
    assert_eq!(report.refused, [""; 0]);
    node.assert_right();
}

/// The first look finds no tables, which takes so little that the next one is due before they are
/// written.
fn look_at_full_tables(node: &mut Node) {
    node.look().unwrap();
    assert!(node.look().unwrap().is_empty());
}

#[test]
fn a_flush_is_noticed_by_the_canary() {
    let mut node = Node::new(Place::small(), uncounted());
    look_at_full_tables(&mut node);
    assert_eq!(node.foreign_changes(), Scope::nothing());
    for table in ["mangle", "filter", "nat"] {
        node.place.tool(&format!("iptables-legacy -t {table} -F"));
        node.place.tool(&format!("iptables-legacy -t {table} -X"));
    }
    assert_eq!(node.foreign_changes(), Scope::Everything);
    let report = node.look().unwrap();
    assert!(report.created > 20 && report.removed == 0, "{report:?}");
    node.assert_right();
    assert_eq!(node.foreign_changes(), Scope::nothing());
}

#[test]
fn everything_is_looked_at_again_after_a_thousand_times_what_a_look_takes() {
    let mut node = Node::new(Place::empty(), uncounted());
    assert_eq!(node.foreign_changes(), Scope::Everything, "never looked");
    look_at_full_tables(&mut node);
    assert_eq!(node.foreign_changes(), Scope::nothing());
}
