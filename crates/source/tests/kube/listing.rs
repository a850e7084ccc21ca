//! Lists: by pages, streamed, again, once.

use viprule_service::model::{Event, Refused};
use viprule_source::kube::{Phase, Resource, list_once};

use crate::server::{FakeServer, NODES, SERVICES, SLICES};
use crate::world::{Ear, NODE, api, id, node, odd_service, page, page_of, service, slice};

#[tokio::test]
async fn lists_have_kube_proxys_selectors() {
    let mut server = FakeServer::start().await;
    let mut ear = Ear::start(&server).await;
    let services = server.next(SERVICES).await;
    for parameter in [
        "limit=2000",
        "labelSelector=%21service.kubernetes.io%2Fservice-proxy-name",
        "fieldSelector=spec.clusterIP%21%3DNone",
    ] {
        assert!(services.has(parameter), "{parameter}: {}", services.target);
    }
    assert!(!services.target.contains("watch"), "{}", services.target);
    let agent = format!("user-agent: viprule/{}\r\n", env!("CARGO_PKG_VERSION"));
    assert!(services.head.contains(&agent), "{}", services.head);
    assert!(services.head.contains("accept: application/json\r\n"));
    let slices = server.next(SLICES).await;
    assert!(slices.has("labelSelector=%21service.kubernetes.io%2Fheadless"));
    assert!(!slices.target.contains("fieldSelector"));
    let nodes = server.next(NODES).await;
    assert!(nodes.has("fieldSelector=metadata.name%3Dnode-a"));

    services
        .answer(200, &page(&[service("web", 5)], 10, ""))
        .await;
    let slice = slice("web-x", "web", 6);
    slices
        .answer(200, &page_of("EndpointSlice", &[slice], 10, ""))
        .await;
    ear.hear(&Event::ServicesRelisted([id("web")].into())).await;
    ear.until(|heard| heard.events.len() == 4).await;
    assert!(!ear.heard.complete, "the node is not listed");
    assert_eq!(ear.status(Resource::Node).phase, Phase::Connecting);

    // No node is an answer.
    nodes.answer(200, &page_of("Node", &[], 10, "")).await;
    ear.until(|heard| heard.complete).await;
    assert!(ear.heard.events.contains(&Event::NodeDeleted));
    assert_eq!(ear.heard.triggers, [], "a list measures nothing");
    let watch = server.watch(SERVICES, 10).await;
    assert!(watch.has("watch=true") && watch.has("allowWatchBookmarks=true"));
    let _watch = watch.stream().await;
    ear.until_status(Resource::Service, |s| s.phase == Phase::Watching)
        .await;
}

#[tokio::test]
async fn pages_make_one_list() {
    let mut server = FakeServer::start().await;
    let mut ear = Ear::start(&server).await;
    let first = server.next(SERVICES).await;
    first
        .answer(200, &page(&[service("a", 1)], 10, "more"))
        .await;
    let second = server.next(SERVICES).await;
    assert!(second.has("continue=more"), "{}", second.target);
    second.answer(200, &page(&[service("b", 2)], 10, "")).await;
    ear.hear(&Event::ServicesRelisted([id("a"), id("b")].into()))
        .await;
    let _watch = server.watch(SERVICES, 10).await;
}

/// A server with many Services whose next page is asked for too late.
async fn too_late(server: &mut FakeServer) {
    let first = server.next(SERVICES).await;
    assert!(!first.target.contains("continue"), "{}", first.target);
    first
        .answer(200, &page(&[service("a", 1)], 10, "more"))
        .await;
    let second = server.next(SERVICES).await;
    second.refuse(410, "Expired", "too old").await;
}

#[tokio::test]
async fn a_list_whose_pages_expire_is_streamed() {
    let mut server = FakeServer::start().await;
    let mut ear = Ear::start(&server).await;
    too_late(&mut server).await;
    let stream = server.next(SERVICES).await;
    for parameter in [
        "watch=true",
        "sendInitialEvents=true",
        "resourceVersionMatch=NotOlderThan",
        "allowWatchBookmarks=true",
        "labelSelector=%21service.kubernetes.io%2Fservice-proxy-name",
        "fieldSelector=spec.clusterIP%21%3DNone",
        "resourceVersion=",
    ] {
        assert!(stream.has(parameter), "{parameter}: {}", stream.target);
    }
    let mut stream = stream.stream().await;
    stream.event("ADDED", &service("b", 11)).await;
    stream.initial_end(11).await;
    ear.hear(&Event::ServicesRelisted([id("b")].into())).await;
    let relisted = |event: &&Event| matches!(event, Event::ServicesRelisted(_));
    assert_eq!(ear.heard.events.iter().filter(relisted).count(), 1);
    let status = ear.status(Resource::Service);
    assert_eq!((status.phase, status.failures), (Phase::Watching, 0));
}

#[tokio::test]
async fn where_it_can_t_be_streamed_the_list_begins_again() {
    let mut server = FakeServer::start().await;
    let mut ear = Ear::start(&server).await;
    for (code, reason, message) in [
        (422, "Invalid", "sendInitialEvents is forbidden"),
        (500, "InternalError", "RequestWatchProgress is disabled"),
    ] {
        too_late(&mut server).await;
        let stream = server.next(SERVICES).await;
        assert!(stream.has("sendInitialEvents=true"), "{}", stream.target);
        stream.refuse(code, reason, message).await;
    }
    let _watch = server.list(SERVICES, &[service("b", 11)], 11).await;
    ear.hear(&Event::ServicesRelisted([id("b")].into())).await;
    assert_eq!(ear.status(Resource::Service).failures, 2);
}

#[tokio::test]
async fn a_list_that_is_cut_says_nothing_of_what_is_gone() {
    let mut server = FakeServer::start().await;
    let mut ear = Ear::start(&server).await;
    let mut cut = server.streaming(SERVICES).await.stream().await;
    cut.event("ADDED", &service("a", 1)).await;
    ear.until(|heard| heard.events.len() == 1).await;
    drop(cut);
    let _answer = server.list(SERVICES, &[service("b", 2)], 10).await;
    ear.hear(&Event::ServicesRelisted([id("b")].into())).await;
    assert_eq!(ear.heard.events.len(), 3, "a, b and what there is");
}

#[tokio::test]
async fn after_410_everything_is_listed_and_what_is_refused_is_there() {
    let mut server = FakeServer::start().await;
    let (mut ear, [mut services, slices, nodes]) = Ear::settled(&mut server).await;
    let gone = serde_json::json!({"code": 410, "reason": "Expired", "message": "too old"});
    services.event("ERROR", &gone).await;
    let listed = [odd_service("web", 20), service("new", 21)];
    let _services = server.list(SERVICES, &listed, 30).await;
    ear.hear(&Event::ServicesRelisted([id("web"), id("new")].into()))
        .await;
    assert_eq!(ear.heard.problems.len(), 1);
    assert!(ear.heard.problems[0].refused);
    let status = ear.status(Resource::Service);
    assert_eq!((status.relists, status.failures), (1, 0));
    assert_eq!(ear.status(Resource::Node).relists, 0);
    drop((slices, nodes));
}

#[tokio::test]
async fn a_problem_is_told_once_for_each_version() {
    let mut server = FakeServer::start().await;
    let (mut ear, [mut services, _slices, _nodes]) = Ear::settled(&mut server).await;
    let gone = serde_json::json!({"code": 410, "reason": "Expired", "message": "too old"});
    services.event("MODIFIED", &odd_service("web", 20)).await;
    ear.until(|heard| heard.problems.len() == 1).await;
    services.event("ERROR", &gone).await;
    let mut services = server.list(SERVICES, &[odd_service("web", 20)], 30).await;
    ear.hear(&Event::ServicesRelisted([id("web")].into())).await;
    assert_eq!(ear.heard.problems.len(), 1, "the same version");
    services.event("MODIFIED", &odd_service("web", 31)).await;
    ear.until(|heard| heard.problems.len() == 2).await;
    assert!(
        !ear.heard
            .events
            .iter()
            .any(|e| matches!(e, Event::ServiceApplied(_)))
    );
}

#[tokio::test]
async fn a_list_once_has_everything_and_ends() {
    let mut server = FakeServer::start().await;
    let api = api(&server).await;
    let reached = api.addresses();
    let list = tokio::spawn(async move { list_once(&api, NODE, &Resource::USUAL, 0).await });
    let answer = page_of("Node", &[node(1)], 9, "");
    server.next(NODES).await.answer(200, &answer).await;
    let answer = page(&[service("web", 1)], 9, "more");
    server.next(SERVICES).await.answer(200, &answer).await;
    let answer = page(&[odd_service("odd", 2)], 9, "");
    server.next(SERVICES).await.answer(200, &answer).await;
    let answer = page_of("EndpointSlice", &[slice("web-x", "web", 3)], 9, "");
    server.next(SLICES).await.answer(200, &answer).await;
    let listing = list.await.unwrap().unwrap();
    assert!(matches!(
        &listing.events[..],
        [
            Event::NodeApplied(_),
            Event::ServiceApplied(_),
            Event::Refused(Refused::Service(odd)),
            Event::RefusedAsks(_),
            Event::SliceApplied(_),
            Event::ApiServer(addresses),
        ] if *odd == id("odd") && *addresses == *reached.borrow()
    ));
    assert_eq!(listing.problems.len(), 1);
}

#[tokio::test]
async fn a_list_once_ends_with_the_first_error() {
    let mut server = FakeServer::start().await;
    let api = api(&server).await;
    let list = tokio::spawn(async move { list_once(&api, NODE, &Resource::USUAL, 0).await });
    let message = "nodes is forbidden";
    server
        .next(NODES)
        .await
        .refuse(403, "Forbidden", message)
        .await;
    assert_eq!(
        list.await.unwrap().unwrap_err().to_string(),
        "listing nodes: the API server says 403 Forbidden: nodes is forbidden; bind the account \
         to the ClusterRole system:node-proxier or its like"
    );
}
