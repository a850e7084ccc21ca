//! An API server that answers with any bytes.
//!
//! An input is answers, separated by the byte 0x1e. The first one is for the first question about
//! the node, the next ones for the first about Services and about EndpointSlices, and so on.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use viprule_source::kube::{ApiServer, Resource, Source, list_once};
use viprule_testkit::api_server::answering;

use crate::plans::{self, NODE};
use crate::seeds;

const SEPARATOR: u8 = 0x1e;
/// How long answers are waited for, on a clock that is made.
const PATIENCE: Duration = Duration::from_secs(120);

/// Lists everything once.
pub(crate) fn list(bytes: &[u8]) {
    let listing = runtime().block_on(async {
        let server = server(bytes);
        timeout(PATIENCE, list_once(&server, NODE, &Resource::ALL, 0)).await
    });
    match listing {
        Ok(Ok(listing)) => {
            for problem in &listing.problems {
                let _ = problem.to_string();
            }
            plans::follow(listing.events);
        }
        Ok(Err(error)) => drop(error.to_string()),
        Err(_) => {}
    }
}

/// Lists and watches.
pub(crate) fn watch(bytes: &[u8]) {
    let events = runtime().block_on(async {
        let mut source = Source::start(&server(bytes), NODE, &Resource::ALL, 0);
        let mut events = Vec::new();
        let all = async {
            while let Some(batch) = source.next().await {
                for problem in &batch.problems {
                    let _ = problem.to_string();
                }
                events.extend(batch.events);
            }
        };
        let _ = timeout(PATIENCE, all).await;
        events
    });
    plans::follow(events);
}

/// Lists of the golden clusters.
pub(crate) fn list_seeds() -> Vec<Vec<u8>> {
    let lists = seeds::objects().into_iter().map(|objects| {
        let lists = Resource::ALL.map(|resource| list_of(resource, &objects, 5).to_string());
        joined(&lists)
    });
    lists.collect()
}

/// The same with a watch behind each.
pub(crate) fn watch_seeds() -> Vec<Vec<u8>> {
    let watches = seeds::objects().into_iter().map(|objects| {
        let lists = Resource::ALL.map(|resource| list_of(resource, &[], 5).to_string());
        let watches = Resource::ALL.map(|resource| {
            let mut lines = Vec::new();
            for (version, mut object) in (6..).zip(of(resource, &objects)) {
                object["metadata"]["resourceVersion"] = json!(format!("{version}"));
                let kinds = ["ADDED", "MODIFIED", "DELETED"];
                lines.extend(kinds.map(|kind| json!({"type": kind, "object": object})));
            }
            let (kind, version) = kind(resource);
            let bookmark = json!({"kind": kind, "apiVersion": version,
                "metadata": {"resourceVersion": "99", "creationTimestamp": null}});
            let gone = json!({"kind": "Status", "apiVersion": "v1", "metadata": {},
                "status": "Failure", "message": "too old", "reason": "Expired", "code": 410});
            lines.push(json!({"type": "BOOKMARK", "object": bookmark}));
            lines.push(json!({"type": "ERROR", "object": gone}));
            let lines: Vec<_> = lines.iter().map(Value::to_string).collect();
            lines.join("\n")
        });
        let again = Resource::ALL.map(|resource| list_of(resource, &objects, 100).to_string());
        joined(&[lists, watches, again].concat())
    });
    watches.collect()
}

fn joined(answers: &[String]) -> Vec<u8> {
    let answers: Vec<_> = answers.iter().map(String::as_bytes).collect();
    answers.join(&SEPARATOR)
}

const fn kind(resource: Resource) -> (&'static str, &'static str) {
    match resource {
        Resource::Node => ("Node", "v1"),
        Resource::Service => ("Service", "v1"),
        Resource::EndpointSlice => ("EndpointSlice", "discovery.k8s.io/v1"),
        Resource::ServiceCidr => ("ServiceCIDR", "networking.k8s.io/v1"),
    }
}

fn of(resource: Resource, objects: &[Value]) -> Vec<Value> {
    let (kind, _) = kind(resource);
    let objects = objects.iter().filter(|object| object["kind"] == kind);
    objects.cloned().collect()
}

fn list_of(resource: Resource, objects: &[Value], version: u32) -> Value {
    let (kind, api) = kind(resource);
    json!({
        "kind": format!("{kind}List"),
        "apiVersion": api,
        "metadata": {"resourceVersion": format!("{version}")},
        "items": of(resource, objects),
    })
}

/// To be called in a runtime.
fn server(bytes: &[u8]) -> ApiServer {
    let mut answers = [const { VecDeque::new() }; Resource::ALL.len()];
    for (index, answer) in bytes.split(|byte| *byte == SEPARATOR).enumerate() {
        answers[index % Resource::ALL.len()].push_back(answer.to_vec());
    }
    let client = answering(move |path| {
        let asked = Resource::ALL
            .iter()
            .position(|resource| path.contains(resource.plural()));
        asked.and_then(|asked| answers[asked].pop_front())
    });
    ApiServer::over(client, &[], 1)
}

/// One whose clock goes on where all wait.
fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    runtime.expect("a runtime")
}
