//! `grpc.health.v1.Health/Check` over HTTP/2 without TLS.

use super::ProbeResult;
use crate::kubelet::health;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use tokio::net::TcpStream;

pub(super) async fn check(address: SocketAddr, service: &str) -> ProbeResult {
    let in_words = |error: &dyn std::fmt::Display| format!("grpc {address}: {error}");
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| in_words(&error))?;
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| in_words(&error))?;
    let request = Request::post(format!("http://{address}{}", health::CHECK))
        .header(CONTENT_TYPE, "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "kube-probe/1.36")
        .body(Full::new(Bytes::from(health::request(service))))
        .map_err(|error| in_words(&error))?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        Ok::<_, hyper::Error>((head, body.collect().await?))
    };
    tokio::pin!(connection, exchange);
    let (head, body) = tokio::select! {
        biased;
        answer = &mut exchange => answer,
        ended = &mut connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(error),
        },
    }
    .map_err(|error| in_words(&error))?;
    // A call that fails at once has its status among the headers.
    let status = body
        .trailers()
        .and_then(|trailers| trailers.get(health::STATUS))
        .or_else(|| head.headers.get(health::STATUS))
        .map(HeaderValue::as_bytes);
    if !head.status.is_success() || status != Some(b"0") {
        let status = status.map(String::from_utf8_lossy);
        return Err(in_words(&format!(
            "HTTP {}, grpc-status {}",
            head.status,
            status.as_deref().unwrap_or("missing")
        )));
    }
    match health::serving(&body.to_bytes()) {
        Some(health::SERVING) => Ok(()),
        Some(other) => Err(in_words(&format!(
            "service {service:?} has status {other}, not SERVING (1)"
        ))),
        None => Err(in_words(&"the answer is no HealthCheckResponse")),
    }
}
