//! Clients that stay with their pod.

use super::play;
use serde_json::json;
use std::collections::BTreeSet;
use viprule_testkit::Protocol::Tcp;
use viprule_testkit::client::Client;

#[test]
fn with_session_affinity_each_client_keeps_its_pod_until_the_pod_goes() {
    play("affinity", |stage, app| {
        app.deploy("", 4, "v1");
        let affinity = json!({ "sessionAffinity": "ClientIP" });
        app.expose(None, affinity);
        app.settled("");
        let traffic = app.traffic();
        let cluster_ip = app.cluster_ip();
        let stuck = |client: &Client<'_>| {
            let spread = client.spread(Tcp, cluster_ip, 100).unwrap();
            assert_eq!(spread.failed(), 0, "{:?}", spread.failures);
            assert_eq!(spread.backends.len(), 1, "{:?}", spread.backends);
            *spread.backends.keys().next().unwrap()
        };
        let pod = Client::new(stage.client_pod().namespace());
        let first = stuck(&pod);
        assert_eq!(stuck(&pod), first);
        // Others choose for themselves.
        let others = [0, 1].map(|node| stuck(&Client::new(stage.node(node))));
        eprintln!("affinity: {first} for the pod, {others:?} for the nodes");
        // A pod that goes is left, and whom its clients choose then they keep.
        let gone = stage.identity(first).pod;
        let name = format!("default/{gone}");
        stage
            .api()
            .delete::<viprule_testkit::k8s_openapi::api::core::v1::Pod>(&name)
            .unwrap();
        stage.wait("the pod to be gone", |_| {
            Some(!app.pods("").contains(&gone))
        });
        app.settled("");
        let second = stuck(&pod);
        assert_ne!(second, first);
        assert_eq!(stuck(&pod), second);
        let report = traffic.stop();
        let used: BTreeSet<_> = report.backends().into_keys().collect();
        assert!(used.contains(&first), "{used:?}");
        report
    });
}
