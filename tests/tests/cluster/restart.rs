//! The proxy is killed again and again.

use crate::support::{Stage, flawless, setting};
use std::hash::{BuildHasher as _, RandomState};
use std::thread::sleep;
use std::time::{Duration, Instant};
use viprule_testkit::cluster::{Proxy, kernel};

/// Connections a second.
const RATE: u32 = 1_000;

/// SIGKILL `VIPRULE_RESTARTS` times, 100 in a full run, at random moments of a start.
fn restarts(proxy: Proxy) {
    let kills = setting("VIPRULE_RESTARTS", 10);
    let stage = Stage::new();
    let mut agent = stage.run(proxy);
    let dumps = stage.settled();
    agent.kill().unwrap();
    let start = Instant::now();
    let mut agent = stage.start(proxy);
    stage.wait_healthy(&mut agent);
    let span = start.elapsed();
    agent.kill().unwrap();

    let rules = kernel::rules_and_handles(stage.node()).unwrap();
    let generation = kernel::generation(stage.node()).unwrap();
    let load = stage.load(RATE);
    for _ in 0..kills {
        let mut agent = stage.start(proxy);
        sleep(moment(span));
        agent.kill().unwrap();
    }
    // One that surely gets there.
    let mut agent = stage.start(proxy);
    stage.wait_healthy(&mut agent);
    stage.settled();
    stage.wait_same(&mut agent, &dumps);
    if proxy == Proxy::Viprule {
        let after = kernel::rules_and_handles(stage.node()).unwrap();
        assert_eq!(after, rules, "nothing is written anew");
        let now = kernel::generation(stage.node()).unwrap();
        assert_eq!(now, generation, "nothing is written");
    }
    let report = load.stop().unwrap();
    flawless(
        &format!("{proxy}, {kills} kills within {span:.1?} of a start"),
        &report,
    );
}

/// A moment before or shortly after the end of what takes `span`, different each time.
fn moment(span: Duration) -> Duration {
    let share = RandomState::new().hash_one(()) % 1500;
    span * u32::try_from(share).unwrap() / 1000
}

#[test]
fn kube_proxy_is_killed_without_a_failed_connection() {
    restarts(Proxy::KubeProxy);
}

#[test]
fn restarts_on_an_unchanged_cluster_cost_no_connection_and_write_nothing() {
    restarts(Proxy::Viprule);
}
