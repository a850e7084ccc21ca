//! Every kind of mistake is told with its place, and spoils nothing but itself.

mod common;

use std::path::PathBuf;

use common::Folder;
use viprule_service::model::Event;
use viprule_source::manifest::{Manifests, Severity};

#[test]
fn every_mistake_has_its_line() {
    let mut manifests = Manifests::new([PathBuf::from("tests/broken")], Some("node-0".to_owned()));
    let load = manifests.load();

    let told: Vec<_> = load.problems.iter().map(ToString::to_string).collect();
    let expected: Vec<_> = include_str!("broken/problems.txt").lines().collect();
    assert_eq!(told.len(), expected.len());
    for (told, expected) in told.iter().zip(expected) {
        assert_eq!(told, expected);
    }

    let services: Vec<_> = load
        .events
        .iter()
        .filter_map(|event| match event {
            Event::ServiceApplied(service) => Some(service.id.name()),
            _ => None,
        })
        .collect();
    let good = [
        "before",
        "after",
        "twice",
        "listed",
        "edge",
        "before-syntax",
        "after-syntax",
        "after-latin",
    ];
    assert_eq!(services, good);
    assert_eq!(load.other_kinds, 1);
}

#[test]
fn a_second_load_repeats_nothing() {
    let mut manifests = Manifests::new([PathBuf::from("tests/broken")], None);
    let first = manifests.load();
    let second = manifests.load();
    assert!(second.events.is_empty());
    assert!(second.problems.is_empty());
    assert_eq!(manifests.problems(), first.problems);
    assert_eq!(second.other_kinds, first.other_kinds);
}

#[test]
fn warnings_are_told_from_errors() {
    let mut manifests = Manifests::new([PathBuf::from("tests/broken/policies.yaml")], None);
    let load = manifests.load();
    let warnings: Vec<_> = load
        .problems
        .iter()
        .filter(|problem| problem.severity == Severity::Warning)
        .filter_map(|problem| problem.field.as_deref())
        .collect();
    assert_eq!(
        warnings,
        [
            "spec.healthCheckNodePort",
            "spec.clusterIP",
            "spec.externalIPs[1]"
        ]
    );
}

#[test]
fn lines_are_searched_for_as_long_as_that_is_cheap() {
    let folder = Folder::new();
    let items = (0..500).map(|number| {
        let metadata = format!("metadata: {{name: a{number}}}");
        let spec = "spec: {clusterIP: 10.0.0.1, ports: [{port: 0}]}";
        format!("- {{apiVersion: v1, kind: Service, {metadata}, {spec}}}\n")
    });
    let items: Vec<_> = items.collect();
    let text = format!("apiVersion: v1\nkind: List\nitems:\n{}", items.join(""));
    assert!(text.len() < 64 << 10);
    folder.write("a.yaml", &text);
    let load = folder.manifests().load();
    assert_eq!(load.problems.len(), 500);
    let lines = load.problems.iter().filter_map(|problem| problem.line);
    // Twenty, and what 1 MiB allows of a text that each search reads anew.
    let found = 20 + (1 << 20) / text.len();
    assert_eq!(
        lines.collect::<Vec<_>>(),
        (4..).take(found).collect::<Vec<_>>()
    );
}

#[test]
fn problems_are_data() {
    let mut manifests = Manifests::new([PathBuf::from("tests/broken/ports.yaml")], None);
    let load = manifests.load();
    let expected = serde_json::json!({
        "severity": "error",
        "file": "tests/broken/ports.yaml",
        "document": 1,
        "line": 8,
        "object": "Service shop/edge",
        "field": "spec.ports[0].port",
        "message": "70000 is not a port, 1 to 65535 are",
    });
    assert_eq!(serde_json::to_value(&load.problems[0]).unwrap(), expected);
}

#[test]
fn a_path_that_is_not_there_is_a_problem() {
    let load = Manifests::new([PathBuf::from("tests/nowhere")], None).load();
    let told: Vec<_> = load.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["tests/nowhere: can't be read: no such file or directory"]
    );
}
