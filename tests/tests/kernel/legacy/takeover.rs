//! Where kube-proxy was before, in legacy tables.

use std::os::unix::fs::symlink;
use std::path::Path;

use viprule_dataplane::iptables::Settings;
use viprule_dataplane::{CommonSettings, DetectLocal};
use viprule_writer::netfilter::probe;

use super::support::Node;
use crate::support::{LIMIT, Place, golden};

#[test]
fn kube_proxys_rules_stay_but_for_its_apiservers_service() {
    let place = Place::golden();
    let made = place.namespace.run(|| probe(true)).unwrap();
    assert!(made.unwrap().nfacct);
    for family in ["iptables", "ip6tables"] {
        let file = golden().join(format!("{family}-save.txt"));
        let text = std::fs::read_to_string(file).unwrap();
        let restore = place.namespace.command(&format!("{family}-legacy-restore"));
        restore.input(text).text().unwrap();
    }
    let networks = ["10.244.0.0/16", "fd00:10:244::/48"];
    let settings = Settings {
        common: CommonSettings {
            detect_local: DetectLocal::ClusterCidr(
                networks.map(|network| network.parse().unwrap()).to_vec(),
            ),
            ..CommonSettings::default()
        },
        ..Settings::default()
    };
    let mut node = Node::new(place, settings);
    let report = node.look().unwrap();
    let counts = (report.created, report.replaced, report.removed);
    assert_eq!((counts, report.transactions), ((0, 0, 1), 1), "{report:?}");
    let fed = node.fed();
    let [_, "*filter", line, "COMMIT"] = fed.lines().collect::<Vec<_>>()[..] else {
        panic!("{fed}");
    };
    assert!(
        line.starts_with("-D KUBE-SERVICES -d 10.1.0.1/32 "),
        "{line}"
    );
    node.assert_right();
}

/// A node whose iptables is the nf_tables one now, with another proxy's rules in legacy tables.
fn moved_on() -> Place {
    let place = Place::golden();
    // Its counters have no bearing here.
    for family in ["iptables", "ip6tables"] {
        let file = golden().join(format!("{family}-save.txt"));
        let text = std::fs::read_to_string(file).unwrap();
        let lines = text.lines().filter(|line| !line.contains("-m nfacct "));
        let text = lines.collect::<Vec<_>>().join("\n") + "\n";
        let restore = place.namespace.command(&format!("{family}-legacy-restore"));
        restore.input(text).text().unwrap();
    }
    place
}

/// Chains of a service proxy in legacy tables.
fn legacy_chains(place: &Place) -> [usize; 2] {
    ["iptables", "ip6tables"].map(|family| {
        let saved = place.tool(&format!("{family}-legacy-save"));
        saved.matches("\n:KUBE-SVC-").count()
    })
}

#[test]
fn leftovers_of_one_family_go_where_the_other_ones_programs_are_missing() {
    let place = moved_on();
    let [four, six] = legacy_chains(&place);
    assert!(four > 0 && six > 0);
    let folder = place.directory().join("tools");
    std::fs::create_dir(&folder).unwrap();
    for what in ["save", "restore"] {
        let name = format!("iptables-legacy-{what}");
        symlink(Path::new("/usr/sbin").join(&name), folder.join(name)).unwrap();
    }
    let mut agent = place.start_with_path(&folder, &["--iptables-backend=nft"]);
    let line = agent.wait_for_line("removed what an earlier proxy left", LIMIT);
    let line = line.unwrap();
    assert!(
        line.contains("IPv4 objects over legacy") && !line.contains("IPv6"),
        "{line}"
    );
    let warned = agent.wait_for_line("IPv6 chains of a service proxy", LIMIT);
    let warned = warned.unwrap();
    assert!(warned.contains("install the package iptables"), "{warned}");
    assert_eq!(legacy_chains(&place), [0, six]);
}

#[test]
fn leftovers_of_a_family_that_is_not_served_stay() {
    let place = moved_on();
    let [four, six] = legacy_chains(&place);
    assert!(four > 0 && six > 0);
    let mut agent = place.start(&["--iptables-backend=nft", "--ip-family=ipv4"]);
    let line = agent.wait_for_line("removed what an earlier proxy left", LIMIT);
    assert!(line.unwrap().contains("IPv4 objects over legacy"));
    assert_eq!(legacy_chains(&place), [0, six]);
}
