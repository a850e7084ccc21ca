//! What real kube-proxy wrote is read and printed as it was.

use std::collections::BTreeSet;

use nfnetlink::Family;
use viprule_dataplane::netfilter::{Object, parse_save, print_save};
use viprule_dataplane::ownership::Layout;

fn lines(text: &str) -> BTreeSet<&str> {
    text.lines()
        .filter(|line| line.starts_with("-A "))
        .collect()
}

#[test]
fn kube_proxys_dump_prints_as_it_was() {
    for (family, text) in [
        (
            Family::Ipv4,
            include_str!("../../../tests/golden/cluster/iptables-save.txt"),
        ),
        (
            Family::Ipv6,
            include_str!("../../../tests/golden/cluster/ip6tables-save.txt"),
        ),
    ] {
        let state = parse_save::<Object>(Layout::Iptables, family, text).unwrap();
        let printed = print_save(family, &state);
        assert_eq!(lines(&printed), lines(text));
        assert!(
            parse_save::<Object>(Layout::Iptables, family, &printed).unwrap() == state,
            "reads back otherwise"
        );
    }
}
