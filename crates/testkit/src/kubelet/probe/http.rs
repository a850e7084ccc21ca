//! GET, as kubelet asks: a connection of its own, redirects not followed but taken for success.

use super::ProbeResult;
use http::header::{ACCEPT, CONNECTION, HOST, HeaderName, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::net::TcpStream;

pub(super) async fn get(
    address: SocketAddr,
    path: &str,
    headers: &[(String, String)],
) -> ProbeResult {
    let in_words = |error: &dyn std::fmt::Display| format!("GET http://{address}{path}: {error}");
    let mut request = Request::get(path)
        .header(HOST, address.to_string())
        .header(USER_AGENT, "kube-probe/1.36")
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| in_words(&error))?;
    for (name, value) in headers {
        let name: HeaderName = name.parse().map_err(|error| in_words(&error))?;
        let value = HeaderValue::from_str(value).map_err(|error| in_words(&error))?;
        request.headers_mut().insert(name, value);
    }
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| in_words(&error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| in_words(&error))?;
    // The connection is driven here, so that it ends with the probe.
    let answer = sender.send_request(request);
    tokio::pin!(connection, answer);
    let response = tokio::select! {
        biased;
        response = &mut answer => response,
        ended = &mut connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(error),
        },
    };
    let status = response.map_err(|error| in_words(&error))?.status();
    if status.is_success() || status.is_redirection() {
        Ok(())
    } else {
        Err(in_words(&status))
    }
}
