//! When traffic is right.

use super::at;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use viprule_testkit::client::{Attempt, Client, Failure, Load, LoadReport, RunningLoad, Spread};
use viprule_testkit::topology::Syns;
use viprule_testkit::{LIMIT, Mode, Protocol, World};

/// How long to wait for what must not come: a hundred times what an answer takes.
pub(crate) const PATIENCE: Duration = Duration::from_millis(400);

/// Standard deviations of a fair choice. A right dataplane is further off twice in a row once in
/// 200 million backends; the smallest mistake in a probability is dozens off.
const SIGMAS: f64 = 4.0;

/// Attempts that tell whether somebody is chosen in turn.
const TURNS: u32 = 60;

/// Fails unless so many attempts are all answered and spread evenly over just these backends: by
/// chance in iptables mode, in turn in IPVS mode, where fewer attempts tell more.
#[track_caller]
pub(crate) fn even(
    client: Client<'_>,
    (protocol, target, attempts): (Protocol, SocketAddr, u32),
    backends: &[&str],
    what: &str,
) {
    let backends: Vec<_> = backends.iter().map(|backend| at(backend)).collect();
    let first = client.ask(protocol, target).unwrap();
    assert!(
        first.is_answered(),
        "{protocol} {target}, {what}: {first:?}"
    );
    let client = client.timeout(LIMIT);
    if Mode::of_this_run() == Mode::Ipvs {
        let spread = client.spread(protocol, target, TURNS).unwrap();
        return in_turn(&spread, &backends, &format!("{protocol} {target}, {what}"));
    }
    for last in [false, true] {
        let spread = client.spread(protocol, target, attempts).unwrap();
        let Some(unfair) = spread.unfairness(&backends, SIGMAS) else {
            assert_eq!(spread.answered(), u64::from(attempts));
            return;
        };
        let stranger = spread.backends.keys().any(|ip| !backends.contains(ip));
        let by_chance = spread.failed() == 0 && !stranger && !last;
        assert!(
            by_chance,
            "{protocol} {target}, {what}: {unfair}: {spread:#?}"
        );
    }
}

/// Fails unless these backends, and nobody else, were chosen one after the other.
#[track_caller]
pub(crate) fn in_turn(spread: &Spread, backends: &[SocketAddr], what: &str) {
    let (total, number) = (spread.answered(), backends.len() as u64);
    assert_eq!(spread.failed(), 0, "{what}: {spread:#?}");
    assert!(
        spread
            .backends
            .keys()
            .eq(backends.iter().collect::<BTreeSet<_>>()),
        "{what}: {spread:#?}"
    );
    for (backend, count) in &spread.backends {
        assert!(
            (total / number..=total.div_ceil(number)).contains(count),
            "{what}: {backend} was chosen {count} times of {total}: {spread:#?}"
        );
    }
}

/// Fails unless the attempt got nothing back at all.
#[track_caller]
pub(crate) fn timed_out(attempt: &Attempt, what: &str) {
    assert_eq!(
        attempt.failure(),
        Some(&Failure::TimedOut),
        "{what}: {attempt:?}"
    );
}

/// Connections at a time, where a machine is too slow for a load.
const UNDER_WAY: usize = 32;

/// A load from outside whose first packets are counted; see [`World::count_syns`].
#[derive(Debug)]
pub(crate) struct Watched<'w> {
    load: RunningLoad,
    syns: Syns<'w>,
}

impl<'w> Watched<'w> {
    pub(crate) fn start(world: &'w World, load: Load) -> Self {
        let syns = world.count_syns().unwrap();
        let load = load.timeout(LIMIT).at_most(UNDER_WAY);
        let load = load.start(world.client()).unwrap();
        Self { load, syns }
    }

    /// Waits until all connections have ended that have begun by now, and so many more.
    #[track_caller]
    pub(crate) fn outlast(&self, more: u64) {
        self.load.outlast(more).unwrap();
    }

    /// Ends the load. No other connection from outside may be opened at this time.
    #[track_caller]
    pub(crate) fn stop(self) -> Loaded {
        let report = self.load.stop().unwrap();
        let lost = self.syns.missing().unwrap();
        Loaded { report, lost }
    }
}

/// What became of a scenario under load.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) report: LoadReport,
    /// First packets of connections that were lost.
    pub(crate) lost: u64,
}

/// Plays a scenario, and fails unless all of its connections were answered and none of their first
/// packets was lost: the kernel would repeat it after a second. How long they took is the machine's
/// affair.
#[track_caller]
pub(crate) fn flawless(scenario: impl FnOnce() -> Loaded) {
    let Loaded { report, lost } = scenario();
    assert!(report.answered() > 0, "{report:?}");
    assert!(
        report.failed() == 0 && lost == 0,
        "{} of {} connections failed, {lost} first packets were lost; the slowest took {:?}, the \
         generator was {:?} behind; {:?}, first {:?}",
        report.failed(),
        report.started,
        report.slowest.as_ref().map(|it| it.elapsed),
        report.behind,
        report.failures,
        report.examples.first(),
    );
}
