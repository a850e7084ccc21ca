//! The proxy's health: what was asked for, what was done, and for how long the one waits for the
//! other (contract 6.1).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use viprule_service::model::Family;

use super::Moment;
use super::report::{FamilyHealth, Health, Warning};

/// What is known about the dataplane's health. Shared between the sync loop, which reports, and
/// servers, which ask.
#[derive(Debug)]
pub struct ProxyHealth {
    facts: Mutex<Facts>,
}

#[derive(Debug)]
struct Facts {
    timeout: Duration,
    families: [FamilyFacts; 2],
    node_eligible: bool,
    troubles: BTreeMap<String, Trouble>,
}

/// Something is wrong.
#[derive(Debug)]
struct Trouble {
    since: Moment,
    message: String,
    /// Nothing works with it.
    fatal: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct FamilyFacts {
    updated: Option<Moment>,
    /// The oldest request that no sync has served.
    queued: Option<Moment>,
}

impl FamilyFacts {
    /// `None` until the sync loop has started for the family.
    fn health(&self, now: Moment, timeout: Duration) -> Option<(Moment, bool)> {
        let late = |queued: Moment| now.since(&queued) >= timeout;
        self.updated
            .map(|updated| (updated, !self.queued.is_some_and(late)))
    }
}

impl ProxyHealth {
    /// Nothing is known. A request may wait for less than `timeout`, which is twice the sync
    /// period.
    pub fn new(timeout: Duration) -> Self {
        Self {
            facts: Mutex::new(Facts {
                timeout,
                families: [FamilyFacts::default(); 2],
                node_eligible: false,
                troubles: BTreeMap::new(),
            }),
        }
    }

    /// For how long a request may wait: twice the sync period, which a reload may change.
    pub fn set_timeout(&self, timeout: Duration) {
        self.facts().timeout = timeout;
    }

    /// A sync was asked for. Only the oldest request that waits counts.
    pub fn queued(&self, family: Family, at: Moment) {
        self.facts().family(family).queued.get_or_insert(at);
    }

    /// A sync succeeded, and everything asked for before is done. To be called when the sync
    /// loop starts as well: a family is judged from then on.
    pub fn updated(&self, family: Family, at: Moment) {
        *self.facts().family(family) = FamilyFacts {
            updated: Some(at),
            queued: None,
        };
    }

    /// Whether load balancers may send this node traffic: false while the Node is not known, is
    /// being deleted, or has the taint `ToBeDeletedByClusterAutoscaler`.
    pub fn set_node_eligible(&self, eligible: bool) {
        self.facts().node_eligible = eligible;
    }

    /// Says that something is wrong that does not make the dataplane wrong: a watch that fails,
    /// Services that the kernel refused. It shows in the body until cleared and never changes a
    /// status. A subject that is warned about already keeps its time.
    pub fn warn(&self, subject: &str, message: &str, at: Moment) {
        self.trouble(subject, message, at, false);
    }

    /// Says that something is wrong with which no Service works, whatever is in the kernel: the
    /// proxy is not healthy until it is cleared or warned about only.
    pub fn fail(&self, subject: &str, message: &str, at: Moment) {
        self.trouble(subject, message, at, true);
    }

    fn trouble(&self, subject: &str, message: &str, at: Moment, fatal: bool) {
        let mut facts = self.facts();
        if let Some(known) = facts.troubles.get_mut(subject) {
            message.clone_into(&mut known.message);
            known.fatal = fatal;
        } else {
            let trouble = Trouble {
                since: at,
                message: message.to_owned(),
                fatal,
            };
            facts.troubles.insert(subject.to_owned(), trouble);
        }
    }

    /// The subject is well again.
    pub fn clear(&self, subject: &str) {
        self.facts().troubles.remove(subject);
    }

    /// True while no family's request waits too long and nothing is wrong with which no Service
    /// works.
    pub fn is_healthy(&self, now: Moment) -> bool {
        let facts = self.facts();
        let mut families = facts.families.iter();
        !facts.has_failed()
            && families.all(|family| {
                family
                    .health(now, facts.timeout)
                    .is_none_or(|(_, healthy)| healthy)
            })
    }

    /// Everything, as it is now.
    pub fn health(&self, now: Moment) -> Health {
        let facts = self.facts();
        let mut last_updated: Option<Moment> = None;
        let mut status = BTreeMap::new();
        for family in Family::ALL {
            let known = facts.families[family as usize].health(now, facts.timeout);
            if let Some((updated, healthy)) = known {
                if last_updated.is_none_or(|last| updated.is_after(&last)) {
                    last_updated = Some(updated);
                }
                let last_updated = updated.rfc3339();
                let health = FamilyHealth {
                    last_updated,
                    healthy,
                };
                status.insert(family.as_str(), health);
            }
        }
        let warning = |(subject, trouble): (&String, &Trouble)| Warning {
            subject: subject.clone(),
            since: trouble.since.rfc3339(),
            message: trouble.message.clone(),
        };
        Health {
            healthy: !facts.has_failed() && status.values().all(|family| family.healthy),
            node_eligible: facts.node_eligible,
            last_updated,
            now,
            status,
            warnings: facts.troubles.iter().map(warning).collect(),
        }
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        // Facts are whole after every statement, so a panic elsewhere does not spoil them.
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    fn has_failed(&self) -> bool {
        self.troubles.values().any(|it| it.fatal)
    }

    fn family(&mut self, family: Family) -> &mut FamilyFacts {
        &mut self.families[family as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    fn started() -> (ProxyHealth, Moment) {
        let health = ProxyHealth::new(TIMEOUT);
        let start = Moment::now();
        for family in Family::ALL {
            health.updated(family, start);
        }
        (health, start)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_proxy_without_requests_stays_healthy() {
        let (health, start) = started();
        assert!(health.is_healthy(start + seconds(1_000_000)));
    }

    #[test]
    fn a_request_that_waits_for_the_timeout_makes_it_unhealthy_until_a_sync() {
        let (health, start) = started();
        health.queued(Family::Ipv4, start + seconds(10));
        // Later requests do not make the first one younger.
        health.queued(Family::Ipv4, start + seconds(60));
        assert!(health.is_healthy(start + seconds(69)));
        assert!(!health.is_healthy(start + seconds(70)));
        health.updated(Family::Ipv4, start + seconds(71));
        assert!(health.is_healthy(start + seconds(71)));
        assert!(health.is_healthy(start + seconds(1_000)));
    }

    #[test]
    fn each_family_has_to_be_healthy() {
        let (health, start) = started();
        health.queued(Family::Ipv6, start);
        health.queued(Family::Ipv4, start);
        health.updated(Family::Ipv4, start + seconds(1));
        let health = health.health(start + TIMEOUT);
        assert!(!health.healthy);
        let of = |family| health.status[family].healthy;
        assert!(of("IPv4"));
        assert!(!of("IPv6"));
        assert_eq!(health.last_updated, Some(start + seconds(1)));
    }

    #[test]
    fn a_family_counts_from_the_start_of_its_loop_on() {
        let health = ProxyHealth::new(TIMEOUT);
        let start = Moment::now();
        health.queued(Family::Ipv4, start);
        assert!(health.is_healthy(start + seconds(1_000)));
        assert!(health.health(start).status.is_empty());
        health.updated(Family::Ipv4, start);
        let later = health.health(start + seconds(1_000));
        assert_eq!(later.status.keys().collect::<Vec<_>>(), [&"IPv4"]);
    }

    #[test]
    fn a_longer_timeout_applies_at_once() {
        let (health, start) = started();
        health.queued(Family::Ipv4, start);
        assert!(!health.is_healthy(start + TIMEOUT));
        health.set_timeout(TIMEOUT * 2);
        assert!(health.is_healthy(start + TIMEOUT));
    }

    #[test]
    fn warnings_keep_their_time_and_change_no_status() {
        let (health, start) = started();
        health.warn("watch services", "connection refused", start);
        health.warn("watch services", "timed out", start + seconds(5));
        let shown = health.health(start + seconds(1_000));
        assert!(shown.healthy);
        let expected = Warning {
            subject: "watch services".to_owned(),
            since: start.rfc3339(),
            message: "timed out".to_owned(),
        };
        assert_eq!(shown.warnings, [expected]);
        health.clear("watch services");
        assert!(health.health(start).warnings.is_empty());
    }
}
