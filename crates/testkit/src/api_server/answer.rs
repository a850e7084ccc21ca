//! Requests, and what becomes of them.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::oddity::{Oddity, Streams};
use super::{ApiServer, Kind, State, list, stream};

/// Longer than anybody waits.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// The body of an answer.
pub(super) type Answer = UnsyncBoxBody<Bytes, io::Error>;

/// An answer, and how long it takes.
pub(super) enum Reply {
    /// Text with this status.
    Text(StatusCode, String),
    /// Lines as they come.
    Lines(Answer),
    /// The connection ends within this text.
    Cut(String),
    /// The connection breaks.
    Reset,
    /// Nothing.
    Never,
}

/// A request in short.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) kind: Kind,
    parameters: BTreeMap<String, String>,
}

impl Asked {
    pub(super) fn get(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.get(name).parse().ok()
    }
}

pub(super) async fn answer(
    server: ApiServer,
    request: Request<Body>,
) -> io::Result<Response<Answer>> {
    let (head, body) = request.into_parts();
    let asked = Kind::of(head.uri.path()).map(|kind| Asked {
        kind,
        parameters: parameters(head.uri.query().unwrap_or_default()),
    });
    let published = if asked.is_some() {
        Value::Null
    } else {
        let bytes = body.collect().await.map_err(io::Error::other)?.to_bytes();
        serde_json::from_slice(&bytes).unwrap_or_default()
    };
    let (reply, took) = {
        let mut state = server.state();
        state.requests += 1;
        let latency = state.weather.latency.clone();
        let took = Duration::from_millis(state.chance.within(latency));
        let reply = match &asked {
            _ if Instant::now() < state.away_until => Reply::Reset,
            Some(asked) => reply(&mut state, asked),
            None => event(&mut state, &published),
        };
        (reply, took)
    };
    sleep(took).await;
    let (status, body) = match reply {
        Reply::Text(status, text) => {
            let whole = Full::new(Bytes::from(text));
            (status, whole.map_err(|never| match never {}).boxed_unsync())
        }
        Reply::Lines(body) => (StatusCode::OK, body),
        Reply::Cut(text) => (StatusCode::OK, stream::broken(text)),
        Reply::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
        Reply::Never => {
            sleep(FOR_EVER).await;
            return Err(io::ErrorKind::TimedOut.into());
        }
    };
    let response = Response::builder()
        .status(status)
        .header("content-type", "application/json");
    response.body(body).map_err(io::Error::other)
}

fn parameters(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn reply(state: &mut State, asked: &Asked) -> Reply {
    let kind = asked.kind;
    let watches = asked.get("watch") == "true";
    let streams = asked.get("sendInitialEvents") == "true";
    let can: fn(Oddity) -> bool = match (watches, streams) {
        (true, true) => Oddity::is_of_streams,
        (true, false) => Oddity::is_of_any,
        (false, _) => Oddity::is_of_lists,
    };
    let mut odd = state.weather.odd(&mut state.chance, can);
    let is_check = !watches && asked.number("limit") == Some(1);
    // Of so few everything can be missing.
    odd = odd.filter(|odd| !(odd.is_lie() && (kind == Kind::Node || is_check)));
    odd = odd.filter(|odd| state.lies.may(kind, *odd));
    if let Some(odd) = odd {
        let what = if streams {
            "streamed list"
        } else if watches {
            "watch"
        } else {
            "list"
        };
        state
            .log
            .push(format!("{what} of {}: {odd:?}", kind.name()));
    }
    let text =
        |code: u16, text: String| Reply::Text(StatusCode::from_u16(code).unwrap_or_default(), text);
    match odd {
        Some(Oddity::Refused(code)) => return text(code, status(code, "refused")),
        Some(Oddity::Html) => return text(200, "<html>welcome</html>".to_owned()),
        Some(Oddity::Status) => return text(200, status(200, "upstream is away")),
        Some(Oddity::Reset) => return Reply::Reset,
        Some(Oddity::Stall) => return Reply::Never,
        _ => {}
    }
    if !watches {
        return list::reply(state, asked, odd);
    }
    if streams && state.weather.streams == Streams::Refused {
        return text(422, status(422, "sendInitialEvents is forbidden for watch"));
    }
    stream::reply(state, asked, streams, odd)
}

/// A Kubernetes Event is published.
fn event(state: &mut State, published: &Value) -> Reply {
    if let Some(odd) = state
        .weather
        .odd(&mut state.chance, |odd| matches!(odd, Oddity::Refused(_)))
        && let Oddity::Refused(code) = odd
    {
        let code = StatusCode::from_u16(code).unwrap_or_default();
        return Reply::Text(code, status(code.as_u16(), "refused"));
    }
    let of = |field: &str| published[field].as_str().unwrap_or_default();
    state
        .log
        .push(format!("Event {}: {}", of("reason"), of("note")));
    let kept = json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "kept", "namespace": "default"},
        "eventTime": null,
    });
    Reply::Text(StatusCode::CREATED, kept.to_string())
}

/// A `Status` of this code.
pub(super) fn status(code: u16, message: &str) -> String {
    let reason = match code {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    });
    status.to_string()
}
