//! Answers with the headers that Kubernetes' components give them.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};

/// An answer in full.
pub type Reply = Response<Full<Bytes>>;

/// A JSON document.
pub fn json(status: StatusCode, body: String) -> Reply {
    reply(status, HeaderValue::from_static("application/json"), body)
}

/// Plain text in UTF-8.
pub fn text(status: StatusCode, body: impl Into<String>) -> Reply {
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    reply(status, kind, body.into())
}

/// What Go's server says of a path that nobody serves.
pub fn not_found() -> Reply {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn reply(status: StatusCode, kind: HeaderValue, body: String) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}
