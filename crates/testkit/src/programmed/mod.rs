//! How long it takes from an endpoint's change in the API to the kernel of a node.
//!
//! Both sides tell of the same [`Transition`]s: [`EndpointWatch`] when the API server says that an
//! endpoint is to be used or not, [`RuleWatch`] when a commit made the node's rules lead to it or
//! not. The rules are told by their comments, which are part of what kube-proxy writes (contract
//! 2): `namespace/name:port -> 10.244.0.5:8080`. In viprule's nftables mode elements tell the same;
//! kube-proxy's is not read. Both watches must start before the proxy.

mod endpoints;
mod rules;

pub use endpoints::EndpointWatch;
pub use rules::RuleWatch;

use std::time::{Duration, Instant};

/// An endpoint of a Service's port came into use or went out of use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// When this was seen.
    pub at: Instant,
    /// `namespace/name:port -> address:port`
    pub endpoint: String,
    /// Whether it is used from now on.
    pub used: bool,
}

/// Times from the API to a kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latencies {
    sorted: Vec<Duration>,
    /// Transitions of the API that the kernel never made: it was too late for them, or they were
    /// undone before it came to them.
    pub missed: usize,
}

impl Latencies {
    /// Pairs each transition of the API with the kernel's first one of the same kind that is not
    /// older. The two clocks are one, but news of the API may take longer to us than to the
    /// proxy: what the kernel did up to 100 ms before counts as zero.
    pub fn between(api: &[Transition], kernel: &[Transition]) -> Self {
        const AHEAD: Duration = Duration::from_millis(100);
        let mut taken = vec![false; kernel.len()];
        let mut latencies = Self::default();
        for change in api {
            let found = kernel.iter().enumerate().find(|(index, made)| {
                !taken[*index]
                    && made.endpoint == change.endpoint
                    && made.used == change.used
                    && made.at + AHEAD >= change.at
            });
            match found {
                Some((index, made)) => {
                    taken[index] = true;
                    let took = made.at.saturating_duration_since(change.at);
                    latencies.sorted.push(took);
                }
                None => latencies.missed += 1,
            }
        }
        latencies.sorted.sort_unstable();
        latencies
    }

    /// How many transitions reached the kernel.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether none did.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The time that `percent` (0 to 100) of the transitions kept within; zero if there are none.
    pub fn percentile(&self, percent: usize) -> Duration {
        let index = (self.sorted.len() * percent).div_ceil(100).max(1) - 1;
        self.sorted.get(index).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn transition(at: Instant, endpoint: &str, used: bool) -> Transition {
        Transition {
            at,
            endpoint: endpoint.to_owned(),
            used,
        }
    }

    #[test]
    fn changes_are_paired_with_what_the_kernel_made_of_them() {
        let start = Instant::now();
        let at = |ms: u32| start + ms * MS;
        let api = [
            transition(at(1000), "a", true),
            transition(at(1100), "b", true),
            transition(at(1200), "a", false),
            transition(at(1300), "a", true),
            // The kernel never heard of this one.
            transition(at(1400), "c", true),
        ];
        let kernel = [
            transition(at(500), "a", true),
            transition(at(1010), "a", true),
            // The proxy was told before us.
            transition(at(1090), "b", true),
            transition(at(1230), "a", false),
            transition(at(1320), "a", true),
        ];
        let latencies = Latencies::between(&api, &kernel);
        assert_eq!(
            latencies.sorted,
            [Duration::ZERO, 10 * MS, 20 * MS, 30 * MS]
        );
        assert_eq!(latencies.missed, 1);
        assert_eq!(latencies.percentile(50), 10 * MS);
        assert_eq!(latencies.percentile(99), 30 * MS);
        assert_eq!(Latencies::default().percentile(50), Duration::ZERO);
    }
}
