//! Kubernetes Events.

use serde_json::Value;
use viprule_source::kube::{Events, Regarding, Severity};

use crate::log::Log;
use crate::server::{FakeServer, Request};
use crate::world::{NODE, api, id};

const IN_DEFAULT: &str = "/apis/events.k8s.io/v1/namespaces/default/events";
const IN_SHOP: &str = "/apis/events.k8s.io/v1/namespaces/shop/events";

async fn accept(request: Request) -> Value {
    let event: Value = serde_json::from_str(&request.body).unwrap();
    request.answer(201, &event).await;
    event
}

#[tokio::test]
async fn an_event_is_about_the_node_or_a_service() {
    let mut server = FakeServer::start().await;
    let (events, _task) = Events::start(&api(&server).await, NODE);
    let publish = |regarding, note: &str| {
        events.publish(regarding, Severity::Warning, "Odd", "Look", note);
    };
    publish(Regarding::Node, "first");
    publish(Regarding::Node, "first");
    publish(Regarding::Service(id("web")), "second");
    let request = server.next(IN_DEFAULT).await;
    assert_eq!(request.method, "POST");
    let event = accept(request).await;
    assert_eq!(event["reportingController"], "viprule");
    assert_eq!(event["reportingInstance"], NODE);
    assert_eq!(event["type"], "Warning");
    assert_eq!(
        (&event["reason"], &event["action"]),
        (&"Odd".into(), &"Look".into())
    );
    assert_eq!(event["note"], "first");
    assert_eq!(event["regarding"]["kind"], "Node");
    assert_eq!(event["regarding"]["name"], NODE);

    // What repeats is not published again: the next one is about the Service.
    let event = accept(server.next(IN_SHOP).await).await;
    assert_eq!(event["note"], "second");
    assert_eq!(event["regarding"]["namespace"], "shop");
}

/// An Event of the same series is counted up and keeps the note of the first one.
#[tokio::test]
async fn a_service_beside_each_other_one_has_an_event() {
    let mut server = FakeServer::start().await;
    let (events, _task) = Events::start(&api(&server).await, NODE);
    for other in ["a", "b"] {
        let (service, other) = (id("web"), id(other));
        let note = format!("belongs to {other}");
        let regarding = Regarding::ServiceBeside { service, other };
        events.publish(regarding, Severity::Warning, "Odd", "Look", note);
    }
    for other in ["a", "b"] {
        let request = server.next(IN_SHOP).await;
        assert_eq!(request.method, "POST");
        let event = accept(request).await;
        assert_eq!(event["regarding"]["name"], "web");
        assert_eq!(event["related"]["name"], other);
        assert_eq!(event["note"], format!("belongs to shop/{other}"));
    }
}

#[tokio::test]
async fn publishing_never_waits_and_survives_an_outage() {
    let log = Log::listen();
    let server = FakeServer::start().await;
    let api = api(&server).await;
    let address = server.stop().await;
    let (events, task) = Events::start(&api, NODE);
    for number in 0..1000 {
        let note = format!("note {number}");
        events.publish(Regarding::Node, Severity::Normal, "Many", "Look", note);
    }
    // It tries, and fails.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    let mut server = FakeServer::restart(address).await;
    let event = accept(server.next(IN_DEFAULT).await).await;
    assert_eq!(event["note"], "note 0");
    assert_eq!(log.lines("WARN", "936 Events were dropped"), 1);
    assert_eq!(log.lines("WARN", "dropped"), 1);
    task.abort();
}

#[tokio::test]
async fn a_long_note_is_cut_and_a_refused_event_is_given_up() {
    let mut server = FakeServer::start().await;
    let (events, task) = Events::start(&api(&server).await, NODE);
    events.publish(Regarding::Node, Severity::Normal, "Refused", "Look", "");
    let long = "ä".repeat(1000);
    events.publish(Regarding::Node, Severity::Normal, "Long", "Look", long);
    let request = server.next(IN_DEFAULT).await;
    request
        .refuse(403, "Forbidden", "events is forbidden")
        .await;
    let event = accept(server.next(IN_DEFAULT).await).await;
    assert_eq!(event["note"].as_str().unwrap().len(), 1024);
    drop(events);
    task.await.unwrap();
}
