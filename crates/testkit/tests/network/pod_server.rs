//! What clients see of a pod's server, from its first answer to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};
use viprule_testkit::client::{Client, Failure};
use viprule_testkit::kubelet::{Identity, PodServer, Switches};
use viprule_testkit::netns::require_privileges;
use viprule_testkit::{LIMIT, Namespace};

fn served() -> (Namespace, SocketAddr, PodServer, Arc<Switches>) {
    require_privileges().unwrap();
    let namespace = Namespace::new("pod").unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 8080));
    let identity = Arc::new(Identity {
        pod: "web-1".to_owned(),
        version: "v2".to_owned(),
    });
    let switches = Arc::new(Switches::default());
    let server = PodServer::start(&namespace, address, identity, Arc::clone(&switches)).unwrap();
    (namespace, address, server, switches)
}

fn curl(namespace: &Namespace, url: &str) -> String {
    let curl = namespace.command("curl").args(["--silent", "--fail", url]);
    curl.text().unwrap()
}

#[test]
fn clients_of_the_test_kit_understand_it() {
    let (namespace, address, _server, switches) = served();
    let client = Client::new(&namespace);
    let answer = client.tcp(address).unwrap().result.unwrap();
    assert_eq!(answer.backend, address);
    let mut kept = client.keep_alive(address).unwrap().unwrap();
    let first = kept.ask().result.unwrap();
    assert_eq!(kept.ask().result.unwrap(), first);
    assert_eq!(switches.answered(), 3);
}

#[test]
fn it_says_its_name_and_version() {
    let (namespace, address, _server, _) = served();
    let answer = curl(&namespace, &format!("http://{address}/"));
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        (&answer["pod"], &answer["version"]),
        (&"web-1".into(), &"v2".into())
    );
}

#[test]
fn termination_refuses_newcomers_and_finishes_what_is_under_way() {
    let (namespace, address, mut server, switches) = served();
    let mut idle = Client::new(&namespace)
        .keep_alive(address)
        .unwrap()
        .unwrap();
    idle.ask().result.unwrap();
    switches.set_holding(true);
    let held = namespace.command("curl");
    let url = format!("http://{address}/held");
    let mut held = held.args(["--silent", "--fail", &url]).spawn().unwrap();
    let start = Instant::now();
    let in_time = || start.elapsed() < LIMIT;
    while switches.held() < 1 {
        assert!(in_time(), "nobody asks");
        sleep(Duration::from_millis(10));
    }
    server.terminate();
    let refused = || {
        let attempt = Client::new(&namespace).tcp(address).unwrap();
        attempt.failure() == Some(&Failure::Refused)
    };
    while !refused() {
        assert!(in_time(), "it still accepts");
    }
    while idle.ask().is_answered() {
        assert!(in_time(), "an idle connection stays open");
    }
    assert_eq!(held.try_wait().unwrap(), None, "it is not answered yet");
    switches.set_holding(false);
    let output = held.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let finished = tokio::time::timeout(LIMIT, server.finished());
        finished.await.expect("it never ends");
    });
}

#[test]
fn dropping_it_cuts_connections_and_frees_the_address() {
    let (namespace, address, server, switches) = served();
    let mut kept = Client::new(&namespace)
        .keep_alive(address)
        .unwrap()
        .unwrap();
    kept.ask().result.unwrap();
    drop(server);
    // Its runtime closes the sockets one after the other.
    let start = Instant::now();
    while kept.ask().is_answered() {
        assert!(start.elapsed() < LIMIT, "the connection stays open");
    }
    let identity = Arc::new(Identity {
        pod: "web-2".to_owned(),
        version: String::new(),
    });
    let again = || PodServer::start(&namespace, address, identity.clone(), switches.clone());
    let _again = loop {
        match again() {
            Ok(server) => break server,
            Err(error) => assert!(start.elapsed() < LIMIT, "{error}"),
        }
    };
    assert!(curl(&namespace, &format!("http://{address}/")).contains("web-2"));
}
