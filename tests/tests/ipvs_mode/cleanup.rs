//! Cleanup takes away all that is ours and nothing else, also where somebody is in its way.

use crate::scene::{CLUSTER_IP, ENDPOINTS, FLAGS, rolling, stage, write_endpoints};
use crate::support::{PATIENCE, Stage, at, shared};
use viprule_testkit::dump::{Family, ForeignState, is_our_chain};

/// A rule of an administrator that counts packets to cluster IPs.
const COUNTING: &str = "-m comment --comment admin -m set --match-set KUBE-CLUSTER-IP dst,dst";

fn written() -> Stage {
    let stage = stage(shared());
    stage.write("service.yaml", &rolling().load_balancer("203.0.113.90"));
    write_endpoints(&stage, ENDPOINTS);
    stage.apply(FLAGS);
    stage
}

fn rule(stage: &Stage, verb: &str) {
    let rule = format!("*filter\n{verb} FORWARD {COUNTING}\nCOMMIT\n");
    let tool = stage.world.node().command(Family::V4.restore_tool());
    tool.arg("--noflush").input(rule).text().unwrap();
}

/// Fails if a chain of ours or a jump to one is left.
#[track_caller]
fn has_no_chains(stage: &Stage) {
    for family in Family::ALL {
        let ours = stage.dump(family).ours();
        for (name, table) in &ours.tables {
            let left = table
                .chains
                .iter()
                .find(|(chain, content)| is_our_chain(chain) || !content.rules.is_empty());
            assert_eq!(left, None, "in {name}");
        }
    }
}

#[test]
fn everything_goes() {
    let stage = stage(shared());
    let before = ForeignState::take(stage.world.node()).unwrap();
    stage.write("service.yaml", &rolling().load_balancer("203.0.113.90"));
    write_endpoints(&stage, ENDPOINTS);
    stage.apply(FLAGS);
    assert!(!stage.servers().is_empty());
    stage.cleanup();
    let left = stage.servers();
    assert!(left.is_empty(), "{left}");
    has_no_chains(&stage);
    let after = ForeignState::take(stage.world.node()).unwrap();
    assert_eq!(before, after, "{}", before.changes(&after));
    assert_eq!(stage.cleanup(), "nothing to change\n");
}

#[test]
fn a_set_that_somebody_uses_is_reported_and_everything_else_goes() {
    let stage = written();
    rule(&stage, "-A");
    let before = ForeignState::take(stage.world.node()).unwrap();
    let output = stage.try_cleanup();
    assert!(!output.status.success(), "{output:?}");
    let told = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    let told = told.concat();
    assert!(told.contains("KUBE-CLUSTER-IP"), "{told}");

    let left = stage.servers();
    assert_eq!(left.sets.keys().collect::<Vec<_>>(), ["KUBE-CLUSTER-IP"]);
    assert!(
        left.servers.is_empty() && left.addresses.is_none(),
        "{left}"
    );
    has_no_chains(&stage);
    let after = ForeignState::take(stage.world.node()).unwrap();
    assert_eq!(before, after, "{}", before.changes(&after));
    let client = stage.world.outside().timeout(PATIENCE);
    assert!(!client.tcp(at(CLUSTER_IP)).unwrap().is_answered());

    rule(&stage, "-D");
    stage.cleanup();
    assert!(stage.servers().is_empty(), "{}", stage.servers());
}

/// And it can be used again with the set as it is.
#[test]
fn a_set_that_stayed_is_used_again() {
    let stage = written();
    let before = stage.servers();
    rule(&stage, "-A");
    stage.try_cleanup();
    stage.apply(FLAGS);
    let again = stage.servers();
    assert!(before == again, "{}", before.differences(&again));
    stage.assert_in_sync(FLAGS);
}
