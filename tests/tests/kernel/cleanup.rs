//! `cleanup`

use viprule_testkit::dump::{Dump, ForeignState};

use crate::support::{Place, chain_of};

/// Foreign chains, rules, tables and sets everywhere.
fn foreign(place: &Place) {
    for line in [
        "iptables-nft -N CNI-OTHER",
        "iptables-nft -A CNI-OTHER -s 192.0.2.1 -j RETURN",
        "iptables-nft -I INPUT 1 -s 192.0.2.2 -j ACCEPT",
        "iptables-nft -A FORWARD -j CNI-OTHER",
        "iptables-nft -t nat -N KUBE-KUBELET-CANARY",
        "iptables-nft -t nat -N KUBE-SVC-MINE",
        "iptables-nft -t nat -A KUBE-SVC-MINE -p tcp --dport 80 -j DNAT --to-destination 192.0.2.3",
        "iptables-nft -t raw -A PREROUTING -s 192.0.2.4 -j DROP",
        "ip6tables-nft -A INPUT -s 2001:db8::1 -j ACCEPT",
        "nft add table inet other",
        "nft add set inet other peers { type ipv4_addr ; elements = { 192.0.2.5 } ; }",
        "nft add chain inet other in { type filter hook input priority 0 ; }",
        "nft add rule inet other in ip saddr @peers drop",
    ] {
        place.tool(line);
    }
}

/// What stays of ours: the chain that kubelet uses as well, and what leads there.
fn is_kubelets(dump: &Dump) -> bool {
    let ours = dump.ours();
    let mut chains = ours.tables.values().flat_map(|table| &table.chains);
    chains.all(|(name, chain)| {
        name == "KUBE-FIREWALL"
            || chain.policy.is_some()
                && chain
                    .rules
                    .iter()
                    .all(|rule| rule.ends_with("-j KUBE-FIREWALL"))
    })
}

#[test]
fn everything_of_ours_goes_and_nothing_foreign() {
    let place = Place::golden();
    foreign(&place);
    let before = ForeignState::take(&place.namespace).unwrap();
    place.viprule("apply", &[]).ok();
    assert_eq!(
        before.changes(&ForeignState::take(&place.namespace).unwrap()),
        ""
    );

    let (generation, dump) = (place.generation(), place.dump());
    let said = place.viprule("cleanup", &["--dry-run"]).ok();
    assert_eq!((place.generation(), place.dump()), (generation, dump));
    let removed = said.lines().filter(|line| line.starts_with("--A ")).count();
    assert!(removed > 150, "{said}");
    assert!(
        !said
            .lines()
            .any(|line| line.starts_with('+') && !line.starts_with("+++"))
    );

    let report = place.viprule("cleanup", &[]).ok();
    assert!(report.ends_with(" removed in 1 transaction\n"), "{report}");
    assert_eq!(
        before.changes(&ForeignState::take(&place.namespace).unwrap()),
        ""
    );
    let dumps = place.dump();
    assert!(dumps.iter().all(is_kubelets), "{}{}", dumps[0], dumps[1]);
    let generation = place.generation();
    assert_eq!(place.viprule("cleanup", &[]).ok(), "nothing to change\n");
    assert_eq!(place.generation(), generation);
}

#[test]
fn a_chain_that_a_foreign_rule_leads_to_is_named_and_all_else_goes() {
    let place = Place::small();
    place.viprule("apply", &[]).ok();
    let chain = chain_of(
        &place.rules("nat", "KUBE-SERVICES"),
        "shop/b:http cluster IP",
    );
    place.tool("iptables-nft -t nat -N CNI-OTHER");
    place.tool(&format!(
        "iptables-nft -t nat -A CNI-OTHER -s 192.0.2.1 -j {chain}"
    ));
    let answer = place.viprule("cleanup", &[]);
    assert_eq!(answer.code, 2, "{}", answer.all());
    let refused: Vec<&str> = answer
        .out
        .lines()
        .filter(|line| line.starts_with("refused by the kernel: "))
        .collect();
    assert!(
        refused.len() == 1 && refused[0].contains(&chain),
        "{}",
        answer.out
    );

    let [ipv4, ipv6] = place.dump();
    let nat = &ipv4.ours().tables["nat"].chains;
    let left: Vec<_> = nat.iter().filter(|(_, it)| it.policy.is_none()).collect();
    let [(name, held)] = left[..] else {
        panic!("{ipv4}");
    };
    assert_eq!((name, &held.rules[..]), (&chain, &[][..]));
    assert_eq!(ipv4.rules("nat", "CNI-OTHER").len(), 1);
    assert!(is_kubelets(&ipv6));

    place.tool("iptables-nft -t nat -F CNI-OTHER");
    place.viprule("cleanup", &[]).ok();
    assert!(place.dump().iter().all(is_kubelets));
}

#[test]
fn cleanup_of_nothing_is_nothing() {
    let place = Place::empty();
    let generation = place.generation();
    assert_eq!(place.viprule("cleanup", &["--dry-run"]).ok(), "");
    assert_eq!(place.viprule("cleanup", &[]).ok(), "nothing to change\n");
    assert_eq!(place.generation(), generation);
}
