//! `/healthz` and `/livez` beside what kube-proxy answered.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use viprule::health::{HealthEndpoint, Moment, ProxyHealth};
use viprule::http::{Server, ServerOptions};
use viprule::mode::ipvs;
use viprule_service::model::Family;

use super::support::{Answer, address, get, in_namespace, metrics, request};

const GOLDEN: &str = include_str!("golden/healthz.txt");
const AT: &str = "127.0.0.1:10256";

/// 2026-11-23T04:19:18.935087269Z, when kube-proxy was asked.
fn asked() -> Moment {
    let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_795_407_558_935_087_269);
    Moment::new(Instant::now(), time)
}

/// When it had synced, before it was asked.
const V4_BEFORE: Duration = Duration::from_nanos(7_620_250_753);
const V6_BEFORE: Duration = Duration::from_nanos(7_427_644_194);

async fn serve(health: ProxyHealth) -> (Arc<ProxyHealth>, Server) {
    let health = Arc::new(health);
    let endpoint = HealthEndpoint::new(health.clone(), metrics(ipvs::METRICS), asked);
    let options = ServerOptions::new("proxy health");
    let server = Server::start(options, Some(address(AT)), Arc::new(endpoint));
    server.listening().await.unwrap();
    (health, server)
}

fn synced() -> ProxyHealth {
    let health = ProxyHealth::new(Duration::from_secs(60));
    health.set_node_eligible(true);
    health.updated(Family::Ipv4, asked().earlier(V4_BEFORE));
    health.updated(Family::Ipv6, asked().earlier(V6_BEFORE));
    health
}

#[test]
fn the_answer_is_kube_proxys_byte_for_byte() {
    in_namespace(|| async {
        let (_, _server) = serve(synced()).await;
        let mut golden = Answer::parse(GOLDEN);
        // kube-proxy reads the clock twice, some milliseconds apart.
        golden.body = golden.body.replace(
            "{\"lastUpdated\":\"2026-11-23T04:19:18.938191775Z\"",
            "{\"lastUpdated\":\"2026-11-23T04:19:18.935087269Z\"",
        );
        let mut answer = get(address(AT), "/healthz").await;
        let date = |answer: &mut Answer| answer.headers.retain(|(name, _)| name != "Date");
        assert!(answer.header("Date").is_some());
        date(&mut answer);
        date(&mut golden);
        assert_eq!(answer, golden);
    });
}

#[test]
fn livez_does_not_mention_the_node() {
    in_namespace(|| async {
        let (health, _server) = serve(synced()).await;
        let body = get(address(AT), "/healthz").await.body;
        let without = body.replace("\"nodeEligible\":true,", "");
        assert_eq!(get(address(AT), "/livez").await.body, without);
        health.set_node_eligible(false);
        assert_eq!(get(address(AT), "/livez").await.status, 200);
        let answer = get(address(AT), "/healthz").await;
        assert_eq!(answer.status, 503);
        assert_eq!(
            answer.body,
            "{\"lastUpdated\":\"2026-11-23T04:19:11.507443075Z\",\
             \"currentTime\":\"2026-11-23T04:19:18.935087269Z\",\"nodeEligible\":false,\
             \"healthy\":true,\"status\":{\
             \"IPv4\":{\"lastUpdated\":\"2026-11-23T04:19:11.314836516Z\",\"healthy\":true},\
             \"IPv6\":{\"lastUpdated\":\"2026-11-23T04:19:11.507443075Z\",\"healthy\":true}}}"
        );
    });
}

#[test]
fn a_stuck_family_fails_both() {
    in_namespace(|| async {
        let (health, _server) = serve(synced()).await;
        health.queued(Family::Ipv6, asked().earlier(Duration::from_secs(60)));
        for path in ["/healthz", "/livez"] {
            let answer = get(address(AT), path).await;
            assert_eq!(answer.status, 503);
            assert!(
                answer
                    .body
                    .contains("\"healthy\":false,\"status\":{\"IPv4\":{")
            );
            assert!(
                answer.body.ends_with("Z\",\"healthy\":false}}}"),
                "{answer:?}"
            );
        }
    });
}

#[test]
fn before_the_first_sync_there_is_no_status() {
    in_namespace(|| async {
        let (_, _server) = serve(ProxyHealth::new(Duration::from_secs(60))).await;
        let answer = get(address(AT), "/healthz").await;
        assert_eq!(answer.status, 503);
        assert_eq!(
            answer.body,
            "{\"lastUpdated\":\"0001-01-01T00:00:00Z\",\
             \"currentTime\":\"2026-11-23T04:19:18.935087269Z\",\
             \"nodeEligible\":false,\"healthy\":true}"
        );
        assert_eq!(get(address(AT), "/livez").await.status, 200);
    });
}

#[test]
fn a_failing_watch_shows_and_fails_nothing() {
    in_namespace(|| async {
        let (health, _server) = serve(synced()).await;
        let since = asked().earlier(Duration::from_secs(3600));
        health.warn("watch services", "connection refused", since);
        let answer = get(address(AT), "/livez").await;
        assert_eq!(answer.status, 200);
        let warning = "\"healthy\":true}},\"warnings\":[{\"subject\":\"watch services\",\
                       \"since\":\"2026-11-23T03:19:18.935087269Z\",\
                       \"message\":\"connection refused\"}]}";
        assert!(answer.body.ends_with(warning), "{answer:?}");
        health.clear("watch services");
        assert!(!get(address(AT), "/livez").await.body.contains("warnings"));
    });
}

#[test]
fn any_method_is_answered_and_other_paths_are_not_found() {
    in_namespace(|| async {
        let (_, _server) = serve(synced()).await;
        let answer = request(address(AT), "DELETE", "/livez").await.unwrap();
        assert_eq!(answer.status, 200);
        for path in ["/", "/healthz/", "/readyz", "/metrics"] {
            let answer = get(address(AT), path).await;
            assert_eq!(answer.status, 404);
            assert_eq!(answer.body, "404 page not found\n");
            assert_eq!(
                answer.header("Content-Type"),
                Some("text/plain; charset=utf-8")
            );
        }
    });
}
