//! The lines of a watch, each read in one go.

use std::error::Error;
use std::io;

use futures_util::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};
use kube::core::Status;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Resource;
use super::error::{Cause, chain};
use super::kind::{Asked, Head, Place, short};
use super::object::{self, Change, Object, Reading};
use super::page::is_version;
use crate::convert::object::{EndpointSlice, Named, Node, Service, ServiceCidr, Text};

/// Longest line, bytes. The largest objects that etcd takes have some megabytes as JSON; without a
/// limit, an answer that never ends would take all memory.
const LINE_LIMIT: usize = 64 << 20;

/// Room for a line that is kept from one to the next, bytes.
const KEPT: usize = 1 << 20;

/// What a line says.
#[derive(Debug)]
pub(super) enum Line {
    /// An object was or is.
    Object(Change, Reading),
    /// How far the server is.
    Bookmark {
        version: String,
        /// What existed at the beginning of the watch is told (KEP-3157).
        ends_list: bool,
    },
    /// Why the server can't go on.
    Error(Status),
}

/// The type comes first, as Go writes it; it may as well come last.
#[derive(Debug, Deserialize)]
struct Event<'l, T> {
    #[serde(rename = "type", borrow)]
    kind: Text<'l>,
    object: T,
}

/// Reads the lines of an answer.
#[derive(Debug)]
pub(super) struct Lines<R> {
    body: R,
    line: Vec<u8>,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) fn new(body: R) -> Self {
        Self {
            body,
            line: Vec::new(),
        }
    }

    /// The next line; none where the answer ends, also within a line.
    pub(super) async fn next(&mut self, asked: Asked<'_>) -> Result<Option<Line>, Cause> {
        self.line.clear();
        // One long line shall not cost its size for as long as the watch lasts.
        self.line.shrink_to(KEPT);
        let mut body = (&mut self.body).take(LINE_LIMIT as u64);
        match body.read_until(b'\n', &mut self.line).await {
            Ok(0) => return Ok(None),
            Ok(LINE_LIMIT) if self.line.last() != Some(&b'\n') => {
                let size = LINE_LIMIT >> 20;
                return Err(Cause::TooLarge(format!("a line of more than {size} MiB")));
            }
            Ok(_) => {}
            Err(error) if is_cut(&error) => return Ok(None),
            Err(error) => return Err(Cause::Connection(chain(&error))),
        }
        let is_whole = self.line.last() == Some(&b'\n');
        let text = str::from_utf8(&self.line).map_err(|error| Cause::Malformed(chain(&error)))?;
        match read(asked, text) {
            // Half a line says nothing.
            Err(_) if !is_whole && is_half(text) => Ok(None),
            result => result.map(Some),
        }
    }
}

/// The connection was closed within the answer.
fn is_cut(error: &io::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        // What hyper says of chunks has no kind that others can see.
        if kind == Some(io::ErrorKind::UnexpectedEof)
            || error.to_string().contains("unexpected EOF during chunk")
        {
            return true;
        }
        cause = error.source();
    }
    false
}

fn is_half(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_err_and(|error| error.is_eof())
}

fn read(asked: Asked<'_>, text: &str) -> Result<Line, Cause> {
    match asked.resource {
        Resource::Node => read_as::<Node<'_>>(asked, text),
        Resource::Service => read_as::<Service<'_>>(asked, text),
        Resource::EndpointSlice => read_as::<EndpointSlice<'_>>(asked, text),
        Resource::ServiceCidr => read_as::<ServiceCidr<'_>>(asked, text),
    }
}

fn read_as<'l, T: Object<'l>>(asked: Asked<'_>, text: &'l str) -> Result<Line, Cause> {
    if let Ok(Event { kind, object }) = serde_json::from_str::<Event<'_, T>>(text) {
        if let Some(change) = change(&kind) {
            let reading = object::reading(asked, &object, change, Place::Watch)?;
            return Ok(Line::Object(change, reading));
        }
        if &*kind == "BOOKMARK" {
            return bookmark(asked, object.head());
        }
    }
    // What is no object, or can't be decoded as one.
    let event: Event<'_, &RawValue> = match serde_json::from_str(text) {
        Ok(event) => event,
        Err(error) => return bare_status(text).ok_or_else(|| error.into()),
    };
    let text = event.object.get();
    match &*event.kind {
        "BOOKMARK" => {
            let object: Named<'_> = serde_json::from_str(text)?;
            bookmark(asked, object.head())
        }
        "ERROR" => Ok(Line::Error(serde_json::from_str(text)?)),
        kind => {
            let change = change(kind).ok_or_else(|| {
                Cause::Malformed(format!("an event has the type \"{}\"", short(kind)))
            })?;
            let reading = object::read(asked, text, change, Place::Watch)?;
            Ok(Line::Object(change, reading))
        }
    }
}

fn change(kind: &str) -> Option<Change> {
    match kind {
        "ADDED" => Some(Change::Exists),
        "MODIFIED" => Some(Change::Modified),
        "DELETED" => Some(Change::Deleted),
        _ => None,
    }
}

fn bookmark(asked: Asked<'_>, head: Head<'_, '_>) -> Result<Line, Cause> {
    asked.check_kind(Place::Watch, head)?;
    let version = &head.metadata.resource_version;
    if !is_version(version) {
        let reason = "a bookmark says no resourceVersion".to_owned();
        return Err(Cause::Malformed(reason));
    }
    Ok(Line::Bookmark {
        version: (**version).to_owned(),
        ends_list: head.metadata.annotations.initial_events_end.is_some(),
    })
}

/// What is wrong, without an event around it.
fn bare_status(text: &str) -> Option<Line> {
    let object: Named<'_> = serde_json::from_str(text).ok()?;
    let status = (*object.kind == *"Status").then(|| serde_json::from_str(text))?;
    status.ok().map(Line::Error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = r#"{"kind":"Service","apiVersion":"v1","metadata":{"name":"web","namespace":"shop","resourceVersion":"7"},"spec":{"clusterIP":"10.96.0.1","ports":[{"port":80}]}}"#;
    const ASKED: Asked<'_> = Asked {
        resource: Resource::Service,
        node: "node-0",
    };

    async fn lines(text: &str) -> Vec<Result<Line, String>> {
        let mut lines = Lines::new(text.as_bytes());
        let mut all = Vec::new();
        while let Some(line) = lines.next(ASKED).await.transpose() {
            all.push(line.map_err(|cause| cause.to_string()));
        }
        all
    }

    #[tokio::test]
    async fn each_line_is_an_event() {
        let text = format!(
            "{{\"type\":\"ADDED\",\"object\":{SERVICE}}}\n{{\"object\":{SERVICE},\"type\":\"DELETED\"}}\n"
        );
        let lines = lines(&text).await;
        let [
            Ok(Line::Object(Change::Exists, added)),
            Ok(Line::Object(Change::Deleted, deleted)),
        ] = &lines[..]
        else {
            panic!("{lines:?}")
        };
        for reading in [added, deleted] {
            assert!(reading.id.is_some() && reading.events.len() == 1);
            assert_eq!(reading.version.as_deref(), Some("7"));
        }
    }

    #[tokio::test]
    async fn what_is_no_object_of_the_kind_is_read_as_what_it_is() {
        let bookmark = r#"{"kind":"Service","apiVersion":"v1","metadata":{"resourceVersion":"9"},"spec":{},"status":{"loadBalancer":{}}}"#;
        let last = bookmark.replace(
            r#""9""#,
            r#""10","annotations":{"k8s.io/initial-events-end":"true"}"#,
        );
        let status = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old","reason":"Expired","code":410}"#;
        let odd = SERVICE.replace("[{\"port\":80}]", "5");
        let text = format!(
            "{{\"type\":\"BOOKMARK\",\"object\":{bookmark}}}\n{{\"type\":\"BOOKMARK\",\"object\":{last}}}\n\
             {{\"type\":\"ADDED\",\"object\":{odd}}}\n{{\"type\":\"ERROR\",\"object\":{status}}}\n{status}\n"
        );
        let lines = lines(&text).await;
        let [
            Ok(Line::Bookmark {
                version,
                ends_list: false,
            }),
            Ok(Line::Bookmark {
                ends_list: true, ..
            }),
            Ok(Line::Object(Change::Exists, refused)),
            Ok(Line::Error(error)),
            Ok(Line::Error(bare)),
        ] = &lines[..]
        else {
            panic!("{lines:?}")
        };
        assert_eq!(version, "9");
        assert!(refused.problems[0].refused && refused.id.is_some());
        assert_eq!((error.code, &*error.message), (410, "too old"));
        assert_eq!(bare.code, 410);
    }

    #[tokio::test]
    async fn half_a_line_says_nothing() {
        let text = format!("{{\"type\":\"ADDED\",\"object\":{SERVICE}}}\n");
        for half in [&text[..text.len() - 2], &text[..20], "{"] {
            assert!(lines(half).await.is_empty(), "{half}");
        }
        // The end of the line is all that is missing.
        assert_eq!(lines(text.trim_end()).await.len(), 1);
    }

    #[tokio::test]
    async fn what_is_no_event_is_an_error() {
        let texts = [
            "<html>\n".to_owned(),
            "{}\n".to_owned(),
            format!("{{\"type\":\"RENAMED\",\"object\":{SERVICE}}}\n"),
            "{\"type\":\"ADDED\",\"object\":5}\n".to_owned(),
            "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"Service\",\"apiVersion\":\"v1\"}}\n"
                .to_owned(),
            "{\"type\":\n".to_owned(),
        ];
        for text in texts {
            let mut lines = Lines::new(text.as_bytes());
            assert!(lines.next(ASKED).await.is_err(), "{text}");
        }
        let mut lines = Lines::new(&b"\xff\n"[..]);
        assert!(lines.next(ASKED).await.is_err());
    }

    #[tokio::test]
    async fn a_line_without_end_is_given_up() {
        let endless = futures_util::io::repeat(b'x');
        let mut lines = Lines::new(futures_util::io::BufReader::new(endless));
        let error = lines.next(ASKED).await.unwrap_err();
        assert!(error.to_string().contains("more than 64 MiB"), "{error}");
    }
}
