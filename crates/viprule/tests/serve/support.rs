//! Namespaces, requests and answers.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use viprule::metrics::{BuildInfo, Metrics};
use viprule::mode::ModeMetrics;
use viprule_testkit::{LIMIT, Namespace};

/// Runs a test in a namespace with a loopback interface, on a runtime like the agent's.
pub(super) fn in_namespace<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send) {
    let namespace = Namespace::new("serve").unwrap();
    namespace.ip(["link set lo up"]).unwrap();
    namespace
        .run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            // No test waits for long but for what never comes, which [`eventually`] names earlier.
            let limit = 2 * LIMIT;
            runtime.block_on(async { tokio::time::timeout(limit, test()).await.unwrap() });
        })
        .unwrap();
}

pub(super) fn metrics(mode: ModeMetrics) -> Arc<Metrics> {
    Arc::new(Metrics::new(mode, &BuildInfo::of_this_program()).unwrap())
}

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// An answer, its head's lines as they came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// An answer as curl -i shows it, and as golden files have it.
    pub(super) fn parse(text: &str) -> Self {
        let text = text.replace("\r\n", "\n");
        let (head, body) = text.split_once("\n\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_owned(), value.to_owned())
        };
        let mut headers: Vec<_> = lines.map(header).collect();
        headers.sort();
        Self {
            status: status.parse().unwrap(),
            headers,
            body: body.to_owned(),
        }
    }
}

pub(super) async fn get(server: SocketAddr, path: &str) -> Answer {
    request(server, "GET", path).await.unwrap()
}

pub(super) async fn request(
    server: SocketAddr,
    method: &str,
    path: &str,
) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(server).await?;
    let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let mut answer = Answer::parse(&answer);
    answer.headers.retain(|(name, _)| name != "Connection");
    Ok(answer)
}

/// Waits for what a task of ours brings about.
pub(super) async fn eventually<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    let start = Instant::now();
    while !check().await {
        assert!(start.elapsed() < LIMIT, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// True where nobody listens.
pub(super) async fn is_closed(server: SocketAddr) -> bool {
    TcpStream::connect(server).await.is_err()
}
