//! What is written, and what it becomes.

use std::collections::BTreeSet;

use viprule_dataplane::iptables::Settings;
use viprule_writer::netfilter::probe;

use super::support::{Node, uncounted};
use crate::support::Place;

#[test]
fn the_golden_cluster_becomes_the_lines_of_iptables_save_and_a_second_look_writes_nothing() {
    let place = Place::golden();
    let made = place.namespace.run(|| probe(true)).unwrap();
    assert!(made.unwrap().nfacct);
    let mut node = Node::new(place, Settings::default());
    let report = node.look().unwrap();
    assert!(
        report.created > 100 && report.refused.is_empty(),
        "{report:?}"
    );
    // mangle, filter and nat of both families.
    assert_eq!(report.transactions, 6);
    node.assert_right();
    let fed = node.fed();
    for family in ["iptables", "ip6tables"] {
        let run = format!("# {family}-legacy-restore -w 5 --noflush --counters\n");
        assert_eq!(fed.matches(&run).count(), 1, "{fed}");
    }

    let report = node.look().unwrap();
    assert!(report.is_empty() && report.transactions == 0, "{report:?}");
    assert_eq!(node.fed(), "");

    // Somebody who has just started finds everything in place too.
    node.restart();
    let report = node.look().unwrap();
    assert!(report.is_empty() && report.transactions == 0, "{report:?}");
    assert_eq!(node.fed(), "");
}

#[test]
fn one_endpoint_s_change_is_written_with_the_chains_that_it_changes_only() {
    let mut node = Node::new(Place::small(), uncounted());
    node.look().unwrap();
    node.fed();
    node.place.write("b", 2, &["10.244.0.5", "10.244.9.9"]);
    let report = node.follow();
    assert_eq!((report.created, report.replaced, report.removed), (1, 1, 1));

    let fed = node.fed();
    let lines: Vec<&str> = fed.lines().collect();
    assert_eq!(
        lines[0],
        "# iptables-legacy-restore -w 5 --noflush --counters"
    );
    assert_eq!(
        (lines[1], *lines.last().unwrap()),
        ("*nat", "COMMIT"),
        "{fed}"
    );
    let chains: BTreeSet<&str> = lines
        .iter()
        .filter_map(|line| line.strip_prefix(':'))
        .filter_map(|line| line.split(' ').next())
        .collect();
    // The Service's chain, the new endpoint's and the old one's.
    assert_eq!(chains.len(), 3, "{fed}");
    let removed: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("-X "))
        .collect();
    assert_eq!(removed.len(), 1, "{fed}");
    let rules = lines.iter().filter(|line| line.starts_with("-A "));
    for rule in rules.clone() {
        let chain = rule.split(' ').nth(1).unwrap();
        assert!(
            chains.contains(chain) && !removed.contains(&chain),
            "{rule}"
        );
    }
    // Two of the new endpoint, and of the Service what leads to both endpoints.
    assert_eq!(rules.count(), 4, "{fed}");
    node.assert_right();
}
