//! The load generator, at the rate that change tests use.

use crate::support::{BACKENDS, BACKENDS6, VIP, VIP6, at, program, world};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use viprule_testkit::client::{Failure, Load};
use viprule_testkit::dump::{Family, Tables};
use viprule_testkit::server::Server;
use viprule_testkit::{LIMIT, Protocol, World};

/// Loads at the same time would starve each other.
static ALONE: Mutex<()> = Mutex::new(());

/// A server at each of these addresses.
fn serve<'a>(world: &World, ips: impl IntoIterator<Item = &'a &'a str>) -> Vec<Server> {
    let addresses = ips.into_iter().map(|ip| at(ip, 8080).to_string());
    addresses
        .map(|address| world.serve(Protocol::Tcp, &address).unwrap())
        .collect()
}

#[test]
fn a_load_is_answered_and_both_sides_count_the_same() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let world = world();
    program(&world, Family::V4, VIP, &BACKENDS, "");
    program(&world, Family::V6, VIP6, &BACKENDS6, "");
    let servers = serve(&world, BACKENDS.iter().chain(&BACKENDS6));
    let syns = world.count_syns().unwrap();
    let load = Load::new(2000, [at(VIP, 80), at(VIP6, 80)]).at_most(200);
    let load = load.start(world.client()).unwrap();
    load.outlast(2000).unwrap();
    let report = load.stop().unwrap();
    assert_eq!(report.failed(), 0, "{report:?}");
    assert!(report.started >= 2000, "{}", report.started);
    // It may fall behind, and never gets ahead.
    let due = report.elapsed.as_micros() * 2 / 1000 + 1;
    assert!(u128::from(report.started) <= due, "{report:?}");
    assert_eq!(report.answered(), report.started);
    assert_eq!(report.backends.len(), 6, "{:?}", report.backends);
    let answered = servers.iter().map(Server::answered).sum::<u64>();
    assert_eq!(answered, report.answered());
    let slowest = report.slowest.clone().unwrap().elapsed;
    assert!(report.percentile(0.5) <= slowest, "{report:?}");
    assert_eq!(syns.missing().unwrap(), 0, "{report:?}");
}

/// The kernel repeats them, so that the connections are only slow.
#[test]
fn lost_first_packets_are_seen_though_every_connection_is_answered() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let world = world();
    program(&world, Family::V4, VIP, &BACKENDS, "");
    let _servers = serve(&world, &BACKENDS);
    let iptables = format!("iptables-{}", Tables::of_this_kernel().name());
    let lose = "-I FORWARD -p tcp --syn -m statistic --mode nth --every 50 --packet 0 -j DROP";
    let command = world.node().command(&iptables);
    command.args(lose.split(' ')).text().unwrap();
    let syns = world.count_syns().unwrap();
    let load = Load::new(500, [at(VIP, 80)]).timeout(LIMIT).at_most(20);
    let load = load.start(world.client()).unwrap();
    load.outlast(200).unwrap();
    let report = load.stop().unwrap();
    assert_eq!(report.failed(), 0, "{report:?}");
    let missing = syns.missing().unwrap();
    // One of fifty, the first included.
    assert!(missing > 0, "{report:?}");
    assert_eq!(
        missing,
        (report.started + missing).div_ceil(50),
        "{report:?}"
    );
}

#[test]
fn failures_are_counted_and_dated() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let world = world();
    program(&world, Family::V4, VIP, &BACKENDS[..1], "");
    let server = world.serve(Protocol::Tcp, "10.244.0.5:8080").unwrap();
    let load = Load::new(500, [at(VIP, 80)])
        .from_address("192.168.77.100".parse().unwrap())
        .timeout(Duration::from_secs(2))
        .at_most(200)
        .start(world.client())
        .unwrap();
    load.outlast(200).unwrap();
    drop(server);
    load.outlast(100).unwrap();
    let dropped = format!("-A FORWARD -d {} -j DROP\n", BACKENDS[0]);
    program(&world, Family::V4, VIP, &BACKENDS[..1], &dropped);
    load.outlast(20).unwrap();
    let report = load.stop().unwrap();
    assert!(report.answered() > 0, "{report:?}");
    assert!(
        report.failures[&Failure::Refused] > 0,
        "{:?}",
        report.failures
    );
    assert!(
        report.failures[&Failure::TimedOut] > 0,
        "{:?}",
        report.failures
    );
    assert_eq!(report.answered() + report.failed(), report.started);
    let ends: Vec<_> = report
        .examples
        .iter()
        .map(|it| it.at + it.elapsed)
        .collect();
    assert!(ends.last() <= Some(&report.elapsed), "{report:?}");
    assert!(ends.is_sorted(), "{ends:?}");
    assert_eq!(report.examples.len(), 100);
}

#[test]
fn a_load_needs_targets() {
    let namespace = viprule_testkit::Namespace::new("idle").unwrap();
    assert!(Load::new(2000, []).start(&namespace).is_err());
    assert!(Load::new(0, [at(VIP, 80)]).start(&namespace).is_err());
}
