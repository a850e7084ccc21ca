//! One watch, for ever: list, follow, and again where that breaks.

use std::time::Duration;

use backon::{ExponentialBackoff, ExponentialBuilder};
use futures_util::AsyncBufRead;
use http::HeaderValue;
use http::header::ACCEPT_ENCODING;
use kube::core::Request;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::bound::{LIST_OBJECTS, too_many_objects};
use super::error::{Cause, ServerError, Step};
use super::kind::Asked;
use super::known::Known;
use super::line::{Line, Lines};
use super::present::Present;
use super::status::Cell;
use super::tell::{Closed, Told};
use super::{ApiServer, Phase, Resource};

/// Longest wait for the beginning of an answer, and for more of a list.
pub(super) const RESPONSE_LIMIT: Duration = Duration::from_secs(30);
/// The server is asked to end a watch after so many seconds, and up to a quarter more, so that
/// not all nodes come back at once.
const WATCH_SECONDS: u32 = 240;
/// How much later the end may arrive.
const END_LIMIT: Duration = Duration::from_secs(10);
/// How much sooner it may arrive: the server's clock began to run before ours.
const EARLY: Duration = Duration::from_secs(5);
/// A watch that ends sooner and told nothing is an error (as in client-go).
const SHORTEST: Duration = Duration::from_secs(1);
/// Waits between attempts, each with up to as much again at random.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Longest wait before objects that a server does not have or give are asked for again, with up to as
/// much again at random.
const LONGEST_ABSENT_WAIT: Duration = Duration::from_secs(300);

/// What lasted so long was no failure to begin with: the next wait is the first again.
const LONG: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) enum Failure {
    Closed,
    Server(ServerError),
}

impl From<Closed> for Failure {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        Self::Server(error)
    }
}

/// A watch of one resource.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) server: ApiServer,
    pub(super) resource: Resource,
    pub(super) node: String,
    pub(super) out: mpsc::Sender<Told>,
    pub(super) status: Cell,
    /// Where to go on; none before the first list and where the server lost track.
    pub(super) version: Option<String>,
    /// The server said nothing for the whole time of a watch, or ended it before its time: it may
    /// lag behind.
    pub(super) doubtful: bool,
    /// What was told to exist.
    pub(super) known: Known,
    /// How much of it before the list began, or before one that did not end.
    pub(super) known_before: Option<usize>,
    /// What the last list named, where it is not believed before another one says the same.
    pub(super) doubted: Option<Present>,
    /// A page was too large.
    pub(super) small_pages: bool,
}

impl Watch {
    pub(super) fn new(
        server: ApiServer,
        resource: Resource,
        node: String,
        out: mpsc::Sender<Told>,
        status: Cell,
        in_kernel: usize,
    ) -> Self {
        Self {
            server,
            resource,
            node,
            out,
            status,
            version: None,
            doubtful: false,
            known: Known::nothing(in_kernel),
            known_before: None,
            doubted: None,
            small_pages: false,
        }
    }

    /// Until nobody listens any more.
    pub(super) async fn run(mut self) {
        let mut waits = self.backoff(FIRST_WAIT, LONGEST_WAIT);
        let mut absent_waits = None;
        loop {
            let began = Instant::now();
            let error = match self.attempt().await {
                Ok(()) => continue,
                Err(Failure::Closed) => return,
                Err(Failure::Server(error)) => error,
            };
            if began.elapsed() > LONG {
                waits = self.backoff(FIRST_WAIT, LONGEST_WAIT);
                absent_waits = None;
            }
            // Whoever answers next may know less: a server whose etcd was restored takes a version
            // that it has not reached, and soon has passed it with other changes.
            self.version = None;
            let mut wait = waits.next().unwrap_or(LONGEST_WAIT);
            let optional = self.resource.is_optional();
            if error.cause.is_gone() {
                info!(%error, "listing anew");
            } else if optional && error.cause.is_not_given() {
                let waits = absent_waits.get_or_insert_with(|| {
                    info!(%error, "going on without");
                    self.backoff(LONGEST_WAIT, LONGEST_ABSENT_WAIT)
                });
                self.status.enter(Phase::Absent, RESPONSE_LIMIT);
                wait = waits.next().unwrap_or(LONGEST_ABSENT_WAIT);
            } else {
                warn!(%error, "trying again");
                self.status.failed(&error.to_string());
            }
            if optional && self.send(Told::Listed(self.resource)).await.is_err() {
                return;
            }
            tokio::select! {
                biased;
                () = sleep(wait) => {}
                () = self.out.closed() => return,
            }
            if error.cause.may_be_stale_configuration() {
                self.server.renew().await;
            }
        }
    }

    fn backoff(&self, first: Duration, longest: Duration) -> ExponentialBackoff {
        let waits = ExponentialBuilder::new()
            .with_min_delay(first)
            .with_max_delay(longest);
        self.server.chance().waits(waits)
    }

    /// How long the next watch shall take.
    fn watch_seconds(&self) -> u32 {
        let more = self.server.chance().number() % u64::from(WATCH_SECONDS / 4);
        WATCH_SECONDS + u32::try_from(more).unwrap_or_default()
    }

    pub(super) fn asked(&self) -> Asked<'_> {
        Asked {
            resource: self.resource,
            node: &self.node,
        }
    }

    pub(super) fn error(&self, step: Step, cause: impl Into<Cause>) -> ServerError {
        ServerError::new(step, self.resource, cause)
    }

    /// Lists where that is needed, or follows until the server ends the watch as asked.
    async fn attempt(&mut self) -> Result<(), Failure> {
        if self.version.is_none() {
            return self.list().await;
        }
        if self.doubtful {
            self.check().await?;
            self.doubtful = false;
        }
        self.resume().await
    }

    pub(super) fn not_before(&self, step: Step, found: &str) -> Result<(), ServerError> {
        // Versions are ordered numbers (KEP-5504); others can't be compared.
        let known = self.version.as_deref().map(str::parse::<u64>);
        match (found.parse::<u64>(), known) {
            (Ok(found), Some(Ok(known))) if found < known => {
                Err(self.error(step, Cause::WentBack { found, known }))
            }
            _ => Ok(()),
        }
    }

    async fn open(
        &self,
        step: Step,
        seconds: u32,
    ) -> Result<Lines<impl AsyncBufRead + Unpin + Send + use<>>, ServerError> {
        let initial = step == Step::StreamingList;
        let parameters = self.resource.watch(&self.node, seconds, initial);
        // An empty version asks for the newest state.
        let version = self.version.as_deref().unwrap_or_default();
        let mut request = Request::new(self.resource.path())
            .watch(&parameters, version)
            .map_err(|error| self.error(step, kube::Error::BuildRequest(error)))?;
        // Servers from 1.37 on would compress each event by itself.
        let identity = HeaderValue::from_static("identity");
        request.headers_mut().insert(ACCEPT_ENCODING, identity);
        let client = self.server.client();
        match timeout(RESPONSE_LIMIT, client.request_stream(request)).await {
            Ok(Ok(body)) => Ok(Lines::new(Box::pin(body))),
            Ok(Err(error)) => Err(self.error(step, error)),
            Err(_) => Err(self.error(step, Cause::Silent(RESPONSE_LIMIT))),
        }
    }

    pub(super) async fn stream_list(&mut self) -> Result<(), Failure> {
        let seconds = self.watch_seconds();
        let lines = self.open(Step::StreamingList, seconds).await?;
        let present = Some(Present::none(self.resource));
        self.follow(lines, seconds, present).await
    }

    async fn resume(&mut self) -> Result<(), Failure> {
        let seconds = self.watch_seconds();
        let lines = self.open(Step::Watch, seconds).await?;
        self.follow(lines, seconds, None).await
    }

    /// Follows until the server ends it. `present` holds what is named so far of a list.
    async fn follow(
        &mut self,
        mut lines: Lines<impl AsyncBufRead + Unpin + Send>,
        seconds: u32,
        mut present: Option<Present>,
    ) -> Result<(), Failure> {
        let asked = Duration::from_secs(seconds.into());
        let end = asked + END_LIMIT;
        let began = Instant::now();
        let mut silent = true;
        let mut lines_of_list: u64 = 0;
        self.enter(present.is_some(), end);
        loop {
            let (step, limit) = match present {
                Some(_) => (Step::StreamingList, RESPONSE_LIMIT),
                None => (Step::Watch, end),
            };
            let next = match timeout(limit, lines.next(self.asked())).await {
                Ok(next) => next.map_err(|cause| self.error(step, cause))?,
                Err(_) => return Err(self.error(step, Cause::Silent(limit)).into()),
            };
            let Some(line) = next else {
                if present.is_some() {
                    return Err(self.error(step, Cause::Cut).into());
                }
                let lasted = began.elapsed();
                if silent && lasted < SHORTEST {
                    return Err(self.error(step, Cause::EndedAtOnce).into());
                }
                // A connection that was closed within the answer reads as an end, too.
                let early = lasted + EARLY < asked;
                if early {
                    info!(
                        resource = self.resource.plural(),
                        "the watch ended early, asking whether it can go on"
                    );
                }
                self.doubtful = silent || early;
                return Ok(());
            };
            self.status.heard();
            silent = false;
            if present.is_some() {
                lines_of_list += 1;
                if lines_of_list > LIST_OBJECTS {
                    let cause = Cause::TooLarge(too_many_objects());
                    return Err(self.error(step, cause).into());
                }
            }
            match line {
                Line::Object(change, reading) => {
                    if present.is_none()
                        && let Some(version) = &reading.version
                    {
                        self.not_before(step, version)?;
                    }
                    let version = self.tell(reading, change, present.as_mut()).await?;
                    if present.is_none() && self.known.is_full() {
                        let many =
                            format!("a watch told of more than {} objects", 2 * LIST_OBJECTS);
                        return Err(self.error(step, Cause::TooLarge(many)).into());
                    }
                    if present.is_none() && version.is_some() {
                        self.version = version;
                    }
                }
                Line::Bookmark { version, .. } if present.is_none() => {
                    self.not_before(step, &version)?;
                    self.version = Some(version);
                }
                Line::Bookmark { version, ends_list } if ends_list => {
                    if let Some(present) = present.take() {
                        self.listed(present, version).await?;
                    }
                    if self.doubted.is_some() {
                        return Ok(());
                    }
                    self.enter(false, end);
                }
                Line::Bookmark { .. } => {}
                Line::Error(status) => return Err(self.error(step, status).into()),
            }
        }
    }

    fn enter(&self, listing: bool, end: Duration) {
        if listing {
            self.status.enter(Phase::Listing, RESPONSE_LIMIT);
        } else {
            self.status.enter(Phase::Watching, end);
        }
    }
}
