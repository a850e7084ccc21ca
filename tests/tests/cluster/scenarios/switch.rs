//! Two Deployments behind one Service.

use super::play;
use serde_json::json;
use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};
use viprule_testkit::Protocol::Tcp;
use viprule_testkit::client::{Client, Spread};

#[test]
fn switching_the_selector_from_blue_to_green_costs_no_connection() {
    play("blue-green", |stage, app| {
        app.deploy("blue", 3, "blue");
        app.deploy("green", 3, "green");
        app.expose(Some("blue"), json!({}));
        app.settled("blue");
        app.settled("green");
        let traffic = app.traffic();
        let client = Client::new(stage.client_pod().namespace());
        for track in ["green", "blue", "green"] {
            app.expose(Some(track), json!({}));
            let start = Instant::now();
            loop {
                let spread = client.spread(Tcp, app.cluster_ip(), 50).unwrap();
                let versions = by_version(stage, &spread);
                if versions.len() == 1 && versions.contains_key(track) {
                    break;
                }
                assert!(start.elapsed() < crate::support::LIMIT, "{versions:?}");
                sleep(Duration::from_millis(20));
            }
            traffic.outlast();
        }
        let report = traffic.stop();
        assert_eq!(report.backends().len(), 6);
        report
    });
}

#[test]
fn a_canary_gets_its_share() {
    /// New connections to be judged.
    const ATTEMPTS: u32 = 4000;
    /// Standard deviations of the binomial distribution; a right dataplane is further off once in
    /// 15,000 runs.
    const SIGMAS: f64 = 4.0;
    play("canary", |stage, app| {
        app.deploy("stable", 9, "v1");
        app.deploy("canary", 1, "v2");
        app.expose(None, json!({}));
        app.settled("stable");
        app.settled("canary");
        let traffic = app.traffic();
        let client = Client::new(stage.client_pod().namespace());
        app.in_use(10);
        let spread = client.spread(Tcp, app.cluster_ip(), ATTEMPTS).unwrap();
        let canary = by_version(stage, &spread).remove("v2").unwrap_or_default();
        let (attempts, share) = (f64::from(ATTEMPTS), 0.1);
        let deviation = (attempts * share * (1.0 - share)).sqrt();
        let distance = (f64::from(u32::try_from(canary).unwrap()) - attempts * share).abs();
        eprintln!(
            "canary: {canary} of {ATTEMPTS} connections, 10 % is {:.0} ± {deviation:.0}",
            attempts * share
        );
        assert_eq!(spread.failed(), 0, "{:?}", spread.failures);
        assert!(distance <= SIGMAS * deviation, "{canary} of {ATTEMPTS}");
        traffic.outlast();
        let report = traffic.stop();
        assert_eq!(report.backends().len(), 10);
        report
    });
}

fn by_version(stage: &super::Stage, spread: &Spread) -> BTreeMap<String, u64> {
    let mut versions = BTreeMap::new();
    for (backend, count) in &spread.backends {
        *versions
            .entry(stage.identity(*backend).version)
            .or_default() += count;
    }
    versions
}
