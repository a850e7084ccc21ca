//! Each kind of probe against a real server, and against what goes wrong.

use k8s_openapi::api::core::v1::Container;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use viprule_testkit::kubelet::probe::{Handler, Probe, ProbeResult, Subject};
use viprule_testkit::kubelet::{Identity, PodServer, Switches};
use viprule_testkit::netns::require_privileges;
use viprule_testkit::{LIMIT, Namespace};

const PORT: u16 = 8080;

/// A pod whose address is loopback's, so that the node's side and its own are one.
struct Pod {
    subject: Subject,
    switches: Arc<Switches>,
    _server: PodServer,
}

impl Pod {
    fn new() -> Self {
        require_privileges().unwrap();
        let namespace = Arc::new(Namespace::new("pod").unwrap());
        let address = SocketAddr::from(([127, 0, 0, 1], PORT));
        let identity = Arc::new(Identity {
            pod: "web-1".to_owned(),
            version: "v1".to_owned(),
        });
        let switches = Arc::new(Switches::default());
        let server = PodServer::start(&namespace, address, identity, Arc::clone(&switches));
        Self {
            subject: Subject {
                address: address.ip(),
                namespace,
            },
            switches,
            _server: server.unwrap(),
        }
    }

    /// Asks with more time than a probe has by default, if the probe doesn't say how much.
    fn ask(&self, probe: &Value) -> ProbeResult {
        let mut probe = probe.clone();
        if probe["timeoutSeconds"].is_null() {
            probe["timeoutSeconds"] = LIMIT.as_secs().into();
        }
        let probe = read(&probe).unwrap();
        let asked = self.subject.namespace.run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().unwrap();
            runtime.block_on(probe.ask(&self.subject))
        });
        asked.unwrap()
    }

    /// Fails unless the probe fails and says so.
    #[track_caller]
    fn fails(&self, probe: &Value, words: &str) {
        let why = self.ask(probe).expect_err(words);
        assert!(why.contains(words), "{why:?} doesn't say {words:?}");
    }
}

/// A probe of a container with a port named `web`.
fn read(probe: &Value) -> viprule_testkit::Result<Probe> {
    let container = Container {
        name: "main".to_owned(),
        ports: serde_json::from_value(json!([{ "name": "web", "containerPort": PORT }])).unwrap(),
        ..Container::default()
    };
    Probe::read(&serde_json::from_value(probe.clone()).unwrap(), &container)
}

#[test]
fn http_succeeds_with_the_statuses_that_count_as_success() {
    let pod = Pod::new();
    for port in [json!(PORT), json!("web")] {
        let probe = json!({ "httpGet": { "port": port, "path": "/ready" } });
        assert_eq!(pod.ask(&probe), Ok(()));
        pod.switches.set_ready(false);
        pod.fails(&probe, "503");
        pod.switches.set_ready(true);
    }
    pod.fails(
        &json!({ "httpGet": { "port": PORT, "path": "/nowhere" } }),
        "404",
    );
}

#[test]
fn http_asks_with_the_path_and_headers_of_the_manifest() {
    let pod = Pod::new();
    let namespace = &pod.subject.namespace;
    let listener = namespace
        .run(|| TcpListener::bind("127.0.0.1:8081"))
        .unwrap();
    let listener = listener.unwrap();
    let asked = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let length = stream.read(&mut request).unwrap();
        stream
            .write_all(b"HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n")
            .unwrap();
        String::from_utf8_lossy(&request[..length]).to_lowercase()
    });
    let probe = |value: &str| {
        let headers = json!([
            { "name": "X-Probe", "value": value },
            { "name": "Host", "value": "web.example" },
        ]);
        json!({ "httpGet": { "port": 8081, "path": "live?a=b", "httpHeaders": headers } })
    };
    // A redirect is success.
    assert_eq!(pod.ask(&probe("yes")), Ok(()));
    let request = asked.join().unwrap();
    for part in [
        "get /live?a=b http/1.1",
        "x-probe: yes",
        "host: web.example",
        "user-agent: kube-probe/",
    ] {
        assert!(request.contains(part), "{request}");
    }
    pod.fails(&probe("line\nbreak"), "header value");
}

#[test]
fn every_kind_fails_where_nothing_listens() {
    let pod = Pod::new();
    let closed = PORT + 1;
    pod.fails(&json!({ "httpGet": { "port": closed } }), "refused");
    pod.fails(&json!({ "tcpSocket": { "port": closed } }), "refused");
    pod.fails(&json!({ "grpc": { "port": closed } }), "refused");
    pod.fails(&json!({ "exec": { "command": ["/no/such"] } }), "/no/such");
}

#[test]
fn who_does_not_answer_in_time_fails() {
    let pod = Pod::new();
    pod.switches.set_hanging(true);
    let start = Instant::now();
    pod.fails(
        &json!({ "httpGet": { "port": PORT, "path": "/live" }, "timeoutSeconds": 1 }),
        "within 1s",
    );
    let probe = json!({ "grpc": { "port": PORT }, "timeoutSeconds": 1 });
    pod.fails(&probe, "within 1s");
    pod.fails(
        &json!({ "exec": { "command": ["sh", "-c", "sleep 60; true"] }, "timeoutSeconds": 1 }),
        "after 1s",
    );
    assert!(start.elapsed() >= Duration::from_secs(3));
    // The kernel's own answer needs no program.
    assert_eq!(pod.ask(&json!({ "tcpSocket": { "port": PORT } })), Ok(()));
}

#[test]
fn a_connection_is_all_that_tcp_asks_for() {
    let pod = Pod::new();
    pod.switches.set_ready(false);
    assert_eq!(pod.ask(&json!({ "tcpSocket": { "port": "web" } })), Ok(()));
}

#[test]
fn grpc_asks_for_the_health_of_a_service() {
    let pod = Pod::new();
    let ask = |service: &str| json!({ "grpc": { "port": PORT, "service": service } });
    for service in ["", "ready", "live"] {
        assert_eq!(pod.ask(&ask(service)), Ok(()), "{service:?}");
    }
    pod.fails(&ask("unknown"), "grpc-status 5");
    pod.switches.set_ready(false);
    pod.fails(&ask(""), "not SERVING");
    pod.fails(&ask("ready"), "not SERVING");
    assert_eq!(pod.ask(&ask("live")), Ok(()));
    pod.switches.set_live(false);
    pod.fails(&ask("live"), "not SERVING");
}

#[test]
fn programs_run_in_the_pod_s_network() {
    let pod = Pod::new();
    let shell = |script: &str| json!({ "exec": { "command": ["sh", "-c", script] } });
    let curl = "curl --fail --silent http://127.0.0.1:8080/ready";
    assert_eq!(pod.ask(&shell(curl)), Ok(()));
    pod.switches.set_ready(false);
    pod.fails(&shell(curl), "exit status: 22");
    pod.fails(&shell("exit 3"), "exit status: 3");
}

#[test]
fn defaults_are_the_api_server_s_and_mistakes_are_named() {
    let probe = read(&json!({ "tcpSocket": { "port": 1 } })).unwrap();
    let seconds = Duration::from_secs;
    assert_eq!(
        probe.handler,
        Handler::Tcp {
            host: None,
            port: 1
        }
    );
    assert_eq!(probe.schedule.initial_delay, seconds(0));
    assert_eq!(probe.schedule.period, seconds(10));
    assert_eq!(probe.schedule.timeout, seconds(1));
    assert_eq!(
        (
            probe.schedule.success_threshold,
            probe.schedule.failure_threshold
        ),
        (1, 3)
    );
    for (mistake, words) in [
        (json!({}), "one of"),
        (json!({ "exec": { "command": [] } }), "exec.command"),
        (json!({ "httpGet": { "port": "nope" } }), "nope"),
        (
            json!({ "httpGet": { "port": 80, "scheme": "HTTPS" } }),
            "HTTPS",
        ),
        (json!({ "tcpSocket": { "port": 70000 } }), "70000"),
    ] {
        let error = read(&mistake).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("main"), "{error}");
    }
}
