//! Kubernetes objects as JSON: what people, Helm and controllers write, with all that doesn't count.
//!
//! An API server (1.36) stores them as they are, and fills in nothing that counts. [`odd`] makes
//! objects that none would store.

mod choice;
mod odd;
mod service;
mod slice;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{NODE, ZONE};
use choice::Choice;

/// What clusters are made of: numbers that decisions are taken by. They shrink to plain clusters.
pub type Seed = Vec<u32>;

/// Seeds of clusters.
pub fn seed() -> impl Strategy<Value = Seed> {
    vec(any::<u32>(), 0..=400)
}

/// Makes clusters whose Services have nothing in common, so that all may exist side by side.
#[derive(Debug)]
pub struct Objects {
    /// Services so far; their addresses follow from it.
    services: u32,
    /// The next port on nodes.
    node_port: u16,
}

impl Default for Objects {
    fn default() -> Self {
        Self {
            // What comes before is the API server's own.
            services: 10,
            node_port: 30_000,
        }
    }
}

/// The last port that API servers give to Services on nodes.
const LAST_NODE_PORT: u16 = 32_767;

impl Objects {
    /// One to four Services and their slices, in the namespace `shop`.
    pub fn cluster(&mut self, seed: &Seed) -> Vec<Value> {
        let mut choice = Choice::new(seed);
        let mut objects = Vec::new();
        for _ in 0..=choice.below(4) {
            self.services += 1;
            let service = service::service(self, &mut choice);
            let slices = slice::slices(&service, &mut choice);
            objects.push(service);
            objects.extend(slices);
        }
        objects
    }

    /// None once the range is used up.
    fn node_port(&mut self) -> Option<u16> {
        self.node_port += 1;
        Some(self.node_port).filter(|port| *port <= LAST_NODE_PORT)
    }
}

/// The node that everything is computed for.
pub fn node_object(seed: &Seed) -> Value {
    let mut choice = Choice::new(seed);
    let mut labels = json!({"kubernetes.io/hostname": NODE});
    if choice.of([true, false]) {
        labels["topology.kubernetes.io/zone"] = ZONE.into();
    }
    let mut addresses = vec![
        json!({"type": "InternalIP", "address": "192.168.77.2"}),
        json!({"type": "Hostname", "address": NODE}),
    ];
    if choice.of([true, false]) {
        addresses.push(json!({"type": "InternalIP", "address": "fd00:77::2"}));
    }
    if choice.rarely() {
        addresses.insert(0, json!({"type": "ExternalIP", "address": "203.0.113.2"}));
    }
    let mut spec = json!({"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24"]});
    if choice.rarely() {
        let taints = [
            json!({"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": "9999-12-31T23:59:59Z"}),
            json!({"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule", "value": "1"}),
        ];
        spec["taints"] = json!([choice.of(taints)]);
    }
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": NODE, "labels": labels, "annotations": annotations(&mut choice)},
        "spec": spec,
        "status": {"addresses": addresses, "nodeInfo": {"kubeletVersion": "v1.36.3"}},
    })
}

/// Makes what no API server would store of its objects: absent, null and impossible values in
/// fields that count, and anything in all others.
pub fn odd(objects: &mut [Value], seed: &Seed) {
    let mut choice = Choice::new(seed);
    for object in objects {
        odd::spoil(object, &mut choice);
    }
}

/// Annotations that mean nothing here; Go escapes some of their characters.
fn annotations(choice: &mut Choice<'_>) -> Map<String, Value> {
    let mut annotations = Map::new();
    if choice.rarely() {
        annotations.insert("meta.helm.sh/release-name".to_owned(), "web".into());
    }
    if choice.rarely() {
        let text = "{\"a\":\"<b> & 'c' \\\\ \u{1f600}\"}\n";
        annotations.insert("example.org/configuration".to_owned(), text.into());
    }
    annotations
}
