//! A scheduler of the simplest kind: pods go to the nodes in turn.

use crate::background::Background;
use crate::error::Result;
use crate::netns::Namespace;
use futures_util::{StreamExt as _, stream::select};
use k8s_openapi::api::core::v1::{Binding, Node, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Status};
use kube::api::PostParams;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use std::collections::BTreeMap;
use std::time::Duration;

/// Binds pods that have no node yet to nodes that are ready, aren't cordoned and have the labels
/// of `nodeSelector`. Affinity, taints and resources don't count. Stops on drop.
#[derive(Debug)]
pub struct Binder {
    _background: Background,
}

/// What the binder knows.
#[derive(Debug, Default)]
struct Known {
    nodes: BTreeMap<String, Node>,
    /// Pods that have no node yet, by namespace and name, in order of arrival.
    waiting: Vec<Pod>,
    /// How many pods were bound, to take turns.
    turn: usize,
}

/// News of either watch.
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, and both kinds of object are large"
)]
enum News {
    Node(Event<Node>),
    Pod(Event<Pod>),
}

impl Binder {
    /// Starts in a namespace from which the API server can be reached.
    pub fn start(namespace: &Namespace, api: kube::Config) -> Result<Self> {
        let background = Background::start(namespace, "binder", move || async move {
            match Client::try_from(api) {
                Ok(client) => run(client).await,
                Err(error) => tracing::error!("the binder's client: {error}"),
            }
        })?;
        Ok(Self {
            _background: background,
        })
    }
}

async fn run(client: Client) {
    /// A pod that couldn't be bound is tried again, as nobody will speak of it.
    const RETRY: Duration = Duration::from_millis(500);
    let nodes = watcher(Api::<Node>::all(client.clone()), watcher::Config::default());
    let unbound = watcher::Config::default().fields("spec.nodeName=");
    let pods = watcher(Api::<Pod>::all(client.clone()), unbound);
    let nodes = nodes.default_backoff().map(|event| event.map(News::Node));
    let pods = pods.default_backoff().map(|event| event.map(News::Pod));
    let mut news = select(nodes.boxed(), pods.boxed());
    let mut known = Known::default();
    loop {
        tokio::select! {
            event = news.next() => match event {
                Some(Ok(event)) => known.learn(event),
                Some(Err(error)) => tracing::debug!("the binder's watches: {error}"),
                None => return,
            },
            () = tokio::time::sleep(RETRY), if !known.waiting.is_empty() => {}
        }
        known.bind_all(&client).await;
    }
}

impl Known {
    fn learn(&mut self, news: News) {
        match news {
            News::Node(Event::Init) => self.nodes.clear(),
            News::Node(Event::Apply(node) | Event::InitApply(node)) => {
                self.nodes.insert(node.name_any(), node);
            }
            News::Node(Event::Delete(node)) => {
                self.nodes.remove(&node.name_any());
            }
            News::Pod(Event::Init) => self.waiting.clear(),
            News::Pod(Event::Apply(pod) | Event::InitApply(pod)) => {
                self.waiting.retain(|known| known.uid() != pod.uid());
                self.waiting.push(pod);
            }
            News::Pod(Event::Delete(pod)) => self.waiting.retain(|known| known.uid() != pod.uid()),
            News::Node(Event::InitDone) | News::Pod(Event::InitDone) => {}
        }
    }

    async fn bind_all(&mut self, client: &Client) {
        for pod in std::mem::take(&mut self.waiting) {
            let Some(node) = self.choose(&pod) else {
                self.waiting.push(pod);
                continue;
            };
            match self.bind(client, &pod, &node).await {
                Ok(true) => self.turn += 1,
                Ok(false) => self.waiting.push(pod),
                // It was bound by somebody, or is gone.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                Err(error) => {
                    tracing::debug!("binding pod {}: {error}", pod.name_any());
                    self.waiting.push(pod);
                }
            }
        }
    }

    /// Binds a pod to a node if the node suits it now: a cordon holds from its answer on.
    async fn bind(&mut self, client: &Client, pod: &Pod, node: &str) -> kube::Result<bool> {
        let latest = Api::<Node>::all(client.clone()).get(node).await?;
        let suits = suits(&latest, pod);
        self.nodes.insert(node.to_owned(), latest);
        if suits {
            bind(client, pod, node).await?;
        }
        Ok(suits)
    }

    fn choose(&self, pod: &Pod) -> Option<String> {
        if pod.metadata.deletion_timestamp.is_some() {
            return None;
        }
        let nodes = self.nodes.values().filter(|node| suits(node, pod));
        let nodes: Vec<_> = nodes.map(Node::name_any).collect();
        let index = self.turn.checked_rem(nodes.len())?;
        nodes.into_iter().nth(index)
    }
}

/// Whether a pod may be bound to a node.
fn suits(node: &Node, pod: &Pod) -> bool {
    let spec = node.spec.as_ref();
    let cordoned = spec.and_then(|spec| spec.unschedulable).unwrap_or(false);
    let conditions = node.status.iter().flat_map(|it| it.conditions.iter());
    let ready = conditions
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let selector = pod.spec.iter().flat_map(|it| it.node_selector.iter());
    let selected = selector
        .flatten()
        .all(|(key, value)| node.labels().get(key) == Some(value));
    ready && !cordoned && selected
}

async fn bind(client: &Client, pod: &Pod, node: &str) -> kube::Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let name = pod.name_any();
    let binding = Binding {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            ..ObjectMeta::default()
        },
        target: ObjectReference {
            kind: Some("Node".to_owned()),
            name: Some(node.to_owned()),
            ..ObjectReference::default()
        },
    };
    let params = PostParams::default();
    let _: Status = pods
        .create_subresource("binding", &name, &params, &binding)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(name: &str, extra: serde_json::Value) -> Node {
        let mut node = json!({
            "metadata": { "name": name, "labels": { "disk": name } },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
        });
        if let (Some(node), serde_json::Value::Object(extra)) = (node.as_object_mut(), extra) {
            node.extend(extra);
        }
        serde_json::from_value(node).unwrap()
    }

    fn known(nodes: impl IntoIterator<Item = Node>) -> Known {
        let mut known = Known::default();
        for node in nodes {
            known.learn(News::Node(Event::Apply(node)));
        }
        known
    }

    #[test]
    fn pods_go_to_the_nodes_in_turn() {
        let mut known = known([node("a", json!({})), node("b", json!({}))]);
        let pod = Pod::default();
        let chosen: Vec<_> = (0..4)
            .map(|turn| {
                known.turn = turn;
                known.choose(&pod).unwrap()
            })
            .collect();
        assert_eq!(chosen, ["a", "b", "a", "b"]);
    }

    #[test]
    fn cordoned_unready_and_other_nodes_are_left_out() {
        let cordoned = node("a", json!({ "spec": { "unschedulable": true } }));
        let unready = node("b", json!({ "status": {} }));
        let known = known([
            cordoned,
            unready,
            node("c", json!({})),
            node("d", json!({})),
        ]);
        let pod = json!({ "spec": { "nodeSelector": { "disk": "d" }, "containers": [] } });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        assert_eq!(known.choose(&pod).as_deref(), Some("d"));
        assert_eq!(known.choose(&Pod::default()).as_deref(), Some("c"));
    }

    #[test]
    fn without_a_node_a_pod_waits() {
        assert_eq!(known([]).choose(&Pod::default()), None);
    }
}
