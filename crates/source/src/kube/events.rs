//! Kubernetes Events, for people who look at the node or a Service.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::ExponentialBuilder;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};
use viprule_service::model::ServiceId;

use super::ApiServer;
use super::error::{Cause, ServerError, Step};
use crate::escape;

/// What an Event is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Regarding {
    /// This node.
    Node,
    /// A Service.
    Service(ServiceId),
    /// A Service, because of another one. Events about each two are a series of their own.
    ServiceBeside {
        /// The Service.
        service: ServiceId,
        /// The other one.
        other: ServiceId,
    },
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Good to know.
    Normal,
    /// Somebody should look.
    Warning,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Notice {
    regarding: Regarding,
    severity: Severity,
    reason: &'static str,
    action: &'static str,
    note: String,
}

/// Notices that may wait; more are dropped.
const QUEUE: usize = 64;
/// A notice that repeats within this time is not published again.
const REPEAT: Duration = Duration::from_secs(60);
/// Repetitions are looked for among so many.
const REMEMBERED: usize = 256;
/// Longest wait for the server's answer.
const LIMIT: Duration = Duration::from_secs(10);
/// A notice that could not be published for so long is of no use any more.
const PATIENCE: Duration = Duration::from_secs(600);
/// Longest wait between attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Longest note that Kubernetes keeps, bytes.
const NOTE_LIMIT: usize = 1024;
/// `reportingController`. Not `kube-proxy` as in contract 1.1: who reads the Event looks for the
/// program that runs.
const CONTROLLER: &str = "viprule";

/// Publishes Kubernetes Events, as long as it lives; needs `create` and `patch` on `events` of
/// `events.k8s.io`. Clones publish to the same queue.
#[derive(Debug, Clone)]
pub struct Events {
    queue: mpsc::Sender<(Instant, Notice)>,
    /// Not told yet.
    dropped: Arc<AtomicU64>,
}

impl Events {
    /// Starts the publisher, as the node of this name. It ends by itself after the last clone is
    /// dropped; who wants to wait until everything is published waits for the handle.
    pub fn start(server: &ApiServer, node: &str) -> (Self, JoinHandle<()>) {
        let (queue, notices) = mpsc::channel(QUEUE);
        let dropped = Arc::default();
        let publisher = Publisher::new(server.clone(), node.to_owned(), Arc::clone(&dropped));
        let handle = tokio::spawn(publisher.run(notices));
        (Self { queue, dropped }, handle)
    }

    /// Queues an Event and returns at once. It is dropped where too many wait, and where the same
    /// was published within the last minute; later repetitions count up in the Event's series.
    ///
    /// `reason` and `action` are for machines, in `PascalCase` and at most 128 characters; `note`
    /// is for people, cut after 1,024 bytes.
    pub fn publish(
        &self,
        regarding: Regarding,
        severity: Severity,
        reason: &'static str,
        action: &'static str,
        note: impl Into<String>,
    ) {
        // Who reads it may be at a terminal.
        let mut note = escape::line(&note.into()).into_owned();
        if note.len() > NOTE_LIMIT {
            let fits = (0..=NOTE_LIMIT).rev().find(|at| note.is_char_boundary(*at));
            note.truncate(fits.unwrap_or_default());
        }
        let notice = Notice {
            regarding,
            severity,
            reason,
            action,
            note,
        };
        if self.queue.try_send((Instant::now(), notice)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

struct Publisher {
    server: ApiServer,
    node: String,
    recorder: Recorder,
    published: HashMap<Notice, Instant>,
    dropped: Arc<AtomicU64>,
}

impl Publisher {
    fn new(server: ApiServer, node: String, dropped: Arc<AtomicU64>) -> Self {
        Self {
            recorder: recorder(&server, &node),
            server,
            node,
            published: HashMap::new(),
            dropped,
        }
    }

    async fn run(mut self, mut notices: mpsc::Receiver<(Instant, Notice)>) {
        while let Some((since, notice)) = notices.recv().await {
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                warn!("{dropped} Events were dropped because {QUEUE} waited already");
            }
            self.published.retain(|_, at| at.elapsed() < REPEAT);
            if self.published.contains_key(&notice) || self.published.len() >= REMEMBERED {
                debug!(
                    ?notice,
                    "an Event that repeats, or one of many, is left out"
                );
                continue;
            }
            if self.publish_until(since + PATIENCE, &notice).await {
                self.published.insert(notice, Instant::now());
            }
        }
    }

    /// Tries until it is published, refused or too late.
    async fn publish_until(&mut self, end: Instant, notice: &Notice) -> bool {
        let waits = ExponentialBuilder::new().with_max_delay(LONGEST_WAIT);
        let mut waits = self.server.chance().waits(waits);
        loop {
            let Err(cause) = self.publish(notice).await else {
                return true;
            };
            let refused = matches!(
                cause,
                Cause::Refused {
                    code: 400..=499,
                    ..
                }
            );
            let stale = cause.may_be_stale_configuration();
            let error = ServerError {
                step: Step::Publish,
                what: "an Event",
                cause,
            };
            if refused && !stale || Instant::now() >= end {
                warn!(%error, reason = notice.reason, note = notice.note, "an Event is lost");
                return false;
            }
            debug!(%error, "trying again");
            sleep(waits.next().unwrap_or(LONGEST_WAIT)).await;
            if stale {
                self.server.renew().await;
                self.recorder = recorder(&self.server, &self.node);
            }
        }
    }

    async fn publish(&self, notice: &Notice) -> Result<(), Cause> {
        let event = Event {
            type_: match notice.severity {
                Severity::Normal => EventType::Normal,
                Severity::Warning => EventType::Warning,
            },
            reason: notice.reason.to_owned(),
            note: Some(notice.note.clone()),
            action: notice.action.to_owned(),
            secondary: match &notice.regarding {
                Regarding::ServiceBeside { other, .. } => Some(of_service(other)),
                Regarding::Service(_) | Regarding::Node => None,
            },
        };
        let reference = self.reference(&notice.regarding);
        match timeout(LIMIT, self.recorder.publish(&event, &reference)).await {
            Ok(answer) => answer.map_err(Cause::from),
            Err(_) => Err(Cause::Silent(LIMIT)),
        }
    }

    fn reference(&self, regarding: &Regarding) -> ObjectReference {
        match regarding {
            Regarding::Node => reference("Node", None, &self.node),
            Regarding::Service(id) | Regarding::ServiceBeside { service: id, .. } => of_service(id),
        }
    }
}

fn of_service(id: &ServiceId) -> ObjectReference {
    reference("Service", Some(id.namespace().to_owned()), id.name())
}

fn reference(kind: &str, namespace: Option<String>, name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some(kind.to_owned()),
        namespace,
        name: Some(name.to_owned()),
        ..ObjectReference::default()
    }
}

fn recorder(server: &ApiServer, node: &str) -> Recorder {
    let reporter = Reporter {
        controller: CONTROLLER.to_owned(),
        instance: Some(node.to_owned()),
    };
    Recorder::new(server.client(), reporter)
}
