//! A new version, and back.

use super::play;
use std::collections::BTreeSet;

#[test]
fn a_rolling_update_and_its_rollback_cost_no_connection() {
    play("rolling-update", |stage, app| {
        app.deploy("", 4, "v1");
        app.expose(None, serde_json::json!({}));
        app.settled("");
        let traffic = app.traffic();
        for version in ["v2", "v1"] {
            app.deploy("", 4, version);
            app.settled("");
            app.in_use(4);
            traffic.outlast();
            let running: BTreeSet<_> = app
                .pods("")
                .iter()
                .map(|pod| stage.pod(pod).identity().version.clone())
                .collect();
            assert_eq!(running, BTreeSet::from([version.to_owned()]));
        }
        let report = traffic.stop();
        let backends = report.backends();
        let versions = backends.keys().map(|it| stage.identity(*it).version);
        let versions: BTreeSet<_> = versions.collect();
        assert_eq!(versions, ["v1", "v2"].map(str::to_owned).into());
        // Three generations of pods were in use.
        assert!(backends.len() > 8, "{backends:?}");
        assert!(report.programmed() > 0);
        report
    });
}
