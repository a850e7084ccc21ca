//! `Endpoints` are mirrored to slices where an API server would do it, and told of elsewhere.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use common::{Folder, events, problems, refused, service, slice};
use proptest::prelude::*;
use viprule_service::model::Event;
use viprule_source::manifest::{Load, Loss, Manifests, Share};

const NOTHING: [&str; 0] = [];

/// Endpoints with one address.
fn endpoints(name: &str, ip: &str) -> String {
    endpoints_with(&format!("name: {name}"), ip)
}

fn endpoints_with(metadata: &str, ip: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Endpoints\nmetadata: {{{metadata}}}\n\
         subsets: [{{addresses: [{{ip: {ip}}}], ports: [{{port: 8080}}]}}]\n"
    )
}

/// A Service that an API server looks for pods of.
fn selecting(name: &str, ip: &str) -> String {
    service(name, ip).replace("spec: {", "spec: {selector: {app: a}, ")
}

fn joined(documents: &[String]) -> String {
    documents.join("---\n")
}

const ADD: &str = "has no EndpointSlice among the manifests, so it has no endpoints; add what `kubectl get \
                   endpointslices -n default -l kubernetes.io/service-name=a -o yaml` prints";

#[test]
fn endpoints_of_a_service_without_selector_are_mirrored() {
    for without in ["", "selector: {}, ", "selector: null, "] {
        let folder = Folder::new();
        let service = service("a", "10.1.0.1").replace("spec: {", &format!("spec: {{{without}"));
        folder.write(
            "m.yaml",
            &joined(&[service, endpoints("a", "198.18.0.254")]),
        );
        let load = folder.manifests().load();
        assert_eq!(problems(&load, &folder), NOTHING);
        assert_eq!(
            events(&load),
            [
                "+default/a [10.1.0.1]",
                "+default/a:endpoints/0/ipv4 [\"198.18.0.254\"]"
            ]
        );
    }
}

#[test]
fn a_typed_list_has_endpoints_too() {
    let folder = Folder::new();
    let item = r#"{"metadata": {"name": "a"}, "subsets": [{"addresses": [{"ip": "10.0.0.1"}]}]}"#;
    folder.write(
        "m.yaml",
        &format!(
            "{}---\n{{\"apiVersion\": \"v1\", \"kind\": \"EndpointsList\", \"items\": [{item}]}}\n",
            service("a", "10.1.0.1")
        ),
    );
    assert_eq!(
        events(&folder.manifests().load())[1..],
        ["+default/a:endpoints/0/ipv4 [\"10.0.0.1\"]"]
    );
}

#[test]
fn slices_of_the_service_count_in_place_of_endpoints() {
    let folder = Folder::new();
    for service in [service("a", "10.1.0.1"), selecting("a", "10.1.0.1")] {
        let all = [
            service,
            endpoints("a", "10.0.0.9"),
            slice("a-1", "a", "10.0.0.1"),
        ];
        folder.write("m.yaml", &joined(&all));
        let load = folder.manifests().load();
        assert_eq!(problems(&load, &folder), NOTHING);
        assert_eq!(events(&load)[1..], ["+default/a:a-1 [\"10.0.0.1\"]"]);
    }
}

#[test]
fn what_is_not_mirrored_is_told_with_its_reason() {
    let folder = Folder::new();
    let told = |service: &str, endpoints: &str| {
        folder.write("m.yaml", &format!("{service}---\n{endpoints}"));
        let load = folder.manifests().load();
        let slices = events(&load)
            .iter()
            .any(|event| event.contains("endpoints/"));
        (slices, problems(&load, &folder))
    };
    let without = service("a", "10.1.0.1");
    let plain = endpoints("a", "10.0.0.1");
    let skip = "name: a, labels: {endpointslice.kubernetes.io/skip-mirror: 'true'}";
    let leader = "name: a, annotations: {control-plane.alpha.kubernetes.io/leader: '{}'}";
    let (skip, leader) = (
        endpoints_with(skip, "10.0.0.1"),
        endpoints_with(leader, "10.0.0.1"),
    );
    let at = "m.yaml: document 2, line 6: Endpoints default/a:";
    let mirrored = "are not mirrored to EndpointSlices, as";
    let because = |why: &str| {
        (
            false,
            vec![format!(
                "{at} {mirrored} {why}, and Service default/a {ADD}"
            )],
        )
    };
    assert_eq!(
        told(&selecting("a", "10.1.0.1"), &plain),
        because("Service default/a has a selector")
    );
    assert_eq!(
        told(&without, &skip),
        because("the label endpointslice.kubernetes.io/skip-mirror says")
    );
    assert_eq!(
        told(&without, &leader),
        because("the annotation control-plane.alpha.kubernetes.io/leader says")
    );
    let (_, alone) = told(&service("b", "10.1.0.2"), &plain);
    let absent = "Service default/a is not among the manifests; add it or leave the Endpoints out";
    assert_eq!(alone, [format!("{at} {absent}")]);

    // What nobody misses.
    let other = service("b", "10.1.0.2");
    assert_eq!(told(&other, &leader), (false, vec![]));
    assert_eq!(told(&other, &skip), (false, vec![]));
    assert_eq!(told(&service("a", "None"), &plain), (false, vec![]));
    let empty = "apiVersion: v1\nkind: Endpoints\nmetadata: {name: a}\n";
    assert_eq!(told(&selecting("a", "10.1.0.1"), empty), (false, vec![]));
    assert_eq!(
        told(&other, &plain.replace("v1", "x.io/v1")),
        (false, vec![])
    );
}

#[test]
fn many_are_told_together() {
    let folder = Folder::new();
    let mut text = String::new();
    for n in 1..=120 {
        let name = format!("s{n:03}");
        let ip = format!("10.1.0.{n}");
        let _ = write!(
            text,
            "{}---\n{}---\n",
            selecting(&name, &ip),
            endpoints(&name, &ip)
        );
    }
    folder.write("all.yaml", &text);
    let mut manifests = folder.manifests();
    let load = manifests.load();
    assert_eq!(
        problems(&load, &folder),
        [
            "all.yaml: document 2, line 6: Endpoints default/s001, default/s002, default/s003 and 117 more: \
          are not mirrored to EndpointSlices, as their Services have selectors, and these have no \
          EndpointSlices among the manifests, so they have no endpoints; add what `kubectl get \
          endpointslices -A -o yaml` prints"
        ]
    );
    assert_eq!(manifests.load().problems, []);
}

#[test]
fn what_comes_and_goes_is_followed() {
    let folder = Folder::new();
    let mut manifests = folder.manifests();
    folder.write("b.yaml", &service("b", "10.1.0.2"));
    folder.write("endpoints.yaml", &endpoints("a", "10.0.0.1"));
    manifests.load();

    folder.write("service.yaml", &service("a", "10.1.0.1"));
    let load = manifests.load();
    assert_eq!(problems(&load, &folder), NOTHING);
    assert_eq!(
        events(&load),
        ["+default/a [10.1.0.1]"],
        "its slice is there"
    );

    folder.write("endpoints.yaml", &endpoints("a", "10.0.0.2"));
    let changed = "+default/a:endpoints/0/ipv4 [\"10.0.0.2\"]";
    assert_eq!(events(&manifests.load()), [changed]);
    folder.write("endpoints.yaml", &endpoints("a", "\"fd00::2\""));
    assert_eq!(
        events(&manifests.load()),
        [
            "-default/a:endpoints/0/ipv4",
            "+default/a:endpoints/0/ipv6 [\"fd00::2\"]"
        ]
    );
    folder.write("endpoints.yaml", &endpoints("a", "10.0.0.2"));
    manifests.load();

    folder.write("slice.yaml", &slice("a-1", "a", "10.0.0.3"));
    assert_eq!(
        events(&manifests.load()),
        [
            "+default/a:a-1 [\"10.0.0.3\"]",
            "-default/a:endpoints/0/ipv4"
        ]
    );
    folder.remove("slice.yaml");
    assert_eq!(events(&manifests.load()), ["-default/a:a-1", changed]);

    folder.write("service.yaml", &selecting("a", "10.1.0.1"));
    let load = manifests.load();
    assert_eq!(
        events(&load),
        ["+default/a [10.1.0.1]", "-default/a:endpoints/0/ipv4"]
    );
    assert_eq!(load.problems.len(), 1);
    folder.write("service.yaml", &service("a", "10.1.0.1"));
    assert_eq!(
        events(&manifests.load()),
        ["+default/a [10.1.0.1]", changed]
    );
    folder.remove("endpoints.yaml");
    assert_eq!(events(&manifests.load()), ["-default/a:endpoints/0/ipv4"]);
}

#[test]
fn files_may_come_in_any_order() {
    let parts = [
        ("service.yaml", service("a", "10.1.0.1")),
        ("endpoints.yaml", endpoints("a", "10.0.0.1")),
        ("other.yaml", service("b", "10.1.0.2")),
    ];
    for first in 0..3 {
        let folder = Folder::new();
        let mut manifests = folder.manifests();
        let mut told = Vec::new();
        for step in 0..3 {
            let (name, text) = &parts[(first + step) % 3];
            folder.write(name, text);
            told.extend(events(&manifests.load()));
        }
        told.sort();
        assert_eq!(
            told,
            [
                "+default/a [10.1.0.1]",
                "+default/a:endpoints/0/ipv4 [\"10.0.0.1\"]",
                "+default/b [10.1.0.2]"
            ]
        );
        assert_eq!(manifests.problems(), []);
    }
}

#[test]
fn bad_endpoints_keep_their_last_good_version() {
    let folder = Folder::new();
    folder.write("service.yaml", &service("a", "10.1.0.1"));
    folder.write("endpoints.yaml", &endpoints("a", "10.0.0.1"));
    let mut manifests = folder.manifests();
    manifests.load();
    folder.write("endpoints.yaml", &endpoints("a", "10.0.0.999"));
    let load = manifests.load();
    assert_eq!(events(&load), NOTHING);
    assert_eq!(refused(&load), ["EndpointSlice default/a"]);
    assert_eq!(
        problems(&load, &folder),
        [
            "endpoints.yaml: document 1, line 4: Endpoints default/a: subsets[0].addresses[0].ip: \
          \"10.0.0.999\" is not an IP address"
        ]
    );
    folder.write("slice.yaml", &slice("a-1", "a", "10.0.0.3"));
    let load = manifests.load();
    assert_eq!(
        events(&load),
        [
            "+default/a:a-1 [\"10.0.0.3\"]",
            "-default/a:endpoints/0/ipv4"
        ]
    );
    assert_eq!(refused(&load), ["no longer EndpointSlice default/a"]);
}

/// They come by their Services: nothing is lost where these are not believed to be gone.
#[test]
fn endpoints_stay_with_services_that_are_believed_to_be_there() {
    let folder = Folder::new();
    folder.write("services.yaml", &service("a", "10.1.0.1"));
    folder.write("endpoints.yaml", &endpoints("a", "10.0.0.1"));
    let mut manifests = folder.manifests();
    manifests.load();
    folder.remove("services.yaml");
    let load = manifests.load_if(|_| false);
    assert_eq!(events(&load), NOTHING);
    folder.remove("endpoints.yaml");
    let load = manifests.load_if(|_| false);
    assert_eq!(events(&load), NOTHING);
    let all = Share {
        missing: 1,
        known: 1,
        left: 0,
    };
    let loss = Loss {
        services: all,
        slices: all,
    };
    assert_eq!(load.withheld, Some(loss));
    assert_eq!(
        events(&manifests.load()),
        ["-default/a", "-default/a:endpoints/0/ipv4"]
    );
}

#[test]
fn two_definitions_of_the_same_endpoints_are_told() {
    let folder = Folder::new();
    folder.write(
        "a.yaml",
        &joined(&[service("a", "10.1.0.1"), endpoints("a", "10.0.0.1")]),
    );
    let b = folder.write("b.yaml", &endpoints("a", "10.0.0.2"));
    let mut manifests = Manifests::new([folder.path().join("a.yaml"), b], None);
    let load = manifests.load();
    assert_eq!(
        events(&load)[1..],
        ["+default/a:endpoints/0/ipv4 [\"10.0.0.1\"]"]
    );
    assert_eq!(
        problems(&load, &folder),
        [format!(
            "b.yaml: document 1, line 1: Endpoints default/a: is already defined in {}/a.yaml, document 2, \
             line 6; this one is left out",
            folder.path().display()
        )
        .replace(&format!("{}/", folder.path().display()), "")]
    );
}

/// What is known after these events.
fn take(known: &mut BTreeMap<String, String>, load: &Load) {
    for event in &load.events {
        match event {
            Event::ServiceApplied(service) => {
                known.insert(service.id.to_string(), format!("{:?}", service.cluster_ips));
            }
            Event::ServiceDeleted(id) => {
                known.remove(id.as_str()).unwrap();
            }
            Event::SliceApplied(slice) => {
                let id = format!("{}:{}", slice.id.service, slice.id.name);
                known.insert(id, format!("{:?}", slice.endpoints));
            }
            Event::SliceDeleted(id) => {
                known
                    .remove(&format!("{}:{}", id.service, id.name))
                    .unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
}

/// What a file may hold, nothing where it is not there.
fn texts(file: &str) -> Vec<String> {
    match file {
        "service.yaml" => vec![
            service("a", "10.1.0.1"),
            selecting("a", "10.1.0.1"),
            service("a", "None"),
        ],
        "endpoints.yaml" => vec![
            endpoints("a", "10.0.0.1"),
            endpoints("a", "10.0.0.2"),
            endpoints("a", "\"fd00::1\""),
            endpoints_with(
                "name: a, labels: {endpointslice.kubernetes.io/skip-mirror: 'true'}",
                "10.0.0.1",
            ),
        ],
        _ => vec![slice("a-1", "a", "10.0.0.3")],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_way_to_the_same_files_ends_in_the_same(
        steps in prop::collection::vec((0..3_usize, 0..5_usize, any::<bool>()), 1..20)
    ) {
        let folder = Folder::new();
        folder.write("other.yaml", &service("b", "10.1.0.2"));
        let mut manifests = folder.manifests();
        let mut known = BTreeMap::new();
        for (file, text, is_read) in steps {
            let name = ["service.yaml", "endpoints.yaml", "slice.yaml"][file];
            match texts(name).get(text) {
                Some(text) => folder.replace(name, text),
                None => drop(std::fs::remove_file(folder.path().join(name))),
            }
            if is_read {
                take(&mut known, &manifests.load());
            }
        }
        take(&mut known, &manifests.load());
        let mut fresh = BTreeMap::new();
        let mut anew = folder.manifests();
        take(&mut fresh, &anew.load());
        prop_assert_eq!(known, fresh);
        prop_assert_eq!(manifests.problems(), anew.problems());
    }
}
