//! The golden cluster against what kube-proxy 1.36 wrote for it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use viprule_dataplane::{CommonSettings, DetectLocal, diff};
use viprule_service::model::Event;
use viprule_service::tracker::Tracker;
use viprule_source::manifest::Manifests;
use viprule_sync::desired;
use viprule_testkit::dump::{Chain, Dump};
use viprule_testkit::golden::{self, NODE, POD_NETWORKS, without_kubernetes};
use viprule_testkit::objects::plan_config;

use crate::cases::render;
use crate::mode::{Mode, StateOf};

/// What we want on the node that kube-proxy ran on.
pub(crate) fn ours<M: Mode>() -> StateOf<M> {
    let mut tracker = Tracker::new(plan_config(NODE));
    let mut manifests = Manifests::new([golden::manifest()], Some(NODE.to_owned()));
    let load = manifests.load();
    assert!(load.problems.is_empty(), "{:?}", load.problems);
    load.events
        .into_iter()
        .for_each(|event| tracker.apply(event));
    let addresses = ["127.0.0.1", "192.168.77.2", "::1", "fd00:77::2", "fe80::5"];
    let addresses = addresses.map(|text| text.parse::<IpAddr>().unwrap());
    tracker.apply(Event::LocalAddresses(addresses.into()));
    let networks = POD_NETWORKS.map(|net| net.parse().unwrap());
    let common = CommonSettings {
        detect_local: DetectLocal::ClusterCidr(networks.into()),
        ..CommonSettings::default()
    };
    desired(&M::dataplane(common, tracker.facts()), &tracker)
}

/// What printed each dump, what it would print of ours, and what it printed.
fn pairs<M: Mode>() -> Vec<(&'static str, String, String)> {
    let texts = M::texts(&ours::<M>());
    assert_eq!(texts.len(), M::DUMPS.len());
    let pairs = M::DUMPS.iter().zip(texts);
    pairs
        .map(|((tool, dump), ours)| (*tool, ours, without_kubernetes(dump)))
        .collect()
}

/// Lines that say something, sorted, behind the table that they are in, less what is the kernel's
/// alone.
fn lines(text: &str) -> Vec<(&str, &str)> {
    let mut table = "";
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with('*') {
            table = line;
        } else if !line.starts_with([':', '#']) && line != "COMMIT" {
            let ours = line.split_once(" bucketsize ").map(|(ours, _)| ours);
            lines.push((table, ours.unwrap_or(line)));
        }
    }
    lines.sort_unstable();
    lines
}

pub(crate) fn lines_are_kube_proxys<M: Mode>() {
    for (tool, ours, theirs) in pairs::<M>() {
        let (ours, theirs) = (lines(&ours), lines(&theirs));
        let missing: Vec<_> = theirs.iter().filter(|it| !ours.contains(it)).collect();
        let surplus: Vec<_> = ours.iter().filter(|it| !theirs.contains(it)).collect();
        assert!(
            missing.is_empty() && surplus.is_empty(),
            "{tool}\n-{missing:#?}\n+{surplus:#?}"
        );
        assert_eq!(ours, theirs, "{tool}: no line more or less often");
        assert!(ours.len() >= M::LEAST, "{tool}: {} lines", ours.len());
    }
}

pub(crate) fn chains_are_kube_proxys_in_its_order<M: Mode>() {
    let has_tables = |text: &str| text.lines().any(|line| line.starts_with('*'));
    let mut compared = 0;
    for (tool, ours, theirs) in pairs::<M>() {
        if !has_tables(&theirs) {
            continue;
        }
        compared += 1;
        let (ours, theirs) = (Dump::parse(&ours).unwrap(), Dump::parse(&theirs).unwrap());
        // Built-in chains without rules are there for iptables alone.
        let counts = |chain: &Chain| !(chain.rules.is_empty() && chain.policy.is_some());
        for (name, table) in &theirs.tables {
            let ours = &ours.tables[name].chains;
            let theirs = table.chains.iter().filter(|(_, chain)| counts(chain));
            for (chain, theirs) in theirs.clone() {
                let found = ours.get(chain);
                let found = found.unwrap_or_else(|| panic!("{tool}: {name} {chain} is missing"));
                if !M::UNORDERED.contains(&(name, chain)) {
                    assert_eq!(found.rules, theirs.rules, "{tool}: {name} {chain}");
                }
            }
            assert_eq!(
                ours.keys().collect::<BTreeSet<_>>(),
                theirs.map(|(chain, _)| chain).collect(),
                "{tool}: {name}"
            );
        }
    }
    assert_eq!(compared, 2, "a dump of each family");
}

pub(crate) fn dumps_are_read_as_what_we_want<M: Mode>() {
    let dumps: Vec<String> = pairs::<M>().into_iter().map(|(.., dump)| dump).collect();
    let (theirs, ours) = (M::read(&dumps), ours::<M>());
    let diff = diff(&theirs, &ours);
    let writes = diff.writes.iter().map(|write| write.key.to_string());
    let deletes = diff.deletes.iter().map(|(key, _)| key.to_string());
    assert_eq!(writes.chain(deletes).collect::<Vec<_>>(), [""; 0]);
}

/// The program itself, told the same by its flags.
pub(crate) fn render_prints_what_is_compared<M: Mode>() {
    let printed = render::<M>(&golden::folder().join("cluster"));
    assert_eq!(printed, M::texts(&ours::<M>()).concat());
}

pub(crate) fn what_is_printed_reads_back_as_it_was<M: Mode>() {
    let ours = ours::<M>();
    let texts = M::texts(&ours);
    assert!(
        M::read(&texts) == ours,
        "reads back otherwise:\n{}",
        texts.concat()
    );
}
