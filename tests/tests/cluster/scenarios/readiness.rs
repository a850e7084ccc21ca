//! Pods that say they can't, and then that they can again.

use super::play;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};
use viprule_testkit::client::Client;

#[test]
fn pods_that_fail_their_readiness_probe_get_no_connections_until_they_recover() {
    play("readiness", |stage, app| {
        app.deploy("", 3, "v1");
        app.expose(None, serde_json::json!({}));
        app.settled("");
        let traffic = app.traffic();
        let cluster_ip = app.cluster_ip();
        let answers = || {
            let client = Client::new(stage.client_pod().namespace());
            let tcp = viprule_testkit::Protocol::Tcp;
            let spread = client.spread(tcp, cluster_ip, 60).unwrap();
            spread.backends
        };
        for pod in app.pods("") {
            let pod = stage.pod(&pod);
            let address = SocketAddr::new(pod.addresses()[0], 8080);
            pod.switches().set_ready(false);
            wait("the pod to be out of use", || {
                !answers().contains_key(&address)
            });
            pod.switches().set_ready(true);
            wait("the pod to be in use", || answers().contains_key(&address));
            // Readiness is reported; the other two carried the load.
            traffic.outlast();
        }
        let report = traffic.stop();
        assert_eq!(report.backends().len(), 3);
        // Each of three pods went and came, on two nodes.
        assert!(report.programmed() >= 12, "{}", report.programmed());
        report
    });
}

#[track_caller]
fn wait(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < crate::support::LIMIT, "{what}");
        sleep(Duration::from_millis(50));
    }
}
