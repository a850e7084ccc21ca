//! viprule and real kube-proxy take over from each other on a real cluster, in IPVS mode.

use crate::scene::require_ipvs;
use crate::support::{LIMIT, at, rate};
use std::net::IpAddr;
use std::time::Duration;
use viprule_testkit::Protocol::Tcp;
use viprule_testkit::client::{KeepAlive, Load};
use viprule_testkit::cluster::{Cluster, HEALTH_PORT, Proxy, http_get};
use viprule_testkit::dump::{ForeignState, VirtualServers};
use viprule_testkit::manifests::{service, slice};
use viprule_testkit::server::Server;

/// Connections a second, see [`rate`].
const MANY: u32 = 1_000;
/// Connections after each takeover.
const FURTHER: u64 = 100;
/// The Services' endpoints.
const ENDPOINTS: [&str; 3] = ["10.244.0.71", "10.244.0.72", "10.244.0.73"];
const TARGETS: [&str; 4] = [
    "10.1.0.71:80",
    "192.168.77.2:30071",
    "203.0.113.71:80",
    "[fd00:10:1::74]:80",
];

/// The client's own addresses.
const CLIENTS: [&str; 2] = ["192.168.77.100", "fd00:77::100"];

/// Each proxy takes over from the one before; the last one cleans up.
#[test]
fn kube_proxy_and_viprule_take_over_from_each_other() {
    require_ipvs();
    let cluster = Cluster::start(1).unwrap();
    let node = cluster.node(0).namespace();
    let api = cluster.api().unwrap();
    let (mut pods, mut servers) = (Vec::new(), Vec::new());
    for (endpoint, port) in ENDPOINTS
        .into_iter()
        .chain(["fd00:10:244::74"])
        .zip([8080; 4])
    {
        let ip: IpAddr = endpoint.parse().unwrap();
        let pod = cluster.node(0).add_pod(endpoint, &[ip]).unwrap();
        servers.push(Server::start(pod.namespace(), Tcp, (ip, port).into()).unwrap());
        pods.push(pod);
    }
    let web = service("web")
        .cluster_ip("10.1.0.71")
        .tcp("", 80, 8080)
        .node_port(30_071);
    let web = web.load_balancer("203.0.113.71");
    api.apply(web.json()).unwrap();
    let v4 = ENDPOINTS
        .into_iter()
        .fold(slice("web-1", "web").tcp("", 8080), |slice, ip| {
            slice.ready(ip, "node-0")
        });
    let six = service("six").cluster_ip("fd00:10:1::74").tcp("", 80, 8080);
    api.apply(six.json()).unwrap();
    let v6 = slice("six-1", "six")
        .tcp("", 8080)
        .ready("fd00:10:244::74", "node-0");
    for slice in [v4, v6] {
        api.apply(slice.json()).unwrap();
    }
    let config = cluster.proxy_config(0).unwrap().set("/mode", "ipvs");
    let config = config
        .set("/ipvs/minSyncPeriod", "0s")
        .set("/ipvs/syncPeriod", "30s");
    let config = cluster.write_proxy_config(0, &config).unwrap();
    cluster
        .network()
        .client()
        .ip(["route replace 203.0.113.71/32 via 192.168.77.2"])
        .unwrap();

    let untouched = ForeignState::take(node).unwrap();
    let start = |proxy: Proxy| {
        let mut agent = proxy.start(node, &config).unwrap();
        let healthy = || matches!(http_get(node, HEALTH_PORT, "/healthz"), Ok((200, _)));
        agent
            .wait_until("/healthz to say 200", LIMIT, healthy)
            .unwrap();
        let client = cluster.outside().timeout(Duration::from_secs(3));
        for target in TARGETS {
            // kube-proxy writes its chains last, IPv6 behind IPv4, long after it says that it is
            // healthy: without them nothing is masqueraded.
            let masqueraded = || {
                let answer = client.tcp(at(target)).unwrap().result;
                answer.is_ok_and(|answer| !CLIENTS.contains(&answer.peer.ip().to_string().as_str()))
            };
            agent
                .wait_until(
                    &format!("a masqueraded answer of {target}"),
                    LIMIT,
                    masqueraded,
                )
                .unwrap();
        }
        agent
    };
    let mut agent = start(Proxy::KubeProxy);
    let written = VirtualServers::take(node).unwrap();
    let load = Load::new(rate(MANY), TARGETS.map(at)).at_most(64);
    let load = load.start(cluster.network().client()).unwrap();
    let client = cluster.outside().timeout(LIMIT);
    let mut open = TARGETS.map(|target| client.keep_alive(at(target)).unwrap().unwrap());
    let mut ask = || {
        open.each_mut()
            .map(|open: &mut KeepAlive| open.ask().result)
    };
    let answers = ask();
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    for proxy in [Proxy::Viprule, Proxy::KubeProxy, Proxy::Viprule] {
        agent.terminate(LIMIT).unwrap();
        agent = start(proxy);
        load.outlast(FURTHER).unwrap();
        assert_eq!(ask(), answers, "after {proxy} took over");
        let now = VirtualServers::take(node).unwrap();
        assert!(written == now, "{proxy}:\n{}", written.differences(&now));
    }
    agent.terminate(LIMIT).unwrap();
    let report = load.stop().unwrap();
    assert!(report.answered() > 0, "{report:?}");
    assert_eq!(report.failed(), 0, "{report:#?}");

    Proxy::Viprule.cleanup(node, &config).unwrap();
    let left = VirtualServers::take(node).unwrap();
    assert!(left.is_empty(), "{left}");
    let after = ForeignState::take(node).unwrap();
    assert_eq!(untouched, after, "{}", untouched.changes(&after));
}
