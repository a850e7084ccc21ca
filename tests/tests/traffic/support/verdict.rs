//! When traffic is right.

use super::at;
use std::net::SocketAddr;
use std::time::Duration;
use viprule_testkit::Protocol;
use viprule_testkit::client::{Attempt, Client, Failure, LoadReport};

/// How long to wait for what must not come: a hundred times what an answer takes.
pub(crate) const PATIENCE: Duration = Duration::from_millis(400);

/// Standard deviations of a fair choice: a right dataplane fails once in 150,000 backends.
const SIGMAS: f64 = 4.5;

/// Fails unless so many attempts are all answered and spread evenly over just these backends.
#[track_caller]
pub(crate) fn even(
    client: Client<'_>,
    (protocol, target, attempts): (Protocol, SocketAddr, u32),
    backends: &[&str],
    what: &str,
) {
    let first = client.ask(protocol, target).unwrap();
    assert!(
        first.is_answered(),
        "{protocol} {target}, {what}: {first:?}"
    );
    // A lost packet on a busy machine costs seconds, not the attempt.
    let client = client.timeout(Duration::from_secs(15));
    let spread = client.spread(protocol, target, attempts).unwrap();
    let backends: Vec<_> = backends.iter().map(|backend| at(backend)).collect();
    if let Some(unfair) = spread.unfairness(&backends, SIGMAS) {
        panic!("{protocol} {target}, {what}: {unfair}: {spread:#?}");
    }
    assert_eq!(spread.answered(), u64::from(attempts));
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

/// Runs a scenario under load and fails if a connection failed, or was so slow that its first
/// packet must have been lost. Where the machine may be to blame, it is run again.
#[track_caller]
pub(crate) fn flawless(mut scenario: impl FnMut() -> LoadReport) {
    const TRIES: usize = 3;
    /// The kernel repeats a SYN after one second.
    const REPEATED: Duration = Duration::from_millis(950);
    for attempt in 1..=TRIES {
        let report = scenario();
        assert!(report.answered() > 0, "{report:?}");
        let slowest = report
            .slowest
            .as_ref()
            .map_or(Duration::ZERO, |slowest| slowest.elapsed);
        if report.failed() == 0 && slowest < REPEATED {
            return;
        }
        let excused = report.starved() || report.failed() == 0;
        let verdict = format!(
            "{} of {} connections failed, the slowest took {slowest:?}, the generator was {:?} \
             behind; {:?}, first {:?}",
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
