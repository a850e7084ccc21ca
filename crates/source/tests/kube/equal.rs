//! An object means the same whether it comes from an API server or from a manifest.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;

use proptest::prop_assert;
use proptest::prop_assert_eq;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use viprule_service::model::Event;
use viprule_source::kube::{ApiServer, Problem, Resource, list_once};
use viprule_source::manifest::{self, Manifests};
use viprule_testkit::manifests::{join, service, slice, to_yaml};
use viprule_testkit::strategy::NODE;
use viprule_testkit::strategy::objects::{Objects, Seed, node_object, odd, seed};

use crate::server::{FakeServer, NODES, SERVICES, SLICES};
use crate::world::{Ear, api};

/// What a source says, in no order.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    events: BTreeSet<String>,
    /// What is refused and what is left out.
    problems: BTreeSet<String>,
}

const KINDS: [(&str, &str, &str); 3] = [
    (NODES, "Node", "v1"),
    (SERVICES, "Service", "v1"),
    (SLICES, "EndpointSlice", "discovery.k8s.io/v1"),
];

fn of_kind(objects: &[Value], kind: &str) -> Vec<Value> {
    let this = |object: &&Value| {
        object["kind"] == kind && (kind != "Node" || object["metadata"]["name"] == NODE)
    };
    objects.iter().filter(this).cloned().collect()
}

/// As a list has its items.
fn item(mut object: Value) -> Value {
    let fields = object.as_object_mut().unwrap();
    fields.remove("kind");
    fields.remove("apiVersion");
    object
}

fn told(events: &[Event]) -> BTreeSet<String> {
    let content = |event: &&Event| {
        matches!(
            event,
            Event::ServiceApplied(_) | Event::SliceApplied(_) | Event::NodeApplied(_)
        )
    };
    let events = events.iter().filter(content);
    events.map(|event| format!("{event:?}")).collect()
}

fn of_server(events: &[Event], problems: &[Problem]) -> Said {
    let problems = problems
        .iter()
        .map(|problem| format!("refused {}: {problem}", problem.refused))
        .collect();
    let events = told(events);
    Said { events, problems }
}

/// A server that all clusters come from, one after the other.
struct World {
    runtime: Runtime,
    server: RefCell<FakeServer>,
    api: ApiServer,
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (server, api) = runtime.block_on(async {
            let server = FakeServer::start().await;
            let api = api(&server).await;
            (server, api)
        });
        Self {
            runtime,
            server: RefCell::new(server),
            api,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// By pages and as a stream.
    fn served(&self, objects: &[Value]) -> [Said; 2] {
        let server = &mut *self.server.borrow_mut();
        let work = async {
            let api = self.api.clone();
            let list =
                tokio::spawn(async move { list_once(&api, NODE, &Resource::USUAL, 0).await });
            for (path, kind, version) in KINDS {
                let items: Vec<Value> = of_kind(objects, kind).into_iter().map(item).collect();
                let page = json!({
                    "kind": format!("{kind}List"), "apiVersion": version, "items": items,
                    "metadata": {"resourceVersion": "10"},
                });
                server.next(path).await.answer(200, &page).await;
            }
            let listing = list.await.unwrap().unwrap();
            let listed = of_server(&listing.events, &listing.problems);

            let mut ear = Ear::of_node(&self.api, NODE);
            let mut answers = Vec::new();
            for (path, kind, _) in KINDS {
                answers.push(server.stream(path, &of_kind(objects, kind), 10).await);
            }
            ear.until(|heard| heard.complete).await;
            [listed, of_server(&ear.heard.events, &ear.heard.problems)]
        };
        self.runtime.block_on(work)
    }

    fn written(&self, name: &str, text: &str) -> Said {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        let load = Manifests::new([path], Some(NODE.to_owned())).load();
        // What only manifests can lack.
        let of_both = |problem: &&manifest::Problem| {
            !problem.message.contains("is not among the manifests")
                && !is_unassigned(&problem.message)
        };
        let problems = load.problems.iter().filter(of_both).map(|problem| {
            let refused = problem.severity == manifest::Severity::Error;
            let parts = [&problem.object, &problem.field].into_iter().flatten();
            let parts: Vec<&str> = parts
                .map(|part| &**part)
                .chain([&*problem.message])
                .collect();
            format!("refused {refused}: {}", parts.join(": "))
        });
        Said {
            problems: problems.collect(),
            events: told(&load.events),
        }
    }

    /// All ways in which objects come.
    fn compare(&self, objects: &[Value]) -> Result<Said, TestCaseError> {
        // A list of none would be asked for twice.
        let more = [
            service("always").cluster_ip("10.1.0.1").json().clone(),
            slice("always-1", "always").json().clone(),
        ];
        let objects = &[objects, &more].concat();
        let yaml = join(objects.iter().map(to_yaml));
        let yaml = self.written("all.yaml", &yaml);
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        same(
            "as JSON",
            &yaml,
            &self.written("all.json", &list.to_string()),
        )?;
        let [mut pages, mut stream] = self.served(objects);
        for said in [&mut pages, &mut stream] {
            said.problems.retain(|problem| !is_unassigned(problem));
        }
        same("by pages", &yaml, &pages)?;
        same("as a stream", &yaml, &stream)?;
        Ok(yaml)
    }
}

fn is_unassigned(message: &str) -> bool {
    message.contains("an API server would have assigned one")
}

fn same(how: &str, yaml: &Said, other: &Said) -> Result<(), TestCaseError> {
    let only = |one: &BTreeSet<String>, other| {
        let lines: Vec<String> = one.difference(other).cloned().collect();
        lines.join("\n")
    };
    let pairs = [
        (&yaml.problems, &other.problems),
        (&yaml.events, &other.events),
    ];
    for (yaml, other) in pairs {
        let (yaml, other) = (only(yaml, other), only(other, yaml));
        prop_assert!(
            yaml.is_empty() && other.is_empty(),
            "as YAML:\n{yaml}\n{how}:\n{other}"
        );
    }
    Ok(())
}

fn cluster(of_node: &Seed, seed: &Seed) -> Vec<Value> {
    let mut cluster = vec![node_object(of_node)];
    cluster.extend(Objects::default().cluster(seed));
    cluster
}

#[test]
fn the_golden_cluster_is_the_same_from_both() {
    let text = include_str!("../../../../tests/golden/cluster/cluster.yaml");
    let objects: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    let said = World::new().compare(&objects).unwrap();
    assert_eq!(said.problems, BTreeSet::new());
    assert_eq!(said.events.len(), 19 + 2, "{said:#?}");
}

fn runner() -> TestRunner {
    TestRunner::new(Config {
        cases: 250,
        max_shrink_iters: 200,
        ..Config::default()
    })
}

#[test]
fn what_an_api_server_stores_is_the_same_from_both() {
    let world = World::new();
    let strategy = (seed(), seed());
    let result = runner().run(&strategy, |(node, seed)| {
        let said = world.compare(&cluster(&node, &seed))?;
        let mut problems = said.problems.iter();
        let refused = problems.find(|problem| problem.starts_with("refused true"));
        prop_assert_eq!(refused, None, "it is never refused");
        Ok(())
    });
    result.unwrap();
}

#[test]
fn so_is_what_none_would() {
    let world = World::new();
    let strategy = (seed(), seed(), seed());
    let result = runner().run(&strategy, |(node, seed, changes)| {
        let mut objects = cluster(&node, &seed);
        odd(&mut objects, &changes);
        world.compare(&objects).map(drop)
    });
    result.unwrap();
}
