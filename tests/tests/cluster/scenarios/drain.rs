//! A node that is emptied for maintenance.

use super::{Stage, play};
use serde_json::json;
use viprule_testkit::k8s_openapi::api::core::v1::Pod;

#[test]
fn draining_a_node_costs_no_connection() {
    play("drain", |stage, app| {
        app.deploy("", 6, "v1");
        app.expose(None, json!({}));
        app.settled("");
        assert!(!on_node(stage, &app.pods("")).is_empty());
        let traffic = app.traffic();
        stage.cordon(1, true);
        // As `kubectl drain` does, but one after the other, as a budget would have it.
        for pod in on_node(stage, &app.pods("")) {
            stage.evict(&pod);
            app.settled("");
        }
        assert_eq!(on_node(stage, &app.pods("")), Vec::<String>::new());
        // Nobody is there, and its node port still leads to the other node's pods.
        traffic.outlast();
        let report = traffic.stop();
        stage.cordon(1, false);
        assert!(report.programmed() > 0);
        report
    });
}

/// Those of these pods that are on node-1.
fn on_node(stage: &Stage, pods: &[String]) -> Vec<String> {
    let there = |name: &&String| {
        let pod = stage.api().get::<Pod>(&format!("default/{name}"));
        let spec = pod.unwrap().and_then(|pod| pod.spec);
        spec.and_then(|spec| spec.node_name).as_deref() == Some("node-1")
    };
    pods.iter().filter(there).cloned().collect()
}
