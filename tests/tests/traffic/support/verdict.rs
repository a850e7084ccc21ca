//! When traffic is right.

use super::at;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use viprule_testkit::client::{Attempt, Client, Failure, LoadReport, Spread};
use viprule_testkit::{Mode, Protocol};

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
    // A lost packet on a busy machine costs seconds, not the attempt.
    let client = client.timeout(Duration::from_secs(15));
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

/// What became of a scenario under load.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) report: LoadReport,
    /// How long after the rules had ceased to lead to an endpoint it gave its last answer.
    pub(crate) quiet_after: Duration,
}

impl From<LoadReport> for Loaded {
    fn from(report: LoadReport) -> Self {
        Self {
            report,
            quiet_after: Duration::ZERO,
        }
    }
}

/// Runs a scenario under load and fails if a connection failed. Fails as well if one was so slow
/// that its first packet must have been lost, and if an endpoint gave answers for longer after the
/// rules had ceased to lead to it than the slowest connection took. Where the machine may be to
/// blame, the scenario is played again.
#[track_caller]
pub(crate) fn flawless(mut scenario: impl FnMut() -> Loaded) {
    const TRIES: usize = 3;
    /// The kernel repeats a SYN after one second.
    const REPEATED: Duration = Duration::from_millis(950);
    /// Answers that took longer tell of a busy machine: lost packets take longer still.
    const BUSY: Duration = Duration::from_millis(300);
    /// How long a connection may be under way on any machine.
    const UNDER_WAY: Duration = Duration::from_millis(100);
    for attempt in 1..=TRIES {
        let Loaded {
            report,
            quiet_after,
        } = scenario();
        assert!(report.answered() > 0, "{report:?}");
        let slowest = report.slowest.as_ref();
        let slowest = slowest.map_or(Duration::MAX, |slowest| slowest.elapsed);
        let quiet = quiet_after <= slowest.max(UNDER_WAY);
        if report.failed() == 0 && slowest < REPEATED && quiet {
            return;
        }
        let excused = report.failed() == 0 || report.starved() || slowest > BUSY;
        let verdict = format!(
            "{} of {} connections failed, the slowest took {slowest:?}, an endpoint answered for \
             {quiet_after:?}, the generator was {:?} behind; {:?}, first {:?}",
            report.failed(),
            report.started,
            report.behind,
            report.failures,
            report.examples.first(),
        );
        assert!(excused && attempt < TRIES, "{verdict}");
        eprintln!("trying again on a busy machine: {verdict}");
    }
}
