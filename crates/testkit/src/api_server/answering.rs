//! A server that says what it is told to say, whatever it is asked.

use std::sync::{Mutex, PoisonError};
use std::{io, sync::Arc};

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Bytes;
use kube::Client;
use kube::client::Body;

/// A client whose requests are answered by a function of their paths; those that it has no answer
/// for wait for ever. A `Status` with a code is sent with that code.
///
/// To be called in a runtime.
pub fn answering(answer: impl FnMut(&str) -> Option<Vec<u8>> + Send + 'static) -> Client {
    let answer = Arc::new(Mutex::new(answer));
    let service = tower::service_fn(move |request: Request<Body>| {
        let text = {
            let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
            answer(request.uri().path())
        };
        async move {
            let Some(text) = text else {
                return std::future::pending().await;
            };
            let response = Response::builder().status(code(&text));
            let response = response.header("content-type", "application/json");
            response
                .body(Full::new(Bytes::from(text)))
                .map_err(io::Error::other)
        }
    });
    Client::new(service, "default")
}

fn code(text: &[u8]) -> u16 {
    let status: Option<serde_json::Value> = serde_json::from_slice(text).ok();
    let status = status.filter(|status| status["kind"] == "Status");
    let code = status.and_then(|status| status["code"].as_u64());
    let code = code.and_then(|code| u16::try_from(code).ok());
    code.filter(|code| (200..600).contains(code)).unwrap_or(200)
}
