//! nftables mode beside the other ones: what each takes over from the other, and what is removed.

use viprule_testkit::Namespace;
use viprule_testkit::dump::ForeignState;

use crate::former::{feed, leftover};
use crate::support::{LIMIT, Place};

const MODE: [&str; 2] = ["--proxy-mode", "nftables"];

/// Chains of Services in an iptables' tables.
fn chains(place: &Place, backend: &str) -> usize {
    let saved = ["iptables", "ip6tables"].map(|it| place.tool(&format!("{it}-{backend}-save")));
    saved.concat().matches("\n:KUBE-SVC-").count()
}

/// Our tables, by family.
fn tables(place: &Place) -> Vec<String> {
    let tables = place.tool("nft list tables");
    let ours = ["table ip viprule", "table ip6 viprule"];
    let ours = tables.lines().filter(|line| ours.contains(line));
    ours.map(str::to_owned).collect()
}

fn assert_in_sync(place: &Place) {
    let answer = place.viprule("diff", &MODE);
    assert_eq!((answer.code, answer.all().as_str()), (0, ""));
}

/// Foreign rules, chains and tables that look like what is to go.
fn foreign(place: &Place) -> ForeignState {
    for line in [
        "iptables-nft -N KUBE-ROUTER-INPUT",
        "iptables-nft -A INPUT -j KUBE-ROUTER-INPUT",
        "iptables-nft -t nat -A POSTROUTING -s 192.0.2.1 -j MASQUERADE",
        "nft add table ip viprule-2",
        "nft add table inet viprule",
    ] {
        place.tool(line);
    }
    ForeignState::take(&place.namespace).unwrap()
}

#[test]
fn modes_take_over_from_each_other_whichever_iptables_there_is() {
    for backend in ["nft", "legacy"] {
        let place = Place::golden();
        let before = foreign(&place);
        let iptables = ["--iptables-backend", backend];
        place.viprule("apply", &iptables).ok();
        assert!(chains(&place, backend) > 10);

        let differs = place.viprule("diff", &MODE);
        let left = format!("IPv4 objects over {backend}\n-");
        assert!(differs.out.contains(&left), "{}", differs.out);
        let report = place.viprule("apply", &MODE).ok();
        assert!(report.contains(&left[..left.len() - 1]), "{report}");
        assert_eq!(chains(&place, backend), 0);
        assert_eq!(tables(&place).len(), 2);
        assert_in_sync(&place);

        let differs = place.viprule("diff", &iptables);
        let report = place.viprule("apply", &iptables).ok();
        for table in ["nftables table ip viprule", "nftables table ip6 viprule"] {
            let line = format!("\n-{table}\n");
            assert!(differs.out.contains(&line), "{}", differs.out);
            assert!(report.contains(&format!("removed {table}\n")), "{report}");
        }
        assert_eq!(tables(&place), [""; 0]);
        let answer = place.viprule("diff", &iptables);
        assert_eq!((answer.code, answer.all().as_str()), (0, ""));
        let after = ForeignState::take(&place.namespace).unwrap();
        assert_eq!(before.changes(&after), "", "{backend}");
    }
}

#[test]
fn kube_proxys_tables_go_once_ours_serve() {
    let place = Place::golden();
    let nft = ["-f", "-"];
    feed(&place, "nft", &nft, leftover("nft-list-ruleset.txt"));
    let differs = place.viprule("diff", &MODE);
    let report = place.viprule("apply", &MODE).ok();
    let table = "nftables table ip kube-proxy";
    assert!(
        differs.out.contains(&format!("\n-{table}\n"))
            && !differs.out.contains("-nftables table ip viprule"),
        "{}",
        differs.out
    );
    assert!(report.contains(&format!("removed {table}\n")), "{report}");
    assert_eq!(
        place.tool("nft list tables"),
        "table ip viprule\ntable ip6 viprule\n"
    );
    assert_in_sync(&place);
}

#[test]
fn the_agent_removes_chains_over_both_iptables() {
    let place = Place::small();
    place.viprule("apply", &["--iptables-backend", "nft"]).ok();
    let saved = place.tool("iptables-nft-save");
    place
        .viprule("apply", &["--iptables-backend", "legacy"])
        .ok();
    let restore = place.namespace.command("iptables-nft-restore");
    restore.input(saved).text().unwrap();
    assert!(["nft", "legacy"].iter().all(|it| chains(&place, it) > 0));

    let mut agent = place.start(&MODE);
    let line = agent.wait_for_line("removed what an earlier proxy left", LIMIT);
    let line = line.unwrap();
    assert!(
        line.contains("objects over nft") && line.contains("objects over legacy"),
        "{line}"
    );
    assert!(["nft", "legacy"].iter().all(|it| chains(&place, it) == 0));
    assert_in_sync(&place);
    agent.kill().unwrap();
}

#[test]
fn a_restart_writes_nothing_and_a_change_little() {
    let place = Place::small();
    let mut agent = place.run(&MODE);
    place.write("a", 1, &["10.244.0.5", "10.244.1.7", "10.244.1.8"]);
    let line = agent.wait_for_line("changed: service shop/a", LIMIT);
    let line = line.unwrap();
    assert!(line.contains("transactions=1"), "{line}");
    assert_in_sync(&place);
    agent.kill().unwrap();

    let generation = place.generation();
    let mut agent = place.run(&MODE);
    assert_eq!(place.generation(), generation);
    place.tool("nft delete table ip viprule");
    agent
        .wait_for_line("another program changed our rules", LIMIT)
        .unwrap();
    assert_in_sync(&place);
    agent.kill().unwrap();
}

#[test]
fn what_nft_lists_it_reads_back_the_same() {
    let (place, other) = (Place::golden(), Namespace::new("other").unwrap());
    place.viprule("apply", &MODE).ok();
    let listed = place.tool("nft list ruleset");
    let nft = |args: &[&str]| other.command("nft").args(args);
    nft(&["-f", "-"]).input(listed.clone()).text().unwrap();
    assert_eq!(nft(&["list", "ruleset"]).text().unwrap(), listed);
    // Node ports are on addresses of this machine there, and of the Node object here.
    let everywhere = [
        &MODE[..],
        &["--nodeport-addresses", "192.0.2.0/24,2001:db8::/32"],
    ]
    .concat();
    place.viprule("apply", &everywhere).ok();
    let file = place.directory().join("listed");
    std::fs::write(&file, place.tool("nft list ruleset")).unwrap();
    let against = [&everywhere[..], &["--against", file.to_str().unwrap()]].concat();
    let answer = place.viprule("diff", &against);
    assert_eq!((answer.code, answer.all().as_str()), (0, ""));
}

#[test]
fn cleanup_removes_our_tables_and_says_what_is_in_them() {
    let place = Place::golden();
    let before = foreign(&place);
    place.viprule("apply", &MODE).ok();
    let said = place.viprule("cleanup", &["--dry-run"]).ok();
    for line in [
        "-table ip viprule",
        "-table ip6 viprule",
        "@@ ipv4 viprule set endpoints @@",
        "@@ ipv6 viprule nat-prerouting @@",
    ] {
        assert!(said.lines().any(|it| it == line), "{line}\n{said}");
    }
    assert_in_sync(&place);
    let said = place.viprule("cleanup", &[]).ok();
    assert!(
        said.contains("removed nftables table ip6 viprule\n"),
        "{said}"
    );
    let after = ForeignState::take(&place.namespace).unwrap();
    assert_eq!(before.changes(&after), "");
    assert_eq!(place.viprule("cleanup", &[]).ok(), "nothing to change\n");
}
