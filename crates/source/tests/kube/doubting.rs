//! Lists that say that most is gone are believed when two answers agree.

use serde_json::{Value, json};
use viprule_service::model::{Event, ServiceId};
use viprule_source::kube::{Phase, Resource, list_once};

use crate::log::Log;
use crate::server::{Answer, FakeServer, NODES, Request, SERVICES, SLICES};
use crate::world::{Ear, NODE, api, id, node, page, page_of, service, slice};

fn name(number: u32) -> String {
    format!("s{number}")
}

fn services(numbers: std::ops::Range<u32>) -> Vec<Value> {
    numbers.map(|number| service(&name(number), 5)).collect()
}

fn ids(numbers: impl IntoIterator<Item = u32>) -> std::collections::BTreeSet<ServiceId> {
    numbers
        .into_iter()
        .map(|number| id(&name(number)))
        .collect()
}

fn relisted(ear: &Ear) -> Vec<&Event> {
    let events = ear.heard.events.iter();
    let relisted = |event: &&Event| matches!(event, Event::ServicesRelisted(_));
    events.filter(relisted).collect()
}

/// A server with these Services whose watch broke; the answers to the others.
async fn broken(server: &mut FakeServer, known: std::ops::Range<u32>) -> (Ear, [Answer; 2]) {
    let mut ear = Ear::start(server).await;
    let mut watch = server.list(SERVICES, &services(known), 10).await;
    let slices = server.list(SLICES, &[slice("x", "web", 6)], 10).await;
    let nodes = server.list(NODES, &[node(7)], 10).await;
    ear.until(|heard| heard.complete).await;
    ear.heard.events.clear();
    let gone = json!({"code": 410, "reason": "Expired", "message": "too old"});
    watch.event("ERROR", &gone).await;
    (ear, [slices, nodes])
}

/// The question that comes after a list that is not believed.
async fn asked_again(server: &mut FakeServer) -> Request {
    let request = server.paging(SERVICES).await;
    assert!(
        !request.target.contains("resourceVersion"),
        "{}",
        request.target
    );
    request
}

#[tokio::test]
async fn what_two_answers_lack_is_gone() {
    let mut server = FakeServer::start().await;
    let log = Log::listen();
    let (mut ear, _others) = broken(&mut server, 0..12).await;
    server.page(SERVICES, &services(0..3), 20).await;
    let again = asked_again(&mut server).await;
    assert_eq!(
        log.lines("WARN", "the list lacks 9 of 12 that were there"),
        1
    );
    assert!(relisted(&ear).is_empty(), "{:?}", ear.heard.events);
    again.answer(200, &page(&services(2..4), 22, "")).await;
    ear.hear(&Event::ServicesRelisted(ids(2..4))).await;
    // Neither of them has more; what only one has is few.
    assert_eq!(relisted(&ear)[0], &Event::ServicesRelisted(ids(0..4)));
    let watch = server.next(SERVICES).await;
    assert!(watch.has("resourceVersion=22"), "{}", watch.target);
    let status = ear.status(Resource::Service);
    assert_eq!((status.relists, status.failures), (1, 0));
}

#[tokio::test]
async fn what_the_second_answer_has_stays() {
    let mut server = FakeServer::start().await;
    let (mut ear, _others) = broken(&mut server, 0..12).await;
    server.page(SERVICES, &services(0..2), 20).await;
    let again = asked_again(&mut server).await;
    again.answer(200, &page(&services(0..11), 22, "")).await;
    ear.hear(&Event::ServicesRelisted(ids(0..11))).await;
    for event in relisted(&ear) {
        let Event::ServicesRelisted(present) = event else {
            continue;
        };
        assert!(present.is_superset(&ids(0..11)), "{event:?}");
    }
    // From now on as ever: a list that takes half away is believed.
    let watch = server.next(SERVICES).await;
    let gone = json!({"code": 410, "reason": "Expired", "message": "too old"});
    watch.stream().await.event("ERROR", &gone).await;
    let _list = server.list(SERVICES, &services(5..11), 30).await;
    ear.hear(&Event::ServicesRelisted(ids(5..11))).await;
}

#[tokio::test]
async fn an_answer_that_agrees_may_come_late() {
    let mut server = FakeServer::start().await;
    let (mut ear, _others) = broken(&mut server, 0..12).await;
    server.page(SERVICES, &[], 20).await;
    let again = asked_again(&mut server).await;
    again.refuse(503, "ServiceUnavailable", "").await;
    let again = asked_again(&mut server).await;
    assert!(relisted(&ear).is_empty(), "{:?}", ear.heard.events);
    again.answer(200, &page(&[], 22, "")).await;
    ear.hear(&Event::ServicesRelisted([].into())).await;
    ear.until_status(Resource::Service, |s| s.relists == 1)
        .await;
}

#[tokio::test]
async fn another_clusters_services_do_not_outnumber_ours() {
    let mut server = FakeServer::start().await;
    let (mut ear, _others) = broken(&mut server, 0..12).await;
    // Cut before its end: these are known from now on, too.
    let mut cut = server.streaming(SERVICES).await.stream().await;
    for service in services(100..150) {
        cut.event("ADDED", &service).await;
    }
    ear.until(|heard| heard.events.len() == 50).await;
    drop(cut);
    server.page(SERVICES, &services(100..150), 20).await;
    let again = asked_again(&mut server).await;
    assert!(relisted(&ear).is_empty());
    again.answer(200, &page(&services(0..12), 22, "")).await;
    // The two contradict each other, so the next one decides.
    let third = asked_again(&mut server).await;
    for event in relisted(&ear) {
        assert_eq!(
            event,
            &Event::ServicesRelisted(ids((0..12).chain(100..150)))
        );
    }
    third.answer(200, &page(&services(0..12), 22, "")).await;
    ear.hear(&Event::ServicesRelisted(ids(0..12))).await;
}

#[tokio::test]
async fn a_list_of_nothing_takes_the_last_one_only_when_it_comes_twice() {
    let mut server = FakeServer::start().await;
    let (mut ear, _others) = broken(&mut server, 0..1).await;
    server.page(SERVICES, &[], 20).await;
    let again = asked_again(&mut server).await;
    assert!(relisted(&ear).is_empty());
    again.answer(200, &page(&services(0..1), 22, "")).await;
    ear.hear(&Event::ServicesRelisted(ids(0..1))).await;
}

#[tokio::test]
async fn a_first_list_of_nothing_is_asked_for_once_more() {
    let mut server = FakeServer::start().await;
    let mut ear = Ear::start(&server).await;
    server.page(SERVICES, &[], 20).await;
    let again = asked_again(&mut server).await;
    assert!(!ear.status(Resource::Service).listed);
    again.answer(200, &page(&[], 22, "")).await;
    ear.hear(&Event::ServicesRelisted([].into())).await;
    let watch = server.next(SERVICES).await;
    assert!(watch.has("resourceVersion=22"), "{}", watch.target);
    let _watch = watch.stream().await;
    ear.until_status(Resource::Service, |s| s.phase == Phase::Watching)
        .await;
}

/// As from a cache that begins to fill, while this node serves what an earlier agent wrote.
#[tokio::test]
async fn a_first_list_of_far_less_than_is_served_is_asked_for_once_more() {
    let mut server = FakeServer::start().await;
    let api = api(&server).await;
    let mut ear = Ear::of_serving(&api, 12);
    server.page(SERVICES, &services(0..5), 20).await;
    let again = asked_again(&mut server).await;
    assert!(!ear.status(Resource::Service).listed);
    again.answer(200, &page(&services(0..12), 22, "")).await;
    ear.hear(&Event::ServicesRelisted(ids(0..12))).await;
    // Slices of few Services.
    let few: Vec<Value> = (0..20)
        .map(|n| slice(&format!("x{n}"), &name(n % 5), 6))
        .collect();
    server.page(SLICES, &few, 20).await;
    let again = server.paging(SLICES).await;
    // It is true.
    let answer = page_of("EndpointSlice", &few, 22, "");
    again.answer(200, &answer).await;
    ear.until_status(Resource::EndpointSlice, |s| s.listed)
        .await;
}

#[tokio::test]
async fn slices_are_as_dear() {
    let mut server = FakeServer::start().await;
    let mut ear = Ear::start(&server).await;
    let slices = |names: std::ops::Range<u32>| -> Vec<Value> {
        names.map(|n| slice(&format!("x{n}"), "web", 6)).collect()
    };
    let mut watch = server.list(SLICES, &slices(0..10), 10).await;
    ear.until(|heard| heard.events.len() == 11).await;
    let gone = json!({"code": 410, "reason": "Expired", "message": "too old"});
    watch.event("ERROR", &gone).await;
    server.page(SLICES, &slices(0..4), 20).await;
    let again = server.paging(SLICES).await;
    let answer = page_of("EndpointSlice", &slices(0..10), 22, "");
    again.answer(200, &answer).await;
    let status = ear.until_status(Resource::EndpointSlice, |s| s.relists == 1);
    status.await;
}

#[tokio::test]
async fn a_list_once_asks_twice_for_nothing() {
    let mut server = FakeServer::start().await;
    let api = api(&server).await;
    let list = tokio::spawn(async move { list_once(&api, NODE, &Resource::USUAL, 0).await });
    server
        .next(NODES)
        .await
        .answer(200, &page_of("Node", &[node(1)], 9, ""))
        .await;
    server
        .next(SERVICES)
        .await
        .answer(200, &page(&[], 9, ""))
        .await;
    server
        .next(SERVICES)
        .await
        .answer(200, &page(&services(0..1), 9, ""))
        .await;
    let nothing = page_of("EndpointSlice", &[], 9, "");
    server.next(SLICES).await.answer(200, &nothing).await;
    server.next(SLICES).await.answer(200, &nothing).await;
    let listing = list.await.unwrap().unwrap();
    assert!(matches!(
        &listing.events[..],
        [
            Event::NodeApplied(_),
            Event::ServiceApplied(_),
            Event::ApiServer(_)
        ]
    ));
}
