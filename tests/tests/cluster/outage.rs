//! The API server goes: the node goes on.

use crate::support::{LIMIT, Stage, flawless, leads_to, setting};
use std::thread::sleep;
use std::time::{Duration, Instant};
use viprule_testkit::cluster::{HEALTH_PORT, Proxy, http_get, kernel};

/// Connections a second.
const RATE: u32 = 300;

/// The API server is away for `VIPRULE_OUTAGE` seconds, 60 in a full run.
fn outage(proxy: Proxy) {
    let away = Duration::from_secs(setting("VIPRULE_OUTAGE", 8).into());
    let mut stage = Stage::new();
    let mut agent = stage.run(proxy);
    let rules = stage.settled();
    let generation = kernel::generation(stage.node()).unwrap();
    let load = stage.load(RATE);

    stage.cluster.control_plane().kill_apiserver().unwrap();
    let start = Instant::now();
    while start.elapsed() < away {
        assert_eq!(stage.dumps(), rules, "after {:?}", start.elapsed());
        sleep(Duration::from_secs(1));
    }
    let health = http_get(stage.node(), HEALTH_PORT, "/healthz");
    eprintln!("{proxy}, {away:?} without API server: /healthz {health:?}");
    stage.cluster.control_plane().start_apiserver().unwrap();
    let back = Instant::now();

    // The first change that comes through tells that the proxy watches again.
    stage.write_endpoints(&["10.244.0.71"]);
    stage.wait_rules(&mut agent, "an endpoint's end in the kernel", |[v4, _]| {
        !leads_to(v4, "10.244.1.71")
    });
    eprintln!(
        "{proxy}: a change after the outage is in the kernel {:.1?} after the API server's return",
        back.elapsed()
    );
    stage.write_endpoints(&["10.244.0.71", "10.244.1.71"]);
    stage.wait_same(&mut agent, &rules);
    if proxy == Proxy::Viprule {
        // One commit for each change, none for the relist.
        let now = kernel::generation(stage.node()).unwrap();
        assert_eq!(now, generation + 2);
    }
    let report = load.stop().unwrap();
    flawless(&format!("{proxy}, API server away"), &report);
}

#[test]
fn kube_proxy_goes_on_without_api_server() {
    outage(Proxy::KubeProxy);
}

#[test]
fn without_api_server_nothing_changes_and_after_it_only_what_differs() {
    outage(Proxy::Viprule);
}

/// etcd goes back to a revision of before some changes. Real kube-proxy misses some of it now and
/// then: the server soon passes the version at which its watches go on.
#[test]
fn etcd_restored_to_an_older_revision_is_followed() {
    let proxy = Proxy::Viprule;
    let mut stage = Stage::new();
    let mut agent = stage.run(proxy);
    let rules = stage.settled();
    let load = stage.load(RATE);
    let snapshot = stage.cluster.control_plane().snapshot().unwrap();
    stage
        .cluster
        .api()
        .unwrap()
        .wait_until("the API server", LIMIT, |api| Ok(api.is_ready()))
        .unwrap();
    for endpoints in [&["10.244.0.71"][..], &["10.244.1.71"]] {
        stage.write_endpoints(endpoints);
        let [keep, gone] = match endpoints[0] {
            "10.244.0.71" => ["10.244.0.71", "10.244.1.71"],
            _ => ["10.244.1.71", "10.244.0.71"],
        };
        stage.wait_rules(&mut agent, "another endpoint in the kernel", |[v4, _]| {
            leads_to(v4, keep) && !leads_to(v4, gone)
        });
    }
    stage.cluster.control_plane().restore(&snapshot).unwrap();
    let took = stage.wait_same(&mut agent, &rules);
    eprintln!("{proxy}: the older state is in the kernel {took:.1?} after the API server's return");
    let report = load.stop().unwrap();
    flawless(&format!("{proxy}, etcd restored"), &report);
}
