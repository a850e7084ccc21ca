//! Settings of the node that have to be as they are: looked at again from time to time, as nobody
//! tells when another program changes them.

use std::collections::BTreeMap;

use viprule_writer::host::Outcome;

use crate::health::{Moment, ProxyHealth};
use crate::metrics::Metrics;

/// What health calls them.
const SUBJECT: &str = "host settings";

/// What was told of the settings, so that only changes are.
#[derive(Debug, Default)]
pub(super) struct HostWatch {
    /// What can't be put right, and what was said about it.
    told: BTreeMap<String, String>,
}

impl HostWatch {
    /// Tells what came of a look that put right what it could. Where nothing works without what it
    /// could not, as `vital` says, the node is not healthy until that is right.
    pub(super) fn looked(
        &mut self,
        outcome: &Outcome,
        vital: &[&str],
        health: &ProxyHealth,
        metrics: &Metrics,
    ) {
        for change in &outcome.changed {
            tracing::warn!(
                from = change.from,
                to = change.to,
                "another program changed {}; put right",
                change.setting
            );
            metrics.host_setting_repaired();
        }
        let problems = outcome.problems.iter();
        let wrong: BTreeMap<String, String> = problems
            .map(|it| (it.setting.clone(), it.to_string()))
            .collect();
        for (setting, message) in &wrong {
            if self.told.get(setting) != Some(message) {
                tracing::error!("{message}");
            }
        }
        for setting in self.told.keys().filter(|it| !wrong.contains_key(*it)) {
            tracing::info!("{setting} is right again");
        }
        metrics.host_settings_wrong(wrong.len());
        let messages: Vec<&str> = wrong.values().map(String::as_str).collect();
        let message = messages.join("; ");
        if wrong.is_empty() {
            health.clear(SUBJECT);
        } else if wrong
            .keys()
            .any(|setting| vital.contains(&setting.as_str()))
        {
            health.fail(SUBJECT, &message, Moment::now());
        } else {
            health.warn(SUBJECT, &message, Moment::now());
        }
        self.told = wrong;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use viprule_service::model::Family;
    use viprule_writer::host::{Change, Problem, Why};

    use super::*;
    use crate::metrics::BuildInfo;
    use crate::mode::iptables::METRICS;

    fn wrong(setting: &str) -> Outcome {
        Outcome {
            changed: Vec::new(),
            problems: vec![Problem {
                setting: setting.to_owned(),
                wanted: "1".to_owned(),
                current: Some("0".to_owned()),
                essential: true,
                why: Why::ReadOnly,
            }],
        }
    }

    #[test]
    fn what_nothing_works_without_makes_the_node_unhealthy_until_it_is_right() {
        let health = ProxyHealth::new(Duration::from_secs(60));
        health.updated(Family::Ipv4, Moment::now());
        let metrics = Metrics::new(METRICS, &BuildInfo::of_this_program()).unwrap();
        let mut watch = HostWatch::default();
        let vital = ["net.ipv4.vs.conntrack", "net.ipv4.ip_forward"];
        let mut look = |outcome: &Outcome| {
            watch.looked(outcome, &vital, &health, &metrics);
            let now = health.health(Moment::now());
            assert_eq!(now.healthy, health.is_healthy(Moment::now()));
            let messages = now.warnings.into_iter().map(|it| it.message);
            (now.healthy, messages.collect::<Vec<_>>().concat())
        };
        let (healthy, message) = look(&wrong("net.ipv4.vs.expire_nodest_conn"));
        assert!(healthy && message.contains("read-only"), "{message}");
        for setting in vital {
            let (healthy, message) = look(&wrong(setting));
            assert!(!healthy && message.starts_with(setting), "{message}");
            // A sync that works changes nothing about it.
            health.updated(Family::Ipv4, Moment::now());
            assert!(!health.is_healthy(Moment::now()));
        }
        let text = metrics.render().unwrap();
        assert!(text.contains("\nviprule_host_settings_wrong 1\n"), "{text}");
        let repaired = Outcome {
            changed: vec![Change {
                setting: "net.ipv4.ip_forward".to_owned(),
                from: "0".to_owned(),
                to: "1".to_owned(),
            }],
            problems: Vec::new(),
        };
        assert_eq!(look(&repaired), (true, String::new()));
        let text = metrics.render().unwrap();
        assert!(text.contains("\nviprule_host_settings_wrong 0\n"), "{text}");
        assert!(
            text.contains("\nviprule_host_settings_repaired_total 1\n"),
            "{text}"
        );
    }
}
