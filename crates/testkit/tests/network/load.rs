//! The load generator, at the rate that change tests use.

use crate::support::{BACKENDS, BACKENDS6, VIP, VIP6, at, program, world};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use viprule_testkit::Protocol;
use viprule_testkit::client::{Failure, Load};
use viprule_testkit::dump::Family;
use viprule_testkit::server::Server;

/// Loads at the same time would starve each other.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn two_thousand_a_second_without_a_failure() {
    const TRIES: usize = 3;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let world = world();
    program(&world, Family::V4, VIP, &BACKENDS, "");
    program(&world, Family::V6, VIP6, &BACKENDS6, "");
    let servers: Vec<_> = BACKENDS
        .iter()
        .chain(&BACKENDS6)
        .map(|ip| {
            world
                .serve(Protocol::Tcp, &at(ip, 8080).to_string())
                .unwrap()
        })
        .collect();
    let answered = || servers.iter().map(Server::answered).sum::<u64>();
    for attempt in 1..=TRIES {
        let before = answered();
        let load = Load::new(2000, [at(VIP, 80), at(VIP6, 80)]);
        let load = load.timeout(Duration::from_secs(10));
        let load = load.start(world.client()).unwrap();
        std::thread::sleep(Duration::from_secs(3));
        let report = load.stop().unwrap();
        let slowest = report.slowest.clone().unwrap().elapsed;
        eprintln!(
            "{} connections, median {:?}, p99 {:?}, slowest {slowest:?}, behind {:?}",
            report.started,
            report.percentile(0.5),
            report.percentile(0.99),
            report.behind
        );
        if report.starved() && attempt < TRIES {
            continue;
        }
        assert_eq!(
            report.failed(),
            0,
            "{:?} {:?}",
            report.failures,
            report.examples.first()
        );
        assert!(
            (5900..=6200).contains(&report.started),
            "{}",
            report.started
        );
        assert_eq!(report.answered(), report.started);
        assert_eq!(report.backends.len(), 6, "{:?}", report.backends);
        assert_eq!(
            answered() - before,
            report.answered(),
            "both sides count the same"
        );
        let median = report.percentile(0.5);
        assert!(
            median <= slowest && median < Duration::from_secs(1),
            "{median:?}"
        );
        return;
    }
}

#[test]
fn failures_are_counted_and_dated() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let world = world();
    program(&world, Family::V4, VIP, &BACKENDS[..1], "");
    let server = world.serve(Protocol::Tcp, "10.244.0.5:8080").unwrap();
    let load = Load::new(500, [at(VIP, 80)])
        .from_address("192.168.77.100".parse().unwrap())
        .timeout(Duration::from_millis(400))
        .start(world.client())
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    drop(server);
    std::thread::sleep(Duration::from_millis(300));
    program(&world, Family::V4, VIP, &["10.244.0.77"], "");
    std::thread::sleep(Duration::from_millis(300));
    let report = load.stop().unwrap();
    assert!(report.answered() >= 200, "{report:?}");
    assert!(
        report.failures[&Failure::Refused] >= 50,
        "{:?}",
        report.failures
    );
    // No such pod: the node finds no route beyond the fabric.
    assert!(
        report.failures[&Failure::TimedOut] >= 50,
        "{:?}",
        report.failures
    );
    assert_eq!(report.answered() + report.failed(), report.started);
    let first = report.examples.first().unwrap();
    assert!(first.at > Duration::from_millis(400), "{first:?}");
    assert_eq!(report.examples.len(), 100);
}

#[test]
fn a_load_needs_targets() {
    let namespace = viprule_testkit::Namespace::new("idle").unwrap();
    assert!(Load::new(2000, []).start(&namespace).is_err());
    assert!(Load::new(0, [at(VIP, 80)]).start(&namespace).is_err());
}
