//! Where kube-proxy was before in another mode.

use std::path::Path;

use viprule_testkit::dump::{Dump, Family, ForeignState};
use viprule_testkit::leftovers;
use viprule_writer::leftovers::Removal;

use crate::support::{Place, ordered};

/// Chains that only IPVS mode makes.
const FORMER: [&str; 5] = [
    "KUBE-NODE-PORT",
    "KUBE-LOAD-BALANCER",
    "KUBE-SOURCE-RANGES-FIREWALL",
    "KUBE-IPVS-FILTER",
    "KUBE-IPVS-OUT-FILTER",
];

pub(crate) fn leftover(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/writer/tests/leftovers");
    std::fs::read_to_string(folder.join(file)).unwrap()
}

pub(crate) fn feed(place: &Place, program: &str, args: &[&str], input: String) {
    let command = place.namespace.command(program).args(args);
    command.input(input).text().unwrap();
}

/// Foreign rules, chains and sets that look like what is to go.
fn foreign(place: &Place) {
    for line in [
        "ipset create KUBE-CLUSTER-IPS hash:ip,port",
        "iptables-nft -N KUBE-NODE-PORTS",
        "iptables-nft -A INPUT -m comment --comment x -j KUBE-NODE-PORTS",
        "iptables-nft -A KUBE-NODE-PORTS -m set --match-set KUBE-CLUSTER-IPS dst,dst -j DROP",
        "iptables-nft -t nat -A POSTROUTING -s 192.0.2.1 -j MASQUERADE",
        "nft add table ip kube-proxy-2",
    ] {
        place.tool(line);
    }
}

/// The golden cluster's node as kube-proxy in IPVS mode left it.
fn ipvs(place: &Place) {
    feed(place, "ipset", &["restore"], leftover("ipset-save.txt"));
    for (family, file) in Family::ALL
        .into_iter()
        .zip(["iptables-save.txt", "ip6tables-save.txt"])
    {
        // Kernels without IPVS don't take `-m ipvs`.
        let lines = leftover(file);
        let lines = lines.lines().filter(|line| !line.contains("-m ipvs "));
        let text = lines.collect::<Vec<_>>().join("\n") + "\n";
        feed(place, family.restore_tool(), &["--noflush"], text);
    }
}

fn former_chains(dumps: &[Dump; 2]) -> Vec<&str> {
    let tables = dumps.iter().flat_map(|dump| dump.tables.values());
    let names = tables.flat_map(|table| table.chains.keys());
    names
        .map(String::as_str)
        .filter(|name| FORMER.contains(name))
        .collect()
}

fn remove_leftovers(place: &Place) -> Removal {
    place.namespace.run(leftovers::remove).unwrap().unwrap()
}

#[test]
fn rules_of_ipvs_mode_go_with_the_commit_that_brings_ours() {
    let place = Place::golden();
    foreign(&place);
    let before = ForeignState::take(&place.namespace).unwrap();
    ipvs(&place);
    assert_eq!(former_chains(&place.dump()).len(), 12);
    let generation = place.generation();
    let differs = place.viprule("diff", &[]);
    assert_eq!(
        differs.out.matches("\n-IP set KUBE-").count(),
        34,
        "{}",
        differs.out
    );
    let report = place.viprule("apply", &[]).ok();
    assert!(report.contains("removed 34 IP sets\n"), "{report}");
    assert_eq!(place.generation(), generation + 1, "in one transaction");
    place.assert_in_sync();
    assert_eq!(former_chains(&place.dump()), [""; 0]);
    assert_eq!(
        before.changes(&ForeignState::take(&place.namespace).unwrap()),
        ""
    );
    assert_eq!(place.tool("ipset list -n"), "KUBE-CLUSTER-IPS\n");
    place.assert_in_sync();
    assert_eq!(remove_leftovers(&place), Removal::default());
}

#[test]
fn what_is_left_is_what_would_be_there_without_the_former_proxy() {
    let (place, fresh) = (Place::golden(), Place::golden());
    ipvs(&place);
    for place in [&place, &fresh] {
        place.viprule("apply", &[]).ok();
    }
    let [ours, others] = [&place, &fresh].map(|it| {
        let dumps = it.dump().map(|dump| ordered(dump.ours()));
        format!("{}{}", dumps[0], dumps[1])
    });
    assert_eq!(ours, others);
}

#[test]
fn cleanup_removes_rules_of_ipvs_mode() {
    let place = Place::golden();
    foreign(&place);
    let before = ForeignState::take(&place.namespace).unwrap();
    ipvs(&place);
    let said = place.viprule("cleanup", &["--dry-run"]).ok();
    assert!(said.contains("KUBE-IPVS-FILTER"), "{said}");
    place.viprule("cleanup", &[]).ok();
    assert_eq!(former_chains(&place.dump()), [""; 0]);
    assert_eq!(remove_leftovers(&place).left, []);
    assert_eq!(
        before.changes(&ForeignState::take(&place.namespace).unwrap()),
        ""
    );
    assert_eq!(place.viprule("cleanup", &[]).ok(), "nothing to change\n");
}

#[test]
fn tables_of_nftables_mode_go_once_ours_serve() {
    let place = Place::golden();
    feed(
        &place,
        "nft",
        &["-f", "-"],
        leftover("nft-list-ruleset.txt"),
    );
    foreign(&place);
    let differs = place.viprule("diff", &[]);
    assert_eq!(differs.code, 1, "{}", differs.all());
    let report = place.viprule("apply", &[]).ok();
    for table in [
        "nftables table ip kube-proxy",
        "nftables table ip6 kube-proxy",
    ] {
        assert!(
            differs.out.contains(&format!("\n-{table}\n")),
            "{}",
            differs.out
        );
        assert!(report.contains(&format!("removed {table}\n")), "{report}");
    }
    place.assert_in_sync();
    let tables = place.tool("nft list tables");
    assert!(!tables.contains("table ip kube-proxy\n"), "{tables}");
    assert!(tables.contains("table ip kube-proxy-2\n"), "{tables}");
}
