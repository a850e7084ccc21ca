//! A load balancer's address.

use super::play;
use super::traffic::answered;
use serde_json::json;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use viprule_testkit::Protocol::Tcp;
use viprule_testkit::client::Client;

#[test]
fn a_load_balancer_s_address_works_from_the_moment_that_it_is_known() {
    /// Nobody's; the client outside sends what it has no route for to node-0.
    const VIP: &str = "203.0.113.80";
    play("load-balancer", |stage, app| {
        app.deploy("", 3, "v1");
        app.expose(None, json!({ "type": "LoadBalancer" }));
        app.settled("");
        let traffic = app.traffic();
        let target = SocketAddr::new(VIP.parse().unwrap(), 80);
        let outside = Client::new(stage.outside());
        let before = outside.timeout(Duration::from_millis(300)).tcp(target);
        assert!(
            !before.unwrap().is_answered(),
            "it works before it is known"
        );
        let written = Instant::now();
        app.set_load_balancer(VIP);
        answered(&outside.timeout(Duration::from_secs(3)), target);
        eprintln!(
            "load-balancer: first answer {:.1?} after the status was written",
            written.elapsed()
        );
        for client in [
            outside,
            Client::new(stage.client_pod().namespace()),
            Client::new(stage.node(0)),
        ] {
            let spread = client.spread(Tcp, target, 100).unwrap();
            assert_eq!(spread.failed(), 0, "{:?}", spread.failures);
            assert_eq!(spread.backends.len(), 3, "{:?}", spread.backends);
        }
        traffic.outlast();
        traffic.stop()
    });
}
