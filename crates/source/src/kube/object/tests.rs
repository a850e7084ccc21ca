//! What is made of one object's text.

use serde_json::{Value, json};
use viprule_service::model::Refused;

use super::*;

fn service(extra: &Value) -> Value {
    let mut object = json!({
        "metadata": {
            "name": "web", "namespace": "shop", "resourceVersion": "7",
            "annotations": {"a": "b"},
            "managedFields": [{"manager": "x", "fieldsV1": {"f:spec": {}}}],
        },
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80}], "unknownField": {}},
    });
    merge(&mut object, extra);
    object
}

fn slice(extra: &Value) -> Value {
    let mut object = json!({
        "metadata": {
            "name": "web-x", "namespace": "shop", "resourceVersion": "8",
            "labels": {"kubernetes.io/service-name": "web"},
            "annotations": {
                "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-02T03:04:05.000000006Z",
            },
        },
        "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}],
        "ports": [{"name": "", "port": 8080}],
    });
    merge(&mut object, extra);
    object
}

fn merge(object: &mut Value, extra: &Value) {
    match (object, extra) {
        (Value::Object(object), Value::Object(extra)) => {
            for (key, value) in extra {
                merge(object.entry(key).or_insert(Value::Null), value);
            }
        }
        (object, extra) => *object = extra.clone(),
    }
}

fn read(resource: Resource, object: &Value, change: Change) -> Reading {
    read_text(resource, &object.to_string(), change).unwrap()
}

fn read_text(resource: Resource, text: &str, change: Change) -> Result<Reading, Cause> {
    let asked = Asked {
        resource,
        node: "a",
    };
    super::read(asked, text, change, Place::Page)
}

fn web() -> ServiceId {
    ServiceId::new("shop", "web").unwrap()
}

fn web_x() -> viprule_service::model::SliceId {
    viprule_service::model::SliceId::new(web(), "web-x").unwrap()
}

#[test]
fn an_object_has_a_name_a_version_and_an_event() {
    let reading = read(Resource::Service, &service(&json!({})), Change::Exists);
    assert_eq!(reading.id, Some(Id::Service(web())));
    assert_eq!(reading.version.as_deref(), Some("7"));
    assert!(matches!(&reading.events[..], [Event::ServiceApplied(service)] if service.id == web()));
    assert_eq!(reading.problems, []);
}

#[test]
fn a_refused_object_has_a_name_and_no_content() {
    for (spec, asks) in [
        (json!({"spec": {"type": "Odd"}}), true),
        (json!({"spec": {"type": 5}}), true),
        (json!({"spec": {"ports": "eighty"}}), false),
    ] {
        let reading = read(Resource::Service, &service(&spec), Change::Modified);
        assert_eq!(reading.id, Some(Id::Service(web())), "{spec}");
        assert_eq!(reading.version.as_deref(), Some("7"));
        assert_eq!(reading.events[0], Event::Refused(Refused::Service(web())));
        let asked = match &reading.events[1..] {
            [] => false,
            [Event::RefusedAsks(service)] => service.id == web(),
            other => panic!("{other:?}"),
        };
        assert_eq!(asked, asks, "{spec}");
        assert_eq!(reading.problems.len(), 1);
        assert!(reading.problems[0].refused && reading.problems[0].service == Some(web()));
    }
    let undecodable = service(&json!({"spec": {"ports": "eighty"}}));
    let reading = read(Resource::Service, &undecodable, Change::Exists);
    let text = reading.problems[0].to_string();
    assert!(
        text.starts_with("Service shop/web: spec.ports: invalid type"),
        "{text}"
    );
}

#[test]
fn a_refused_object_can_be_deleted() {
    let odd = service(&json!({"spec": {"ports": "eighty"}}));
    let reading = read(Resource::Service, &odd, Change::Deleted);
    assert_eq!(reading.events, [Event::ServiceDeleted(web())]);
    assert_eq!(reading.problems, []);
    for odd in [
        json!({"addressType": "IPX", "endpoints": 5}),
        json!({"metadata": {"annotations": 5}}),
    ] {
        let odd = slice(&odd);
        let reading = read(Resource::EndpointSlice, &odd, Change::Modified);
        assert_eq!(reading.id, Some(Id::Slice(web_x())), "{odd}");
        let reading = read(Resource::EndpointSlice, &odd, Change::Deleted);
        assert_eq!(reading.events, [Event::SliceDeleted(web_x())], "{odd}");
    }
}

#[test]
fn an_ignored_object_is_gone_and_not_present() {
    let headless = service(&json!({"spec": {"clusterIP": "None"}}));
    let reading = read(Resource::Service, &headless, Change::Modified);
    assert_eq!(reading.events, [Event::ServiceDeleted(web())]);
    assert_eq!(reading.id, None);
}

#[test]
fn a_slice_has_its_trigger() {
    let reading = read(Resource::EndpointSlice, &slice(&json!({})), Change::Exists);
    let at = reading.trigger.unwrap();
    let nanos = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    assert_eq!(nanos, 1_767_323_045_000_000_006);
    assert!(matches!(&reading.events[..], [Event::SliceApplied(_)]));

    let key = "endpoints.kubernetes.io/last-change-trigger-time";
    let odd = slice(&json!({"metadata": {"annotations": {key: "yesterday"}}}));
    let reading = read(Resource::EndpointSlice, &odd, Change::Exists);
    assert_eq!(reading.trigger, None);
}

#[test]
fn a_modified_slice_may_have_moved() {
    let moved = |to| Event::SliceMoved {
        namespace: "shop".into(),
        name: "web-x".into(),
        to,
    };
    let reading = read(
        Resource::EndpointSlice,
        &slice(&json!({})),
        Change::Modified,
    );
    assert_eq!(reading.events[0], moved(Some(web())));
    assert!(matches!(reading.events[1], Event::SliceApplied(_)));

    let orphan = slice(&json!({"metadata": {"labels": null}}));
    let reading = read(Resource::EndpointSlice, &orphan, Change::Modified);
    assert_eq!(reading.events, [moved(None)]);
    assert_eq!(reading.problems.len(), 1);
    assert!(!reading.problems[0].refused);
    let reading = read(Resource::EndpointSlice, &orphan, Change::Deleted);
    assert_eq!(reading.events, [moved(None)]);
}

#[test]
fn a_slice_that_is_refused_has_not_moved() {
    for labels in [json!(null), json!({"kubernetes.io/service-name": "other"})] {
        let unusable = slice(&json!({"metadata": {"labels": labels}, "addressType": null}));
        let reading = read(Resource::EndpointSlice, &unusable, Change::Modified);
        let moves = |event: &Event| matches!(event, Event::SliceMoved { .. });
        assert!(!reading.events.iter().any(moves), "{:?}", reading.events);
        assert!(reading.problems[0].refused);
    }
}

#[test]
fn an_empty_slice_has_null_endpoints() {
    let empty = slice(&json!({"endpoints": null, "ports": null}));
    let reading = read(Resource::EndpointSlice, &empty, Change::Exists);
    let [Event::SliceApplied(slice)] = &reading.events[..] else {
        panic!("{reading:?}")
    };
    assert!(slice.endpoints.is_empty() && slice.ports.is_empty());
}

#[test]
fn a_node_is_read_without_its_images() {
    let node = json!({
        "metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"podCIDRs": ["10.1.0.0/24"]},
        "status": {
            "images": "not looked at",
            "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
        },
    });
    let reading = read(Resource::Node, &node, Change::Exists);
    let [Event::NodeApplied(node)] = &reading.events[..] else {
        panic!("{reading:?}")
    };
    assert_eq!(node.addresses.len(), 1);
    assert!(!node.eligible_for_load_balancers);
    let gone = json!({"metadata": {"name": "a"}});
    assert_eq!(
        read(Resource::Node, &gone, Change::Deleted).events,
        [Event::NodeDeleted]
    );
}

#[test]
fn what_is_no_object_at_all_was_not_asked_for() {
    for text in ["5", "{}", r#"{"metadata": 5}"#] {
        let error = read_text(Resource::Service, text, Change::Exists).unwrap_err();
        assert!(error.to_string().contains("no name"), "{text}: {error}");
    }
}

/// The object after `patch status` of a condition without a time, as kube-apiserver 1.36.3 shows
/// it: null for no time, and a year of five digits.
#[test]
fn times_of_conditions_and_taints_refuse_nothing() {
    for time in [
        "null",
        "\"9999-12-31T23:59:59Z\"",
        "\"10000-01-01T11:59:59Z\"",
    ] {
        let service = format!(
            r#"{{"metadata":{{"name":"web","namespace":"shop"}},
            "spec":{{"clusterIP":"10.96.0.1","ports":[{{"port":80}}]}},
            "status":{{"loadBalancer":{{}},"conditions":[{{"type":"X","status":"True","reason":"R",
            "message":"m","lastTransitionTime":{time}}}]}}}}"#
        );
        let reading = read_text(Resource::Service, &service, Change::Modified).unwrap();
        assert!(
            matches!(&reading.events[..], [Event::ServiceApplied(_)]),
            "{time}"
        );
        assert_eq!(reading.problems, [], "{time}");

        let node = format!(
            r#"{{"metadata":{{"name":"a"}},
            "spec":{{"taints":[{{"key":"x","effect":"NoExecute","timeAdded":{time}}}]}}}}"#
        );
        let reading = read_text(Resource::Node, &node, Change::Modified).unwrap();
        assert!(
            matches!(&reading.events[..], [Event::NodeApplied(_)]),
            "{time}"
        );
        assert_eq!(reading.problems, [], "{time}");
    }
}

#[test]
fn annotations_ask_for_a_scheduler() {
    let annotations = json!({
        "ipvs.viprule.dev/scheduler": "mh", "ipvs.viprule.dev/scheduler-flags": "mh-port",
        "ipvs.viprule.dev/weights": "10.0.0.1=3",
    });
    let object = service(&json!({"metadata": {"annotations": annotations}}));
    let reading = read(Resource::Service, &object, Change::Exists);
    let [Event::ServiceApplied(service)] = &reading.events[..] else {
        panic!("{reading:?}")
    };
    let balancing = service.balancing.as_ref().unwrap();
    assert_eq!(balancing.scheduler.as_ref().unwrap().as_str(), "mh");
    assert!(balancing.flags.is_some());
    assert_eq!(balancing.weights.len(), 1);
}

#[test]
fn escapes_are_read() {
    let text = service(&json!({"spec": {"ports": [{"port": 80, "name": "web"}]}})).to_string();
    let text = text.replace("\"web\"", "\"\\u0077eb\"");
    assert!(text.contains("\\u0077"));
    let reading = read_text(Resource::Service, &text, Change::Exists).unwrap();
    assert_eq!(reading.id, Some(Id::Service(web())));
    assert_eq!(reading.problems, []);
}
