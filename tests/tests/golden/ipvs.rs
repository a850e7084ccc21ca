//! The golden cluster in IPVS mode against what kube-proxy 1.36 wrote for it on a node with the
//! addresses 192.168.77.2 and `fd00:77::2`.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;

use nfnetlink::Family;
use viprule_dataplane::ipvs::{Desired, Ipvs, Saves, Section, Settings, print_save, sections};
use viprule_dataplane::{CommonSettings, DetectLocal, diff};
use viprule_service::model::Event;
use viprule_service::plan::{Budgets, PlanConfig};
use viprule_service::tracker::Tracker;
use viprule_source::manifest::Manifests;
use viprule_sync::desired;
use viprule_testkit::dump::Dump;

use crate::folder;

/// The API server adds a Service with this address, which is in no manifest.
const APISERVER: &str = "10.1.0.1";

const FILES: [(Section, &str); 5] = [
    (Section::Sets, "ipset-save.txt"),
    (Section::Servers, "ipvsadm-Sn.txt"),
    (Section::Addresses, "addresses.txt"),
    (Section::Rules(Family::Ipv4), "iptables-save.txt"),
    (Section::Rules(Family::Ipv6), "ip6tables-save.txt"),
];

fn is_of_apiserver(line: &str) -> bool {
    line.split([' ', ',', '/', ':'])
        .any(|word| word == APISERVER)
}

fn theirs(file: &str) -> String {
    let text = fs::read_to_string(folder().join("cluster/ipvs").join(file)).unwrap();
    let lines = text.split_inclusive('\n');
    lines
        .filter(|line| !is_of_apiserver(line.trim_end()))
        .collect()
}

fn settings() -> Settings {
    let networks = ["10.244.0.0/16", "fd00:10:244::/48"].map(|net| net.parse().unwrap());
    Settings {
        common: CommonSettings {
            detect_local: DetectLocal::ClusterCidr(networks.into()),
            ..CommonSettings::default()
        },
        ..Settings::default()
    }
}

fn ours() -> Desired {
    let mut tracker = Tracker::new(PlanConfig {
        node_name: "node-0".to_owned(),
        bind_address: None,
        allow_external_ips: true,
        budgets: Budgets::default(),
    });
    let node = Some("node-0".to_owned());
    let mut manifests = Manifests::new([folder().join("cluster/cluster.yaml")], node);
    let load = manifests.load();
    assert!(load.problems.is_empty(), "{:?}", load.problems);
    load.events
        .into_iter()
        .for_each(|event| tracker.apply(event));
    let addresses = ["127.0.0.1", "192.168.77.2", "::1", "fd00:77::2", "fe80::5"];
    let addresses = addresses.map(|text| text.parse::<IpAddr>().unwrap());
    tracker.apply(Event::LocalAddresses(addresses.into()));

    desired(&Ipvs::new(settings(), tracker.facts()), &tracker)
}

/// Lines that say something, less what is the kernel's alone.
fn lines(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| !line.starts_with([':', '#', '*']) && *line != "COMMIT")
        .map(|line| match line.split_once(" bucketsize ") {
            Some((ours, _)) => ours.to_owned(),
            None => line.to_owned(),
        })
        .collect()
}

#[test]
fn everything_is_kube_proxys_line_for_line() {
    let ours = sections(&ours());
    for (section, file) in FILES {
        let (ours, theirs) = (lines(&ours[&section]), lines(&theirs(file)));
        let missing: Vec<_> = theirs.difference(&ours).collect();
        let surplus: Vec<_> = ours.difference(&theirs).collect();
        assert!(
            missing.is_empty() && surplus.is_empty(),
            "{file}\n-{missing:#?}\n+{surplus:#?}"
        );
        assert!(theirs.len() >= 10, "{file}: {} lines", theirs.len());
    }
}

#[test]
fn rules_are_in_kube_proxys_order() {
    let ours = sections(&ours());
    for (section, file) in &FILES[3..] {
        let ours = Dump::parse(&ours[section]).unwrap();
        for (name, table) in &Dump::parse(&theirs(file)).unwrap().tables {
            for (chain, theirs) in &table.chains {
                // Built-in chains without rules are there for iptables alone.
                if theirs.rules.is_empty() && theirs.policy.is_some() {
                    continue;
                }
                let found = ours.tables[name].chains.get(chain);
                let found = found.unwrap_or_else(|| panic!("{name} {chain} is missing"));
                assert_eq!(found.rules, theirs.rules, "{name} {chain}");
            }
            assert_eq!(
                ours.tables[name].chains.keys().collect::<BTreeSet<_>>(),
                table
                    .chains
                    .iter()
                    .filter(|(_, chain)| !(chain.rules.is_empty() && chain.policy.is_some()))
                    .map(|(name, _)| name)
                    .collect(),
                "{name}"
            );
        }
    }
}

#[test]
fn kube_proxys_dumps_are_read_as_what_we_want() {
    let mut saves = Saves::new();
    for (_, file) in FILES {
        saves.read(&theirs(file), None).expect(file);
    }
    assert_eq!(saves.sections().len(), FILES.len());
    let observed = saves.finish();
    let ours = ours();
    let diff = diff(&observed.state, &ours);
    let keys = diff.writes.iter().map(|write| write.key);
    let keys = keys.chain(diff.deletes.iter().map(|(key, _)| *key));
    let keys: Vec<_> = keys.map(ToString::to_string).collect();
    assert_eq!(keys, [""; 0]);
    assert_eq!(observed.draining, []);
}

#[test]
fn what_is_printed_reads_back_as_it_was() {
    let ours = ours();
    let text = print_save(&ours);
    let mut saves = Saves::new();
    saves.read(&text, None).unwrap();
    assert!(
        saves.finish().state == ours,
        "reads back otherwise:\n{text}"
    );
}
