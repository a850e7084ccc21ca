//! What the server has, and how it came to be.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Nodes.
    Node,
    /// Services.
    Service,
    /// EndpointSlices.
    EndpointSlice,
    /// `ServiceCIDR`s.
    ServiceCidr,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Node,
        Self::Service,
        Self::EndpointSlice,
        Self::ServiceCidr,
    ];

    /// As objects say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Node => "Node",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::ServiceCidr => "ServiceCIDR",
        }
    }

    /// The version of its API.
    pub const fn version(self) -> &'static str {
        match self {
            Self::Node | Self::Service => "v1",
            Self::EndpointSlice => "discovery.k8s.io/v1",
            Self::ServiceCidr => "networking.k8s.io/v1",
        }
    }

    /// The kind that a request's path names.
    pub(super) fn of(path: &str) -> Option<Self> {
        match path {
            "/api/v1/nodes" => Some(Self::Node),
            "/api/v1/services" => Some(Self::Service),
            "/apis/discovery.k8s.io/v1/endpointslices" => Some(Self::EndpointSlice),
            "/apis/networking.k8s.io/v1/servicecidrs" => Some(Self::ServiceCidr),
            _ => None,
        }
    }
}

/// Namespace and name.
pub(super) type Name = (String, String);

/// What there was at one time.
#[derive(Debug, Clone)]
pub struct Snapshot {
    version: u64,
    objects: BTreeMap<(Kind, Name), String>,
}

#[derive(Debug)]
struct Past {
    version: u64,
    kind: Kind,
    line: String,
}

#[derive(Debug)]
pub(super) struct Store {
    version: u64,
    objects: BTreeMap<(Kind, Name), String>,
    history: Vec<Past>,
    /// No watch can begin before it.
    compacted: u64,
}

impl Store {
    pub(super) fn new() -> Self {
        Self {
            version: 1000,
            objects: BTreeMap::new(),
            history: Vec::new(),
            compacted: 1000,
        }
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Returns the line that tells of it.
    pub(super) fn put(&mut self, kind: Kind, mut object: Value) -> String {
        self.version += 1;
        object["kind"] = json!(kind.name());
        object["apiVersion"] = json!(kind.version());
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let text = object.to_string();
        let before = self.objects.insert((kind, name(&object)), text.clone());
        let change = if before.is_some() {
            "MODIFIED"
        } else {
            "ADDED"
        };
        self.happened(kind, change, &text)
    }

    /// Returns the line that tells of it, if it was there.
    pub(super) fn delete(&mut self, kind: Kind, namespace: &str, name: &str) -> Option<String> {
        let key = (kind, (namespace.to_owned(), name.to_owned()));
        let text = self.objects.remove(&key)?;
        self.version += 1;
        let mut object: Value = serde_json::from_str(&text).unwrap_or_default();
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        Some(self.happened(kind, "DELETED", &object.to_string()))
    }

    fn happened(&mut self, kind: Kind, change: &str, object: &str) -> String {
        let line = line(change, object);
        self.history.push(Past {
            version: self.version,
            kind,
            line: line.clone(),
        });
        line
    }

    pub(super) fn bookmark(&self, kind: Kind, ends_list: bool) -> String {
        let annotations = if ends_list {
            json!({"k8s.io/initial-events-end": "true"})
        } else {
            json!({})
        };
        let object = json!({
            "kind": kind.name(),
            "apiVersion": kind.version(),
            "metadata": {
                "resourceVersion": self.version.to_string(),
                "annotations": annotations,
            },
        });
        line("BOOKMARK", &object.to_string())
    }

    /// The objects of a kind, as text, in order.
    pub(super) fn objects(&self, kind: Kind) -> Vec<String> {
        let of_kind = self.objects.iter().filter(|((of, _), _)| *of == kind);
        of_kind.map(|(_, text)| text.clone()).collect()
    }

    /// What happened behind a version, as lines; none where that is forgotten.
    pub(super) fn since(&self, kind: Kind, version: u64) -> Option<Vec<String>> {
        let later = |past: &&Past| past.kind == kind && past.version > version;
        (version >= self.compacted).then(|| {
            let happened = self.history.iter().filter(later);
            happened.map(|past| past.line.clone()).collect()
        })
    }

    pub(super) fn compact(&mut self) {
        self.compacted = self.version;
        self.history.clear();
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            version: self.version,
            objects: self.objects.clone(),
        }
    }

    pub(super) fn restore(&mut self, snapshot: &Snapshot) {
        self.version = snapshot.version;
        self.objects.clone_from(&snapshot.objects);
        let version = self.version;
        self.history.retain(|past| past.version <= version);
        self.compacted = self.compacted.min(version);
    }
}

pub(super) fn line(change: &str, object: &str) -> String {
    format!("{{\"type\":\"{change}\",\"object\":{object}}}\n")
}

fn name(object: &Value) -> Name {
    let of = |field: &str| {
        let text = object["metadata"][field].as_str();
        text.unwrap_or_default().to_owned()
    };
    (of("namespace"), of("name"))
}
