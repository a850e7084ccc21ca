//! An API server that says what the test says: plain HTTP/1.1 on a loopback address of this
//! process, one request for each connection.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
/// A test that waits so long has failed.
pub(crate) use viprule_testkit::LIMIT as PATIENCE;

use crate::world::{api_version, page_of};

pub(crate) const SERVICES: &str = "/api/v1/services";
pub(crate) const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
pub(crate) const SERVICE_CIDRS: &str = "/apis/networking.k8s.io/v1/servicecidrs";
pub(crate) const NODES: &str = "/api/v1/nodes";

pub(crate) struct FakeServer {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<Request>,
    /// Not asked for yet.
    waiting: Vec<Request>,
    listener: JoinHandle<()>,
}

impl FakeServer {
    pub(crate) async fn start() -> Self {
        crate::log::install();
        Self::on("127.0.0.1:0".parse().unwrap()).await
    }

    async fn on(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (out, requests) = mpsc::unbounded_channel();
        let listener = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let out = out.clone();
                tokio::spawn(async move {
                    if let Some(request) = Request::read(socket).await {
                        let _ = out.send(request);
                    }
                });
            }
        });
        Self {
            address,
            requests,
            waiting: Vec::new(),
            listener,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Refuses connections; returns the address for a restart.
    pub(crate) async fn stop(self) -> SocketAddr {
        self.listener.abort();
        let _ = self.listener.await;
        self.address
    }

    pub(crate) async fn restart(address: SocketAddr) -> Self {
        Self::on(address).await
    }

    /// The next request for a path.
    pub(crate) async fn next(&mut self, path: &str) -> Request {
        loop {
            if let Some(index) = self.waiting.iter().position(|r| r.path() == path) {
                return self.waiting.remove(index);
            }
            let next = timeout(PATIENCE, self.requests.recv()).await;
            let next = next.unwrap_or_else(|_| panic!("nobody asks for {path}"));
            self.waiting.push(next.unwrap());
        }
    }

    /// Answers a list, and begins to answer the watch from there.
    pub(crate) async fn list(&mut self, path: &str, objects: &[Value], version: u32) -> Answer {
        self.page(path, objects, version).await;
        self.watch(path, version).await.stream().await
    }

    /// The question for a page of a list.
    pub(crate) async fn paging(&mut self, path: &str) -> Request {
        let request = self.next(path).await;
        assert!(request.has("limit=2000"), "{}", request.target);
        request
    }

    /// Answers a list with its only page.
    pub(crate) async fn page(&mut self, path: &str, objects: &[Value], version: u32) {
        let request = self.paging(path).await;
        let page = page_of(kind(path), objects, version, "");
        request.answer(200, &page).await;
    }

    /// The question for what happened since a version.
    pub(crate) async fn watch(&mut self, path: &str, version: u32) -> Request {
        let request = self.next(path).await;
        let since = format!("resourceVersion={version}");
        assert!(request.has(&since), "{}", request.target);
        assert!(!request.target.contains("sendInitialEvents"));
        request
    }

    /// The question for a list as a stream, which comes after a page that has expired.
    pub(crate) async fn streaming(&mut self, path: &str) -> Request {
        let page = self.paging(path).await;
        page.refuse(410, "Expired", "too old").await;
        let request = self.next(path).await;
        assert!(request.has("sendInitialEvents=true"), "{}", request.target);
        request
    }

    /// Answers a list as a stream, which goes on as a watch.
    pub(crate) async fn stream(&mut self, path: &str, objects: &[Value], version: u32) -> Answer {
        let mut answer = self.streaming(path).await.stream().await;
        for object in objects {
            answer.event("ADDED", object).await;
        }
        answer.initial_end(version).await;
        answer
    }
}

pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
    socket: TcpStream,
}

impl Request {
    async fn read(mut socket: TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if socket.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut line = head.split(' ');
        let (method, target) = (line.next()?.to_owned(), line.next()?.to_owned());
        let head = head.to_lowercase();
        let length = head
            .lines()
            .find_map(|l| l.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
        while bytes.len() < end + 4 + length {
            if socket.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
        let body = String::from_utf8_lossy(&bytes[end + 4..]).into_owned();
        Some(Self {
            method,
            target,
            head,
            body,
            socket,
        })
    }

    fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    /// For how long it asks to watch.
    fn seconds(&self) -> u64 {
        let (_, rest) = self.target.split_once("timeoutSeconds=").unwrap();
        let digits = rest.split('&').next().unwrap();
        digits.parse().unwrap()
    }

    /// True where the query has this, percent-encoded.
    pub(crate) fn has(&self, parameter: &str) -> bool {
        let query = self.target.split_once('?').unwrap_or_default().1;
        query.split('&').any(|part| part == parameter)
    }

    /// Answers with a whole object.
    pub(crate) async fn answer(mut self, status: u16, object: &Value) {
        let body = go(object);
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let _ = self.socket.write_all(head.as_bytes()).await;
        let _ = self.socket.write_all(body.as_bytes()).await;
    }

    /// Answers with a text that goes on until nobody reads it.
    pub(crate) async fn answer_for_ever(mut self, status: u16) {
        let head = format!("HTTP/1.1 {status} X\r\ntransfer-encoding: chunked\r\n\r\n");
        let mut chunk = b"100000\r\n".to_vec();
        chunk.resize(chunk.len() + (1 << 20), b' ');
        chunk.extend(b"\r\n");
        let _ = self.socket.write_all(head.as_bytes()).await;
        while self.socket.write_all(&chunk).await.is_ok() {}
    }

    /// Answers with an error.
    pub(crate) async fn refuse(self, code: u16, reason: &str, message: &str) {
        let status = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "code": code, "reason": reason, "message": message,
        });
        self.answer(code, &status).await;
    }

    /// Begins to answer with a stream.
    pub(crate) async fn stream(mut self) -> Answer {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                    transfer-encoding: chunked\r\n\r\n";
        self.socket.write_all(head.as_bytes()).await.unwrap();
        Answer {
            seconds: self.seconds(),
            kind: kind(self.path()),
            socket: self.socket,
        }
    }
}

fn kind(path: &str) -> &'static str {
    match path {
        SERVICES => "Service",
        SLICES => "EndpointSlice",
        SERVICE_CIDRS => "ServiceCIDR",
        _ => "Node",
    }
}

/// A stream of events; dropped, the connection is cut.
pub(crate) struct Answer {
    /// For how long was asked.
    pub(crate) seconds: u64,
    /// Of what.
    kind: &'static str,
    socket: TcpStream,
}

impl Answer {
    /// False where nobody listens any more.
    pub(crate) async fn event(&mut self, kind: &str, object: &Value) -> bool {
        // The type comes first, as Go writes it.
        let line = format!("{{\"type\":\"{kind}\",\"object\":{}}}\n", go(object));
        let chunk = format!("{:x}\r\n{line}\r\n", line.len());
        self.socket.write_all(chunk.as_bytes()).await.is_ok()
    }

    pub(crate) async fn bookmark(&mut self, version: u32) {
        let metadata = serde_json::json!({"resourceVersion": version.to_string()});
        self.mark(metadata).await;
    }

    pub(crate) async fn initial_end(&mut self, version: u32) {
        let metadata = serde_json::json!({
            "resourceVersion": version.to_string(),
            "annotations": {"k8s.io/initial-events-end": "true"},
        });
        self.mark(metadata).await;
    }

    /// A bookmark with this metadata.
    pub(crate) async fn mark(&mut self, metadata: Value) {
        let version = api_version(self.kind);
        let mut object = serde_json::json!({"kind": self.kind, "apiVersion": version});
        object["metadata"] = metadata;
        self.event("BOOKMARK", &object).await;
    }

    /// Ends as the server ends a watch.
    pub(crate) async fn end(mut self) {
        let _ = self.socket.write_all(b"0\r\n\r\n").await;
    }
}

/// With the characters escaped that Go escapes.
fn go(object: &Value) -> String {
    let text = object.to_string().replace('<', "\\u003c");
    text.replace('>', "\\u003e").replace('&', "\\u0026")
}
