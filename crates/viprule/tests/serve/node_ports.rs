//! Health check node ports beside what kube-proxy answered, and who listens when.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use viprule::health::{
    ListenFailure, Moment, ProxyHealth, Room, ServiceCheckOptions, ServiceChecks,
};
use viprule::metrics::Metrics;
use viprule::mode::ipvs;
use viprule_service::model::{CreationTime, Family, ServiceId};
use viprule_service::plan::NodePortTargets;
use viprule_sync::ServiceCheck;

use super::support::{Answer, address, eventually, get, in_namespace, is_closed, metrics};

const GOLDEN: &str = include_str!("golden/healthcheck-nodeport.txt");
const V4: &str = "127.0.0.1:32000";
const V6: &str = "[::1]:32000";

fn edge() -> ServiceId {
    ServiceId::new("shop", "edge").unwrap()
}

fn other() -> ServiceId {
    ServiceId::new("shop", "other").unwrap()
}

fn check(port: u16, v4: Option<usize>, v6: Option<usize>) -> ServiceCheck {
    ServiceCheck {
        created: CreationTime::at(0),
        port,
        local_endpoints: [v4, v6],
    }
}

struct World {
    metrics: Arc<Metrics>,
    checks: ServiceChecks,
    health: Arc<ProxyHealth>,
    failures: mpsc::UnboundedReceiver<ListenFailure>,
}

impl World {
    fn new() -> Self {
        Self::with_room(usize::MAX, usize::MAX)
    }

    /// A world in which so many files may be open.
    fn with_room(listeners: usize, connections: usize) -> Self {
        let health = Arc::new(ProxyHealth::new(Duration::from_secs(60)));
        let (failures, heard) = mpsc::unbounded_channel();
        let metrics = metrics(ipvs::METRICS);
        let options = ServiceCheckOptions {
            retry: Duration::from_millis(20),
            health: Some(health.clone()),
            room: Room {
                listeners,
                connections,
            },
            ..ServiceCheckOptions::new(metrics.clone(), failures)
        };
        Self {
            metrics,
            checks: ServiceChecks::start(options),
            health,
            failures: heard,
        }
    }

    /// What the node's addresses are, for IPv4; IPv6 ports are on every address.
    fn set_ipv4(&self, addresses: &[&str]) {
        let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        let targets = [
            NodePortTargets::Addresses(addresses),
            NodePortTargets::Every,
        ];
        self.checks.set_targets(targets);
    }
}

async fn opens(at: &str) {
    let at: SocketAddr = address(at);
    eventually("listening", || async { !is_closed(at).await }).await;
}

async fn closes(at: &str) {
    let at: SocketAddr = address(at);
    eventually("the end of listening", || is_closed(at)).await;
}

#[test]
fn the_answer_is_kube_proxys_byte_for_byte() {
    in_namespace(|| async {
        let world = World::new();
        let change = (edge(), Some(check(32_000, Some(1), None)));
        world.checks.apply(vec![change]);
        opens(V4).await;
        let mut answer = get(address(V4), "/whatever").await;
        let mut golden = Answer::parse(GOLDEN);
        for answer in [&mut answer, &mut golden] {
            assert!(answer.header("Date").is_some());
            answer.headers.retain(|(name, _)| name != "Date");
        }
        assert_eq!(answer, golden);
        assert!(is_closed(address(V6)).await, "it has no IPv6 cluster IP");
    });
}

#[test]
fn families_are_counted_on_their_own_and_counts_change_in_place() {
    in_namespace(|| async {
        let world = World::new();
        let change = (edge(), Some(check(32_000, Some(2), Some(0))));
        world.checks.apply(vec![change]);
        opens(V6).await;
        let weight = "X-Load-Balancing-Endpoint-Weight";
        let answer = get(address(V4), "/").await;
        assert_eq!((answer.status, answer.header(weight)), (200, Some("2")));
        let answer = get(address(V6), "/").await;
        assert_eq!((answer.status, answer.header(weight)), (503, Some("0")));
        let change = (edge(), Some(check(32_000, Some(0), Some(3))));
        world.checks.apply(vec![change]);
        eventually("the new count", || async {
            get(address(V6), "/").await.status == 200
        })
        .await;
        assert_eq!(get(address(V4), "/").await.status, 503);
    });
}

#[test]
fn an_unhealthy_proxy_fails_every_check_and_the_node_none() {
    in_namespace(|| async {
        let world = World::new();
        world.health.set_node_eligible(false);
        let change = (edge(), Some(check(32_000, Some(1), None)));
        world.checks.apply(vec![change]);
        opens(V4).await;
        assert_eq!(get(address(V4), "/").await.status, 200);
        let long_ago = Moment::now().earlier(Duration::from_secs(61));
        world.health.updated(Family::Ipv4, long_ago);
        world.health.queued(Family::Ipv4, long_ago);
        let answer = get(address(V4), "/").await;
        assert_eq!(answer.status, 503);
        assert!(answer.body.contains("\"serviceProxyHealthy\": false"));
    });
}

#[test]
fn without_a_proxy_health_server_the_proxy_counts_as_healthy() {
    in_namespace(|| async {
        let (failures, _heard) = mpsc::unbounded_channel();
        let checks =
            ServiceChecks::start(ServiceCheckOptions::new(metrics(ipvs::METRICS), failures));
        checks.apply(vec![(edge(), Some(check(32_000, Some(1), None)))]);
        opens(V4).await;
        let answer = get(address(V4), "/").await;
        assert_eq!(answer.status, 200);
        assert!(answer.body.contains("\"serviceProxyHealthy\": true"));
    });
}

#[test]
fn listeners_follow_services() {
    in_namespace(|| async {
        let world = World::new();
        let apply = |id: ServiceId, check| world.checks.apply(vec![(id, check)]);
        apply(edge(), Some(check(32_000, Some(1), Some(1))));
        apply(other(), Some(check(32_001, Some(1), Some(1))));
        opens("[::1]:32001").await;
        // Ports change hands in one go.
        let swap = vec![
            (edge(), Some(check(32_001, Some(1), Some(1)))),
            (other(), Some(check(32_000, Some(1), None))),
        ];
        world.checks.apply(swap);
        closes(V6).await;
        opens(V4).await;
        let body = get(address("127.0.0.1:32001"), "/").await.body;
        assert!(body.contains("\"name\": \"edge\""), "{body}");
        let body = get(address(V4), "/").await.body;
        assert!(body.contains("\"name\": \"other\""), "{body}");
        apply(edge(), None);
        closes("127.0.0.1:32001").await;
        closes("[::1]:32001").await;
        assert!(!is_closed(address(V4)).await);
        world.checks.stop().await;
        assert!(is_closed(address(V4)).await);
    });
}

#[test]
fn listeners_follow_addresses() {
    in_namespace(|| async {
        let world = World::new();
        let change = (edge(), Some(check(32_000, Some(1), Some(1))));
        world.checks.apply(vec![change]);
        opens("127.0.0.3:32000").await;
        world.set_ipv4(&["127.0.0.1", "127.0.0.2"]);
        closes("127.0.0.3:32000").await;
        opens("127.0.0.2:32000").await;
        opens(V4).await;
        opens(V6).await;
        world.set_ipv4(&["127.0.0.2", "127.0.0.3"]);
        closes(V4).await;
        opens("127.0.0.3:32000").await;
        opens("127.0.0.2:32000").await;
    });
}

#[test]
fn a_failure_is_told_once_and_tried_again() {
    in_namespace(|| async {
        let mut world = World::new();
        let taken = ["127.0.0.2:32000", "127.0.0.3:32000"];
        let [taken, freed] = taken.map(|at| TcpListener::bind(at).unwrap());
        world.set_ipv4(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
        let change = (edge(), Some(check(32_000, Some(1), None)));
        world.checks.apply(vec![change]);
        let failure = world.failures.recv().await.unwrap();
        assert_eq!(
            failure.note("node-0"),
            "node node-0 failed to start healthcheck \"shop/edge\" on port 32000: \
             listen tcp 127.0.0.2:32000: Address already in use (os error 98)"
        );
        // What can be served is.
        assert_eq!(get(address(V4), "/").await.status, 200);
        drop(freed);
        eventually("another try", || async {
            let at = address("127.0.0.3:32000");
            !is_closed(at).await && get(at, "/").await.status == 200
        })
        .await;
        // That try has failed at the other address again.
        assert!(world.failures.try_recv().is_err(), "it was told already");
        drop(taken);
        eventually("the last try", || async {
            let at = address("127.0.0.2:32000");
            !is_closed(at).await && get(at, "/").await.status == 200
        })
        .await;
    });
}

#[test]
fn an_address_that_is_not_there_yet_is_tried_again() {
    in_namespace(|| async {
        let mut world = World::new();
        world.set_ipv4(&["127.0.0.1", "192.0.2.1"]);
        let change = (edge(), Some(check(32_000, Some(1), None)));
        world.checks.apply(vec![change]);
        let failure = world.failures.recv().await.unwrap();
        assert!(failure.problem.contains("192.0.2.1:32000"), "{failure:?}");
        world.set_ipv4(&["127.0.0.1"]);
        // What comes later has its turn later.
        world.set_ipv4(&["127.0.0.1", "127.0.0.2"]);
        opens("127.0.0.2:32000").await;
        assert!(world.failures.try_recv().is_err(), "there is nothing wrong");
        assert_eq!(get(address(V4), "/").await.status, 200);
    });
}

#[test]
fn services_beyond_the_limit_of_open_files_are_named_and_the_oldest_are_served() {
    in_namespace(|| async {
        let mut world = World::with_room(3, usize::MAX);
        let at = |port: u16| address(&format!("127.0.0.1:{port}"));
        let name = |name| ServiceId::new("shop", name).unwrap();
        let apply = |id, check| world.checks.apply(vec![(id, check)]);
        let since = |seconds, check| ServiceCheck {
            created: CreationTime::at(seconds),
            ..check
        };
        // Who came last to this node is not who was created last.
        apply(name("a"), Some(since(3, check(32_002, Some(1), None))));
        apply(name("z"), Some(since(1, check(32_000, Some(1), Some(1)))));
        opens(V4).await;
        opens("127.0.0.1:32002").await;
        apply(name("b"), Some(since(2, check(32_001, Some(1), None))));
        let failure = world.failures.recv().await.unwrap();
        assert_eq!(failure.service, name("a"));
        let limit = "the limit of open files leaves room for 3 listeners";
        assert!(failure.problem.contains(limit), "{failure:?}");
        for (port, closed) in [(32_000, false), (32_001, false), (32_002, true)] {
            assert_eq!(is_closed(at(port)).await, closed, "{port}");
        }
        let unserved = || {
            let text = world.metrics.render().unwrap();
            let name = "\nviprule_unserved_health_checks ";
            text.split_once(name).unwrap().1.chars().next()
        };
        eventually("the count", || async { unserved() == Some('1') }).await;
        // What is older needs more, then less.
        apply(name("b"), Some(since(2, check(32_001, Some(1), Some(1)))));
        assert_eq!(world.failures.recv().await.unwrap().service, name("b"));
        assert!(is_closed(at(32_001)).await);
        apply(name("z"), None);
        eventually("room for all", || async {
            !is_closed(at(32_001)).await && !is_closed(at(32_002)).await
        })
        .await;
        eventually("the count", || async { unserved() == Some('0') }).await;
    });
}

#[test]
fn connections_to_all_ports_together_have_a_bound() {
    in_namespace(|| async {
        let world = World::with_room(usize::MAX, 2);
        let change = |name, port| {
            let id = ServiceId::new("shop", name).unwrap();
            (id, Some(check(port, Some(1), None)))
        };
        world
            .checks
            .apply(vec![change("a", 32_000), change("b", 32_001)]);
        opens("127.0.0.1:32001").await;
        let mut held = TcpStream::connect(V4).await.unwrap();
        for _ in 0..2 {
            assert_eq!(get(address("127.0.0.1:32001"), "/").await.status, 200);
        }
        let mut kept = Vec::new();
        for _ in 0..2 {
            kept.push(TcpStream::connect("127.0.0.1:32001").await.unwrap());
        }
        let mut byte = [0];
        assert!(matches!(held.read(&mut byte).await, Ok(0) | Err(_)));
        assert_eq!(get(address(V4), "/").await.status, 200);
    });
}
