//! Who answered how often, and whether that is fair.

use super::outcome::{Attempt, Failure};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// The outcome of many attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spread {
    /// Answers by backend.
    pub backends: BTreeMap<SocketAddr, u64>,
    /// Answers by the client address that the backend saw.
    pub peers: BTreeMap<IpAddr, u64>,
    /// Failed attempts by reason.
    pub failures: BTreeMap<Failure, u64>,
}

impl Spread {
    pub(super) fn count(&mut self, attempt: &Attempt) {
        match &attempt.result {
            Ok(answer) => {
                *self.backends.entry(answer.backend).or_default() += 1;
                *self.peers.entry(answer.peer.ip()).or_default() += 1;
            }
            Err(failure) => *self.failures.entry(failure.clone()).or_default() += 1,
        }
    }

    /// How many attempts were answered.
    pub fn answered(&self) -> u64 {
        self.backends.values().sum()
    }

    /// How many attempts failed.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// What is wrong with the claim that each of `backends` is chosen with the same chance and
    /// nobody else ever: a failure, a stranger, or a count further than `sigmas` standard
    /// deviations of its binomial distribution from the mean. `None` if nothing is.
    pub fn unfairness(&self, backends: &[SocketAddr], sigmas: f64) -> Option<String> {
        if let Some((failure, count)) = self.failures.first_key_value() {
            return Some(format!("{count} attempts failed: {failure}"));
        }
        if let Some(stranger) = self.backends.keys().find(|key| !backends.contains(key)) {
            return Some(format!("{stranger} answered and isn't a backend"));
        }
        let total = to_f64(self.answered());
        let chance = 1.0 / to_f64(backends.len() as u64);
        let mean = total * chance;
        let deviation = (total * chance * (1.0 - chance)).sqrt();
        backends.iter().find_map(|backend| {
            let count = self.backends.get(backend).copied().unwrap_or_default();
            let distance = (to_f64(count) - mean).abs();
            // A single backend has no deviation at all, so compare products.
            (distance > sigmas * deviation).then(|| {
                format!(
                    "{backend} answered {count} times of {total}, not {mean:.0} ± {:.0}",
                    sigmas * deviation
                )
            })
        })
    }
}

/// Fails unless every one of `backends`, and nobody else, was chosen with the same chance. Judged
/// at 4.5 standard deviations: a right dataplane fails once in 150,000 backends, a wrong
/// probability of an iptables chain is dozens of deviations away at 1,000 attempts.
#[track_caller]
pub fn assert_uniform(spread: &Spread, backends: &[SocketAddr]) {
    assert_uniform_within(spread, backends, 4.5);
}

/// [`assert_uniform`] at any number of standard deviations. At 3 a right dataplane fails once in
/// 370 backends.
#[track_caller]
pub fn assert_uniform_within(spread: &Spread, backends: &[SocketAddr], sigmas: f64) {
    let unfairness = spread.unfairness(backends, sigmas);
    assert!(
        unfairness.is_none(),
        "{}: {spread:#?}",
        unfairness.unwrap_or_default()
    );
}

/// Counts of a test are far below 2^52.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a test are far below 2^52"
)]
fn to_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 244, 0, last], 80))
    }

    fn spread(counts: &[u64]) -> Spread {
        let backends = (1..).map(backend).zip(counts.iter().copied()).collect();
        Spread {
            backends,
            ..Spread::default()
        }
    }

    #[test]
    fn fair_is_fair() {
        assert_uniform(
            &spread(&[1010, 990, 1000]),
            &[backend(1), backend(2), backend(3)],
        );
        assert_uniform(&spread(&[50]), &[backend(1)]);
    }

    #[test]
    fn unfair_is_told() {
        let three = [backend(1), backend(2), backend(3)];
        // What a chain does whose statistic matches are off by one endpoint.
        assert!(spread(&[1500, 750, 750]).unfairness(&three, 4.5).is_some());
        assert!(spread(&[1500, 1500]).unfairness(&three, 4.5).is_some());
        assert!(
            spread(&[750, 750, 750, 750])
                .unfairness(&three, 4.5)
                .unwrap()
                .contains(".4:80")
        );
        let mut failed = spread(&[1000, 1000, 1000]);
        failed.failures.insert(Failure::Refused, 1);
        assert!(failed.unfairness(&three, 4.5).unwrap().contains("refused"));
    }

    #[test]
    fn sigmas_are_standard_deviations() {
        // 10,000 tosses of a coin deviate by 50.
        let two = [backend(1), backend(2)];
        assert!(spread(&[5149, 4851]).unfairness(&two, 3.0).is_none());
        assert!(spread(&[5151, 4849]).unfairness(&two, 3.0).is_some());
    }
}
