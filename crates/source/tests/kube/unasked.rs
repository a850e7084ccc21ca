//! Answers that are not what was asked for: nothing is gone by them.

use serde_json::{Value, json};
use viprule_service::model::{Event, Refused};
use viprule_source::kube::{Resource, list_once};

use crate::server::{Answer, FakeServer, NODES, Request, SERVICES};
use crate::world::{
    Ear, NODE, api, error, id, node, odd_service, page, page_of, pass, service, slice,
};

/// A server that has told its Service, and is asked for all Services anew.
async fn asked_anew(server: &mut FakeServer) -> (Ear, Request, [Answer; 2]) {
    let (ear, [mut services, slices, nodes]) = Ear::settled(server).await;
    let gone = json!({"code": 410, "reason": "Expired", "message": "too old"});
    services.event("ERROR", &gone).await;
    (ear, server.next(SERVICES).await, [slices, nodes])
}

/// A list that is changed like that.
fn list(services: &[Value], change: impl FnOnce(&mut Value)) -> Value {
    let mut list = page(services, 20, "");
    change(&mut list);
    list
}

#[tokio::test]
async fn whatever_is_no_such_list_takes_nothing_away() {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "upstream is away", "code": 503,
    });
    let nameless = json!({"metadata": {"resourceVersion": "5"}, "spec": {}});
    let secret = json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "a"}});
    let answers = [
        (
            status,
            "asked for ServiceList, got kind Status of v1 (upstream is away)",
        ),
        (
            page_of("ConfigMap", &[], 99, ""),
            "got kind ConfigMapList of v1",
        ),
        (json!({}), "asked for ServiceList, got "),
        ("<html>hello</html>".into(), "none of the Kubernetes API"),
        (
            list(&[], |it| it["apiVersion"] = "v2".into()),
            "got kind ServiceList of v2",
        ),
        (
            list(&[], |it| it["metadata"] = json!({"resourceVersion": ""})),
            "no resourceVersion",
        ),
        (
            list(&[], |it| it["metadata"] = json!({})),
            "no resourceVersion",
        ),
        (
            list(&[], |it| drop(it.as_object_mut().unwrap().remove("items"))),
            "no items",
        ),
        (
            list(&[], |it| it["metadata"]["remainingItemCount"] = 2.into()),
            "0 items came of 2",
        ),
        (page(&[], 20, "more"), "a page without items"),
        (
            list(&[], |it| it["items"] = json!([null])),
            "an object has no name",
        ),
        (page(&[nameless], 20, ""), "an object has no name"),
        (
            list(&[], |it| it["items"] = json!([secret])),
            "asked for Service, got kind Secret of v1",
        ),
    ];
    let mut server = FakeServer::start().await;
    let (mut ear, mut asked, _others) = asked_anew(&mut server).await;
    for (failures, (answer, told)) in (1..).zip(answers) {
        asked.answer(200, &answer).await;
        let status = ear
            .until_status(Resource::Service, |s| s.failures == failures)
            .await;
        assert!(error(&status).contains(told), "{told}: {}", error(&status));
        pass(11).await;
        asked = server.next(SERVICES).await;
    }
    asked.answer(200, &page(&[service("web", 5)], 20, "")).await;
    ear.hear(&Event::ServicesRelisted([id("web")].into())).await;
    assert_eq!(ear.heard.events.len(), 2, "{:?}", ear.heard.events);
}

#[tokio::test]
async fn pages_that_do_not_belong_together_take_nothing_away() {
    let seconds = [
        (page(&[service("b", 2)], 21, ""), "versions, 20 and 21"),
        (page(&[service("b", 2)], 20, "more"), "came twice"),
        (page(&[service("a", 1)], 20, ""), "Service shop/a twice"),
        (
            page_of("ConfigMap", &[], 20, ""),
            "asked for ServiceList, got ",
        ),
        (json!({"metadata": {}}), "asked for ServiceList, got "),
    ];
    let mut server = FakeServer::start().await;
    let (ear, mut asked, _others) = asked_anew(&mut server).await;
    for (failures, (second, told)) in (1..).zip(seconds) {
        asked
            .answer(200, &page(&[service("a", 1)], 20, "more"))
            .await;
        server.next(SERVICES).await.answer(200, &second).await;
        let status = ear
            .until_status(Resource::Service, |s| s.failures == failures)
            .await;
        assert!(error(&status).contains(told), "{told}: {}", error(&status));
        pass(11).await;
        asked = server.next(SERVICES).await;
        assert!(!asked.target.contains("continue"), "{}", asked.target);
    }
    assert_eq!(ear.status(Resource::Service).relists, 0);
}

#[tokio::test]
async fn a_streamed_list_ends_with_a_version_and_has_one_kind() {
    let mut server = FakeServer::start().await;
    let ear = Ear::start(&server).await;
    let end = json!({"k8s.io/initial-events-end": "true"});
    for (failures, told) in [
        (1, "a bookmark says no resourceVersion"),
        (2, "a bookmark says no resourceVersion"),
        (3, "asked for Service, got kind ConfigMap of v1"),
        (4, "asked for Service, got kind Secret of v1"),
        (5, "an object has no name"),
    ] {
        let mut answer = server.streaming(SERVICES).await.stream().await;
        match failures {
            1 => {
                answer
                    .mark(json!({"resourceVersion": "", "annotations": end}))
                    .await;
            }
            2 => {
                answer
                    .mark(json!({"resourceVersion": "0", "annotations": end}))
                    .await;
            }
            3 => {
                let bookmark = json!({
                    "kind": "ConfigMap", "apiVersion": "v1",
                    "metadata": {"resourceVersion": "9", "annotations": end},
                });
                answer.event("BOOKMARK", &bookmark).await;
            }
            4 => {
                let mut object = service("a", 1);
                object["kind"] = "Secret".into();
                answer.event("ADDED", &object).await;
            }
            _ => {
                let mut object = service("a", 1);
                object["metadata"] = json!({"resourceVersion": "9"});
                answer.event("ADDED", &object).await;
            }
        }
        let status = ear
            .until_status(Resource::Service, |s| s.failures == failures)
            .await;
        assert!(error(&status).contains(told), "{told}: {}", error(&status));
        pass(11).await;
    }
    assert!(!ear.status(Resource::Service).listed);
}

#[tokio::test]
async fn a_change_of_another_kind_or_without_a_name_changes_nothing() {
    let mut server = FakeServer::start().await;
    let (mut ear, [mut services, _slices, _nodes]) = Ear::settled(&mut server).await;
    let mut config = service("web", 11);
    config["kind"] = "ConfigMap".into();
    let mut kindless = service("web", 11);
    kindless.as_object_mut().unwrap().remove("kind");
    let mut nameless = service("web", 11);
    nameless["metadata"] = json!({"namespace": "shop"});
    for (failures, object, told) in [
        (1, config, "asked for Service, got kind ConfigMap of v1"),
        (2, kindless, "asked for Service, got an object of no kind"),
        (3, nameless, "an object has no name"),
    ] {
        services.event("DELETED", &object).await;
        let status = ear
            .until_status(Resource::Service, |s| s.failures == failures)
            .await;
        assert!(error(&status).contains(told), "{told}: {}", error(&status));
        pass(11).await;
        // What was missed by that is in the list.
        services = server.list(SERVICES, &[service("web", 5)], 20).await;
        ear.hear(&Event::ServicesRelisted([id("web")].into())).await;
        ear.heard.events.retain(|event| {
            assert!(!matches!(event, Event::ServiceDeleted(_)), "{event:?}");
            false
        });
    }
    // A bookmark may not take the version away from which a watch goes on.
    services.mark(json!({"resourceVersion": ""})).await;
    ear.until_status(Resource::Service, |s| s.failures == 4)
        .await;
}

#[tokio::test]
async fn a_change_from_before_the_list_changes_nothing() {
    let mut server = FakeServer::start().await;
    let (mut ear, [mut services, _slices, _nodes]) = Ear::settled(&mut server).await;
    services.event("DELETED", &service("web", 1)).await;
    pass(11).await;
    let _services = server.list(SERVICES, &[service("web", 5)], 20).await;
    ear.hear(&Event::ServicesRelisted([id("web")].into())).await;
    let deleted = |event: &Event| matches!(event, Event::ServiceDeleted(_));
    assert!(
        !ear.heard.events.iter().any(deleted),
        "{:?}",
        ear.heard.events
    );
}

#[tokio::test]
async fn another_node_is_none_of_ours() {
    let mut server = FakeServer::start().await;
    let ear = Ear::start(&server).await;
    let mut other = node(5);
    other["metadata"]["name"] = "node-b".into();
    let mut nodes = server.streaming(NODES).await.stream().await;
    nodes.event("ADDED", &other).await;
    let status = ear.until_status(Resource::Node, |s| s.failures == 1).await;
    let told = "asked for Node, got one with the name \"node-b\"";
    assert!(error(&status).contains(told), "{}", error(&status));
}

#[tokio::test]
async fn the_question_for_the_version_takes_no_other_answer() {
    let mut server = FakeServer::start().await;
    let (mut ear, [services, _slices, _nodes]) = Ear::settled(&mut server).await;
    drop(services);
    let check = server.next(SERVICES).await;
    assert!(check.has("limit=1"), "{}", check.target);
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}});
    check.answer(200, &status).await;
    let _watch = server.list(SERVICES, &[service("c", 24)], 26).await;
    ear.hear(&Event::ServicesRelisted([id("c")].into())).await;
    assert_eq!(ear.status(Resource::Service).failures, 1);
}

#[tokio::test]
async fn what_a_list_says_of_single_objects_takes_none_away_before_its_end() {
    let mut server = FakeServer::start().await;
    let (mut ear, [services, _slices, _nodes]) = Ear::settled(&mut server).await;
    drop(services);
    server.next(SERVICES).await.refuse(500, "X", "").await;
    let mut bare = service("web", 12);
    bare.as_object_mut().unwrap().remove("spec");
    let mut again = server.streaming(SERVICES).await.stream().await;
    again.event("ADDED", &bare).await;
    again.event("ADDED", &service("new", 13)).await;
    ear.until(|heard| !heard.events.is_empty()).await;
    assert!(matches!(&ear.heard.events[..], [Event::ServiceApplied(_)]));
}

#[tokio::test]
async fn a_list_once_ends_with_what_is_no_list() {
    let mut server = FakeServer::start().await;
    let api = api(&server).await;
    let list = tokio::spawn(async move { list_once(&api, NODE, &Resource::USUAL, 0).await });
    let answer = page_of("Node", &[node(1)], 9, "");
    server.next(NODES).await.answer(200, &answer).await;
    let answer = page_of("EndpointSlice", &[slice("web-x", "web", 3)], 9, "");
    server.next(SERVICES).await.answer(200, &answer).await;
    assert_eq!(
        list.await.unwrap().unwrap_err().to_string(),
        "listing services: asked for ServiceList, got kind EndpointSliceList of \
         discovery.k8s.io/v1; check the API server and proxies before it"
    );
}

#[tokio::test]
async fn an_object_that_is_refused_spoils_no_list() {
    let mut server = FakeServer::start().await;
    let (mut ear, asked, _others) = asked_anew(&mut server).await;
    let listed = [odd_service("web", 12), service("b", 13)];
    asked.answer(200, &page(&listed, 20, "")).await;
    ear.hear(&Event::ServicesRelisted([id("web"), id("b")].into()))
        .await;
    let problem = &ear.heard.problems[0];
    assert!(problem.refused && problem.service == Some(id("web")));
    let refused = Event::Refused(Refused::Service(id("web")));
    assert!(ear.heard.events.contains(&refused));
}
