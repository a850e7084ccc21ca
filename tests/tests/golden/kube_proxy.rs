//! The golden cluster against what kube-proxy 1.36 wrote for it.

use std::collections::BTreeSet;
use std::fs;

use viprule_testkit::dump::Dump;

use crate::{folder, render};

/// The API server adds this Service, which is in no manifest.
const APISERVER: &str = "default/kubernetes:https";

/// Chains in which Services come in no order.
const UNORDERED: [(&str, &str); 2] = [("nat", "KUBE-SERVICES"), ("nat", "KUBE-NODEPORTS")];

fn theirs(file: &str) -> Dump {
    let mut dump =
        Dump::parse(&fs::read_to_string(folder().join("cluster").join(file)).unwrap()).unwrap();
    for chain in dump
        .tables
        .values_mut()
        .flat_map(|table| table.chains.values_mut())
    {
        chain.rules.retain(|rule| !rule.contains(APISERVER));
    }
    dump
}

/// Both families, IPv4 first.
fn ours() -> [Dump; 2] {
    let text = render(&folder().join("cluster"), "iptables");
    let second = text.rfind("*mangle").unwrap();
    [&text[..second], &text[second..]].map(|text| Dump::parse(text).unwrap())
}

fn rules<'a>(dump: &'a Dump, table: &str) -> BTreeSet<&'a str> {
    let chains = dump.tables[table].chains.values();
    chains
        .flat_map(|chain| chain.rules.iter().map(String::as_str))
        .collect()
}

#[test]
fn rules_are_kube_proxys_line_for_line() {
    let theirs = ["iptables-save.txt", "ip6tables-save.txt"].map(theirs);
    for (ours, theirs) in ours().iter().zip(&theirs) {
        for table in ["mangle", "filter", "nat"] {
            let (ours, theirs) = (rules(ours, table), rules(theirs, table));
            let missing: Vec<_> = theirs.difference(&ours).collect();
            let surplus: Vec<_> = ours.difference(&theirs).collect();
            assert!(
                missing.is_empty() && surplus.is_empty(),
                "-{missing:#?}\n+{surplus:#?}"
            );
        }
        assert!(ours.rule_count() > 30, "only {} rules", ours.rule_count());
        assert_eq!(ours.rule_count(), theirs.rule_count());
    }
}

#[test]
fn chains_are_kube_proxys_in_its_order() {
    let theirs = ["iptables-save.txt", "ip6tables-save.txt"].map(theirs);
    for (ours, theirs) in ours().iter().zip(&theirs) {
        for (name, table) in &theirs.tables {
            for (chain, theirs) in &table.chains {
                // Built-in chains without rules are there for iptables alone.
                if theirs.rules.is_empty() && theirs.policy.is_some() {
                    continue;
                }
                let found = ours.tables[name].chains.get(chain);
                let found = found.unwrap_or_else(|| panic!("{name} {chain} is missing"));
                if !UNORDERED.contains(&(name, chain)) {
                    assert_eq!(found.rules, theirs.rules, "{name} {chain}");
                }
            }
            let ours: BTreeSet<_> = ours.tables[name].chains.keys().collect();
            let theirs: BTreeSet<_> = table.chains.keys().collect();
            assert!(ours.is_subset(&theirs), "{:?}", ours.difference(&theirs));
        }
    }
}

/// Where Services come in no order, some rules keep theirs all the same.
#[test]
fn rules_that_must_be_last_are_last() {
    for dump in ours() {
        let rules = dump.rules("nat", "KUBE-SERVICES");
        assert!(rules.last().unwrap().contains("this must be the last rule"));
        let rules = dump.rules("nat", "KUBE-NODEPORTS");
        let counting: Vec<bool> = rules.iter().map(|rule| rule.contains("nfacct")).collect();
        assert!(counting.is_sorted_by(|a, b| a >= b), "{rules:#?}");
    }
}
