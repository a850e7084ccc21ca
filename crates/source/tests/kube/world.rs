//! Objects, and what a source says about them.

use serde_json::{Value, json};
use tokio::time::timeout;
use viprule_service::model::{Event, ServiceId};
use viprule_source::kube::{Access, ApiServer, Batch, Phase, Resource, Source, WatchStatus};

use crate::server::{Answer, FakeServer, NODES, PATIENCE, SERVICES, SLICES};

pub(crate) const NODE: &str = "node-a";

pub(crate) fn service(name: &str, version: u32) -> Value {
    json!({
        "kind": "Service", "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "shop", "resourceVersion": version.to_string()},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80}]},
    })
}

/// A Service that is refused.
pub(crate) fn odd_service(name: &str, version: u32) -> Value {
    let mut object = service(name, version);
    object["spec"]["type"] = "Odd".into();
    object
}

pub(crate) fn slice(name: &str, service: &str, version: u32) -> Value {
    json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
        "metadata": {
            "name": name, "namespace": "shop", "resourceVersion": version.to_string(),
            "labels": {"kubernetes.io/service-name": service},
            "annotations": {
                "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-02T03:04:05Z",
            },
        },
        "addressType": "IPv4", "ports": [{"name": "", "port": 8080}],
        "endpoints": [{"addresses": ["10.0.0.1"]}],
    })
}

pub(crate) fn node(version: u32) -> Value {
    json!({
        "kind": "Node", "apiVersion": "v1",
        "metadata": {"name": NODE, "resourceVersion": version.to_string()},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
    })
}

/// A page of Services.
pub(crate) fn page(services: &[Value], version: u32, next: &str) -> Value {
    page_of("Service", services, version, next)
}

/// A page of objects of a kind, as the server writes them there: they don't say it.
pub(crate) fn page_of(kind: &str, objects: &[Value], version: u32, next: &str) -> Value {
    let bare = |object: &Value| {
        let mut object = object.clone();
        let fields = object.as_object_mut().unwrap();
        fields.remove("kind");
        fields.remove("apiVersion");
        object
    };
    let objects: Vec<Value> = objects.iter().map(bare).collect();
    json!({
        "kind": format!("{kind}List"), "apiVersion": api_version(kind), "items": objects,
        "metadata": {"resourceVersion": version.to_string(), "continue": next},
    })
}

pub(crate) fn api_version(kind: &str) -> &'static str {
    match kind {
        "EndpointSlice" => "discovery.k8s.io/v1",
        "ServiceCIDR" => "networking.k8s.io/v1",
        _ => "v1",
    }
}

pub(crate) fn id(name: &str) -> ServiceId {
    ServiceId::new("shop", name).unwrap()
}

pub(crate) async fn api(server: &FakeServer) -> ApiServer {
    let access = Access {
        kubeconfig: None,
        master: Some(server.url()),
        pipes: false,
    };
    ApiServer::new(access).await.unwrap()
}

/// A source and all that it said.
pub(crate) struct Ear {
    pub(crate) source: Source,
    pub(crate) heard: Batch,
}

impl Ear {
    pub(crate) async fn start(server: &FakeServer) -> Self {
        Self::of(&api(server).await)
    }

    pub(crate) fn of(api: &ApiServer) -> Self {
        Self::of_node(api, NODE)
    }

    pub(crate) fn of_node(api: &ApiServer, node: &str) -> Self {
        Self::with(Source::start(api, node, &Resource::USUAL, 0))
    }

    /// On a node that serves so many Services already.
    pub(crate) fn of_serving(api: &ApiServer, served: usize) -> Self {
        Self::with(Source::start(api, NODE, &Resource::USUAL, served))
    }

    /// Of `ServiceCIDR`s too.
    pub(crate) fn of_all(api: &ApiServer) -> Self {
        Self::with(Source::start(api, NODE, &Resource::ALL, 0))
    }

    fn with(source: Source) -> Self {
        Self {
            source,
            heard: Batch::default(),
        }
    }

    /// A source whose lists are told, with one Service, one slice and the node; and the answers
    /// to its watches of Services, slices and the node.
    pub(crate) async fn settled(server: &mut FakeServer) -> (Self, [Answer; 3]) {
        let mut ear = Self::start(server).await;
        let mut answers = [
            server.list(SERVICES, &[service("web", 5)], 10).await,
            server.list(SLICES, &[slice("web-x", "web", 6)], 10).await,
            server.list(NODES, &[node(7)], 10).await,
        ];
        ear.until(|heard| heard.complete).await;
        // One that says nothing before it ends would be an error.
        let before = tokio::time::Instant::now().into_std();
        for answer in &mut answers {
            answer.bookmark(10).await;
        }
        for resource in [Resource::Service, Resource::EndpointSlice, Resource::Node] {
            ear.until_status(resource, |it| it.last_heard > Some(before))
                .await;
        }
        ear.heard = Batch::default();
        (ear, answers)
    }

    /// Listens until it heard something.
    pub(crate) async fn until(&mut self, done: impl Fn(&Batch) -> bool) {
        while !done(&self.heard) {
            let batch = timeout(PATIENCE, self.source.next()).await;
            let batch = batch.unwrap_or_else(|_| panic!("only heard {:?}", self.heard));
            let batch = batch.unwrap();
            self.heard.events.extend(batch.events);
            self.heard.triggers.extend(batch.triggers);
            self.heard.problems.extend(batch.problems);
            self.heard.suppressed += batch.suppressed;
            self.heard.complete = batch.complete;
        }
    }

    pub(crate) async fn hear(&mut self, event: &Event) {
        self.until(|heard| heard.events.contains(event)).await;
    }

    pub(crate) fn status(&self, resource: Resource) -> WatchStatus {
        let all = self.source.statuses().read();
        all.into_iter().find(|s| s.resource == resource).unwrap()
    }

    /// Waits for a status, while the source goes on.
    pub(crate) async fn until_status(
        &self,
        resource: Resource,
        done: impl Fn(&WatchStatus) -> bool,
    ) -> WatchStatus {
        let wait = async {
            loop {
                let status = self.status(resource);
                if done(&status) {
                    return status;
                }
                tokio::task::yield_now().await;
            }
        };
        let found = timeout(PATIENCE, wait).await;
        found.unwrap_or_else(|_| panic!("is still {:?}", self.status(resource)))
    }
}

pub(crate) fn error(status: &WatchStatus) -> &str {
    match &status.phase {
        Phase::Failing { error } => error,
        other => panic!("{other:?}"),
    }
}

/// Does something in no time at all.
pub(crate) async fn at_once<T>(work: impl Future<Output = T>) -> T {
    let (done, wait) = std::sync::mpsc::channel::<()>();
    // A clock that is paused goes on when everybody waits, but not while such a thread runs.
    let thread = tokio::task::spawn_blocking(move || wait.recv_timeout(PATIENCE).is_ok());
    tokio::time::pause();
    let outcome = work.await;
    tokio::time::resume();
    drop(done);
    thread.await.unwrap();
    outcome
}

/// Lets time pass for everybody.
pub(crate) async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(seconds)).await;
    tokio::time::resume();
}
