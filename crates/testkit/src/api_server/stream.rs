//! Watches, also those that begin with what exists.

use std::future::pending;
use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use http::StatusCode;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::answer::{Answer, Asked, Reply, status};
use super::oddity::{Oddity, Streams, Weather};
use super::{Kind, State, list, store};
use crate::chance::Chance;

/// What a watch tells, and when it is there; nothing for silence from then on.
type Chunk = (Instant, Option<Bytes>);

/// How long a watch is that names no time, seconds.
const USUAL: u64 = 300;

/// Somebody who watches.
#[derive(Debug)]
pub(super) struct Watcher {
    kind: Kind,
    told: mpsc::UnboundedSender<Chunk>,
    /// Knows everything up to there, or believes to.
    after: u64,
    silent: bool,
    /// When what was told last arrives.
    last: Instant,
}

impl Watcher {
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Tells of an event of this version. False where that ends the watch.
    pub(super) fn tell(
        &mut self,
        (version, line): (u64, &str),
        chance: &mut Chance,
        weather: &Weather,
        log: &mut Vec<String>,
    ) -> bool {
        if version <= self.after || self.silent {
            return !self.told.is_closed();
        }
        let wait = Duration::from_millis(chance.within(weather.latency.clone()));
        self.last = self.last.max(Instant::now() + wait);
        let odd = weather.odd(chance, Oddity::is_of_watches);
        if let Some(odd) = odd {
            log.push(format!("watch of {}: {odd:?}", self.kind.name()));
        }
        match odd {
            Some(Oddity::CutLine) => {
                let half = (line.len() / 2..line.len()).find(|at| line.is_char_boundary(*at));
                self.send(&line[..half.unwrap_or_default()]);
                false
            }
            Some(Oddity::Expired) => {
                self.send(&store::line("ERROR", &status(410, "too old")));
                false
            }
            Some(Oddity::ErrorLine) => {
                self.send(&store::line("ERROR", &status(500, "internal error")));
                false
            }
            Some(Oddity::Twice) => self.send(line) && self.send(line),
            Some(Oddity::Silence) => self.fall_silent(),
            _ => self.send(line),
        }
    }

    /// Tells this, whatever the weather. False where nobody listens any more.
    pub(super) fn send(&mut self, text: &str) -> bool {
        if self.silent {
            return !self.told.is_closed();
        }
        self.last = self.last.max(Instant::now());
        let chunk = Bytes::copy_from_slice(text.as_bytes());
        self.told.send((self.last, Some(chunk))).is_ok()
    }

    /// Tells nothing any more, and does not end.
    fn fall_silent(&mut self) -> bool {
        self.silent = true;
        self.told.send((self.last, None)).is_ok()
    }
}

/// A watch. `initial`: it begins with what exists.
pub(super) fn reply(state: &mut State, asked: &Asked, initial: bool, odd: Option<Oddity>) -> Reply {
    let kind = asked.kind;
    let (told, chunks) = mpsc::unbounded_channel();
    let now = Instant::now();
    let mut watcher = Watcher {
        kind,
        told,
        after: asked.number("resourceVersion").unwrap_or_default(),
        silent: false,
        last: now,
    };
    let begun = if initial {
        begin_with_everything(state, &mut watcher, odd)
    } else if let Some(lines) = state.store.since(kind, watcher.after) {
        for line in lines {
            watcher.send(&line);
        }
        ControlFlow::Continue(())
    } else if state.chance.per_mille(500) {
        let text = status(410, "too old resource version");
        return Reply::Text(StatusCode::GONE, text);
    } else {
        watcher.send(&store::line("ERROR", &status(410, "too old")));
        ControlFlow::Break(())
    };
    let end = now + Duration::from_secs(asked.number("timeoutSeconds").unwrap_or(USUAL));
    if begun.is_continue() {
        state.watchers.push(watcher);
    }
    Reply::Lines(StreamBody::new(follow(chunks, end)).boxed_unsync())
}

fn begin_with_everything(
    state: &mut State,
    watcher: &mut Watcher,
    odd: Option<Oddity>,
) -> ControlFlow<()> {
    let kind = watcher.kind;
    let mut objects = state.store.objects(kind);
    list::thin(&mut objects, odd);
    let whole = objects.len();
    if matches!(
        odd,
        Some(Oddity::CutLine | Oddity::ErrorLine | Oddity::Silence)
    ) {
        objects.truncate(state.chance.below(whole + 1));
    }
    for object in &objects {
        let object = match odd {
            Some(Oddity::OtherVersion) => object.replacen(kind.version(), "v2beta1", 1),
            _ => object.clone(),
        };
        watcher.send(&store::line("ADDED", &object));
    }
    watcher.after = state.store.version();
    match odd {
        Some(Oddity::CutLine) => {
            watcher.send("{\"type\":\"ADD");
            return ControlFlow::Break(());
        }
        Some(Oddity::ErrorLine) => {
            watcher.send(&store::line("ERROR", &status(500, "internal error")));
            return ControlFlow::Break(());
        }
        Some(Oddity::Silence) => {
            watcher.fall_silent();
        }
        _ => {}
    }
    if state.weather.streams == Streams::Streamed {
        let mut last = state.store.bookmark(kind, true);
        match odd {
            Some(Oddity::NoVersion) => {
                let version = format!("\"{}\"", state.store.version());
                last = last.replacen(&version, "\"\"", 1);
            }
            Some(Oddity::OtherKind) => last = last.replacen(kind.name(), "ConfigMap", 1),
            _ => {}
        }
        watcher.send(&last);
        if odd.is_none() {
            state.lies.told(kind);
        }
    }
    ControlFlow::Continue(())
}

/// What is told until then, and no longer than somebody tells.
fn follow(
    chunks: mpsc::UnboundedReceiver<Chunk>,
    end: Instant,
) -> impl Stream<Item = io::Result<Frame<Bytes>>> + Send {
    stream::unfold(chunks, move |mut chunks| async move {
        let (at, chunk) = timeout_at(end, chunks.recv()).await.ok()??;
        sleep_until(at).await;
        let Some(text) = chunk else {
            return pending().await;
        };
        Some((Ok(Frame::data(text)), chunks))
    })
}

/// An answer whose connection breaks behind this text.
pub(super) fn broken(text: String) -> Answer {
    let end = io::Error::from(io::ErrorKind::ConnectionReset);
    let parts = [Ok(Frame::data(Bytes::from(text))), Err(end)];
    StreamBody::new(stream::iter(parts)).boxed_unsync()
}
