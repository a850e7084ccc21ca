//! The debug server's paths.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use netlink_batch::Socket;
use nfnetlink::nfacct;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use viprule::debug::{DebugEndpoint, Fallible, Pages};
use viprule::http::{Server, ServerOptions};
use viprule::mode::{ModeMetrics, iptables};
use viprule_dataplane::netfilter::counter;

use super::support::{address, get, in_namespace, metrics, request};

const AT: &str = "127.0.0.1:10249";
const MODE: ModeMetrics = ModeMetrics {
    nfacct: true,
    ..iptables::METRICS
};

async fn serve() -> Server {
    serve_with(None).await
}

async fn serve_with(services: Option<Fallible>) -> Server {
    let pages = Pages {
        mode: Box::new(|| "iptables".to_owned()),
        config: Box::new(|| "{\"kubeproxy.config.k8s.io\":{}}".to_owned()),
        flags: vec![("v".to_owned(), "2".to_owned())],
        version: "0.1.0",
        services,
    };
    let endpoint = DebugEndpoint::new(metrics(MODE), pages).unwrap();
    let options = ServerOptions::new("metrics");
    let server = Server::start(options, Some(address(AT)), Arc::new(endpoint));
    server.listening().await.unwrap();
    server
}

#[test]
fn metrics_come_as_text_with_the_start_time_in_the_head() {
    in_namespace(|| async {
        let _server = serve().await;
        let answer = get(address(AT), "/metrics").await;
        assert_eq!(answer.status, 200);
        let kind = answer.header("Content-Type").unwrap();
        assert!(kind.starts_with("text/plain; version=0.0.4; charset=utf-8"));
        let started = answer.header("Process-Start-Time-Unix").unwrap();
        assert!(started.parse::<u64>().unwrap() > 1_500_000_000);
        assert!(answer.body.contains("\nprocess_resident_memory_bytes "));
        assert!(
            answer
                .body
                .contains("\nprocess_network_receive_bytes_total ")
        );
        assert!(answer.body.contains("compiler=\"rustc\""));
    });
}

#[test]
fn packet_counters_are_read_from_the_kernel() {
    in_namespace(|| async {
        let _server = serve().await;
        let golden = include_str!("golden/metrics-iptables.txt");
        let golden: Vec<_> = golden
            .lines()
            .filter(|line| line.contains("_packets_total "))
            .collect();
        assert_eq!(golden.len(), 4);
        let before = get(address(AT), "/metrics").await.body;
        assert!(!before.contains("_packets_total"), "there are no counters");
        let mut socket = Socket::open(12).unwrap();
        for name in counter::ALL {
            nfacct::ensure(&mut socket, name).unwrap();
        }
        feed();
        let text = get(address(AT), "/metrics").await.body;
        for line in golden {
            assert!(text.lines().any(|served| served == line), "{line}\n{text}");
        }
        let dropped = "\nkubeproxy_iptables_ct_state_invalid_dropped_packets_total 3\n";
        assert!(text.contains(dropped), "{text}");
        let accepted = "\nkubeproxy_iptables_localhost_nodeports_accepted_packets_total 0\n";
        assert!(text.contains(accepted), "{text}");
    });
}

#[test]
fn counters_of_services_are_served_where_the_mode_has_them() {
    in_namespace(|| async {
        let server = serve().await;
        assert_eq!(get(address(AT), "/metrics/services").await.status, 404);
        drop(server);
        let calls = Arc::new(AtomicUsize::new(0));
        let services: Fallible = Arc::new(move || match calls.fetch_add(1, Relaxed) {
            0 => Ok("viprule_service_connections_total 1\n".to_owned()),
            _ => Err(anyhow::anyhow!("the kernel is gone").context("reading counters")),
        });
        let _server = serve_with(Some(services)).await;
        let answer = get(address(AT), "/metrics/services").await;
        assert_eq!(answer.body, "viprule_service_connections_total 1\n");
        let kind = answer.header("Content-Type").unwrap();
        assert!(kind.starts_with("text/plain; version=0.0.4; charset=utf-8"));
        let answer = get(address(AT), "/metrics/services").await;
        assert_eq!(answer.status, 500);
        let why = "reading counters: the kernel is gone";
        assert!(answer.body.contains(why), "{}", answer.body);
        // Nobody else's.
        assert!(
            !get(address(AT), "/metrics")
                .await
                .body
                .contains("_service_connections")
        );
    });
}

/// Three packets that a rule counts.
fn feed() {
    let rule = "-A OUTPUT -p udp -m nfacct --nfacct-name ct_state_invalid_dropped_pkts";
    let status = std::process::Command::new("iptables-nft")
        .args(rule.split(' '))
        .status()
        .unwrap();
    assert!(status.success());
    let from = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..3 {
        // Refused by whoever does not listen there, after it was counted.
        let _ = from.send_to(b"x", "127.0.0.1:9");
    }
}

#[test]
fn small_pages_are_kube_proxys() {
    in_namespace(|| async {
        let _server = serve().await;
        for (path, kind, body) in [
            ("/healthz", "text/plain; charset=utf-8", "ok"),
            ("/healthz/ping", "text/plain; charset=utf-8", "ok"),
            (
                "/healthz?verbose",
                "text/plain; charset=utf-8",
                "[+]ping ok\nhealthz check passed\n",
            ),
            ("/proxyMode", "text/plain; charset=utf-8", "iptables"),
            (
                "/configz",
                "application/json",
                "{\"kubeproxy.config.k8s.io\":{}}",
            ),
        ] {
            let answer = get(address(AT), path).await;
            assert_eq!((answer.status, &*answer.body), (200, body));
            assert_eq!(answer.header("Content-Type"), Some(kind));
            assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
        }
        assert!(get(address(AT), "/flagz").await.body.ends_with("\nv=2\n"));
        let status = get(address(AT), "/statusz").await.body;
        assert!(status.contains("Binary version: 0.1.0\n"), "{status}");
    });
}

#[test]
fn nothing_else_is_found() {
    in_namespace(|| async {
        let _server = serve().await;
        for path in [
            "/",
            "/livez",
            "/readyz",
            "/healthz/x",
            "/debug/pprof/",
            "/metrics/",
        ] {
            let answer = get(address(AT), path).await;
            assert_eq!(
                (answer.status, &*answer.body),
                (404, "404 page not found\n")
            );
        }
    });
}

#[test]
fn health_checks_are_counted_until_reset() {
    in_namespace(|| async {
        let _server = serve().await;
        for path in ["/healthz", "/healthz?exclude=ping", "/healthz"] {
            get(address(AT), path).await;
        }
        let text = get(address(AT), "/metrics/slis").await.body;
        let passed =
            "kubernetes_healthchecks_total{name=\"ping\",status=\"success\",type=\"healthz\"} 2\n";
        assert!(text.contains(passed), "{text}");
        assert!(text.contains("kubernetes_healthcheck{name=\"ping\",type=\"healthz\"} 1\n"));
        let answer = request(address(AT), "DELETE", "/metrics/slis")
            .await
            .unwrap();
        assert_eq!(answer.body, "metrics reset\n");
        let text = get(address(AT), "/metrics/slis").await.body;
        assert!(!text.contains("healthz"), "{text}");
    });
}

#[test]
fn many_scrapes_at_once_are_all_answered() {
    in_namespace(|| async {
        let _server = serve().await;
        let scrapes: Vec<_> = (0..30)
            .map(|_| tokio::spawn(get(address(AT), "/metrics")))
            .collect();
        for scrape in scrapes {
            assert_eq!(scrape.await.unwrap().status, 200);
        }
    });
}

#[test]
fn scrapes_that_are_given_up_cost_no_more_than_one_reading_at_a_time() {
    in_namespace(|| async {
        let (enter, leave) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let most = Arc::new(AtomicUsize::new(0));
        let counts = (enter.clone(), leave.clone(), most.clone());
        let services: Fallible = Arc::new(move || {
            let (enter, leave, most) = &counts;
            let inside = enter.fetch_add(1, SeqCst) + 1 - leave.load(SeqCst);
            most.fetch_max(inside, SeqCst);
            std::thread::sleep(Duration::from_millis(5));
            leave.fetch_add(1, SeqCst);
            Ok("counted".to_owned())
        });
        let _server = serve_with(Some(services)).await;
        for _ in 0..300 {
            let mut stream = TcpStream::connect(AT).await.unwrap();
            let head = b"GET /metrics/services HTTP/1.1\r\nHost: x\r\n\r\n";
            stream.write_all(head).await.unwrap();
        }
        assert_eq!(get(address(AT), "/metrics/services").await.body, "counted");
        assert_eq!(most.load(SeqCst), 1);
        let readings = enter.load(SeqCst);
        assert!(readings < 300, "{readings}");
    });
}
