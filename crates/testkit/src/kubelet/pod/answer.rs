//! What a pod's server answers.
//!
//! | Path | Answer |
//! |---|---|
//! | `/` | who answers, as JSON: `backend` and `peer` as [`crate::Answer`] has them, `pod`, `version` |
//! | `/ready`, `/live` | 200, or 503 while the switch is off |
//! | `/held` | as `/`, once it is let go; see [`super::Switches::set_holding`] |
//! | gRPC `Health/Check` | services `""` and `ready`, and `live`; see [`super::Switches`] |
//! | others | 404 |

use super::switches::Switches;
use crate::kubelet::health;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::body::{Bytes, Incoming};
use std::convert::Infallible;
use std::net::SocketAddr;

/// Who a pod says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The pod's name.
    pub pod: String,
    /// Its label `version`, empty if it has none.
    pub version: String,
}

/// Both ends of a connection, as the pod sees them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peers {
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
}

type Body = BoxBody<Bytes, Infallible>;

pub(super) async fn answer(
    request: Request<Incoming>,
    identity: &Identity,
    switches: &Switches,
    peers: Peers,
) -> Response<Body> {
    if switches.is_hanging() {
        std::future::pending::<()>().await;
    }
    let response = match request.uri().path() {
        "/" => introduce(identity, peers),
        "/ready" => state(switches.is_ready()),
        "/live" => state(switches.is_live()),
        "/held" => {
            switches.let_go().await;
            introduce(identity, peers)
        }
        health::CHECK => return check(request, switches).await,
        _ => text(StatusCode::NOT_FOUND, "text/plain", "not found\n".into()),
    };
    switches.count();
    response
}

fn introduce(identity: &Identity, peers: Peers) -> Response<Body> {
    let body = serde_json::json!({
        "backend": peers.local.to_string(),
        "peer": peers.peer.to_string(),
        "pod": identity.pod,
        "version": identity.version,
    });
    text(StatusCode::OK, "application/json", body.to_string())
}

fn state(good: bool) -> Response<Body> {
    if good {
        text(StatusCode::OK, "text/plain", "ok\n".into())
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "no\n".into())
    }
}

fn text(status: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(body)).boxed());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// gRPC's health check. Unknown services are status 5, `NOT_FOUND`, as the protocol demands.
async fn check(request: Request<Incoming>, switches: &Switches) -> Response<Body> {
    const OK: u32 = 0;
    const INVALID_ARGUMENT: u32 = 3;
    const NOT_FOUND: u32 = 5;
    let body = request.into_body().collect().await;
    let body = body
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let good = match health::service(&body).as_deref() {
        Some("" | "ready") => Ok(switches.is_ready()),
        Some("live") => Ok(switches.is_live()),
        Some(_) => Err(NOT_FOUND),
        None => Err(INVALID_ARGUMENT),
    };
    let (message, status) = match good {
        Ok(true) => (health::response(health::SERVING), OK),
        Ok(false) => (health::response(health::NOT_SERVING), OK),
        Err(status) => (Vec::new(), status),
    };
    let trailers = HeaderMap::from_iter([(
        http::HeaderName::from_static(health::STATUS),
        HeaderValue::from(status),
    )]);
    let body = Full::new(Bytes::from(message))
        .with_trailers(std::future::ready(Some(Ok(trailers))))
        .boxed();
    switches.count();
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}
