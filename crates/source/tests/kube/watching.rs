//! Changes, as they come.

use std::time::{Duration, SystemTime};

use viprule_service::model::SliceId;
use viprule_service::model::{Event, Family};
use viprule_source::kube::{Phase, Resource, Trigger};

use crate::server::{Answer, FakeServer, Request, SERVICES};
use crate::world::{Ear, at_once, id, node, page, pass, service, slice};

#[tokio::test]
async fn changes_become_events_and_triggers() {
    let mut server = FakeServer::start().await;
    let (mut ear, [mut services, mut slices, mut nodes]) = Ear::settled(&mut server).await;
    slices.event("MODIFIED", &slice("web-x", "web", 11)).await;
    slices.event("DELETED", &slice("web-x", "web", 12)).await;
    let slice_id = SliceId::new(id("web"), "web-x").unwrap();
    ear.hear(&Event::SliceDeleted(slice_id)).await;
    assert!(matches!(
        &ear.heard.events[..],
        [
            Event::SliceMoved { .. },
            Event::SliceApplied(_),
            Event::SliceDeleted(_)
        ]
    ));
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045);
    let trigger = Trigger {
        service: id("web"),
        family: Family::Ipv4,
        at,
    };
    assert_eq!(ear.heard.triggers, [trigger]);

    services.event("ADDED", &service("new", 13)).await;
    services.event("DELETED", &service("web", 14)).await;
    ear.hear(&Event::ServiceDeleted(id("web"))).await;
    nodes.event("DELETED", &node(15)).await;
    ear.hear(&Event::NodeDeleted).await;
    assert!(ear.heard.complete, "stays so");
    assert_eq!(ear.status(Resource::Service).received, 3);
}

/// A watch that got to version 20 and whose connection is closed long before its time, and the
/// question for the current version; the others go on.
async fn closed_early(server: &mut FakeServer) -> (Ear, Request, [Answer; 2]) {
    let (mut ear, [mut services, slices, nodes]) = Ear::settled(server).await;
    services.event("ADDED", &service("b", 20)).await;
    ear.until(|heard| heard.events.len() == 1).await;
    drop(services);
    let check = server.next(SERVICES).await;
    assert!(check.has("limit=1"), "{}", check.target);
    (ear, check, [slices, nodes])
}

#[tokio::test]
async fn after_an_early_end_it_goes_on_where_the_server_knows_as_much() {
    let mut server = FakeServer::start().await;
    let (mut ear, check, _others) = closed_early(&mut server).await;
    check.answer(200, &page(&[service("b", 20)], 20, "")).await;
    let watch = server.next(SERVICES).await;
    assert!(watch.has("resourceVersion=20"), "{}", watch.target);
    assert!(!watch.target.contains("sendInitialEvents"));
    let mut watch = watch.stream().await;
    watch.event("DELETED", &service("b", 27)).await;
    ear.hear(&Event::ServiceDeleted(id("b"))).await;
    let status = ear.status(Resource::Service);
    assert_eq!((status.phase, status.relists), (Phase::Watching, 0));

    // A server that shuts down ends its watches, also those that tell nothing.
    drop(watch);
    let check = server.next(SERVICES).await;
    check.answer(200, &page(&[], 30, "")).await;
    let watch = server.next(SERVICES).await;
    assert!(watch.has("resourceVersion=27"), "{}", watch.target);
    let silent = watch.stream().await;
    let heard = tokio::time::Instant::now().into_std();
    ear.until_status(Resource::Service, |s| s.last_heard > Some(heard))
        .await;
    pass(60).await;
    silent.end().await;
    let check = server.next(SERVICES).await;
    assert!(check.has("limit=1"), "{}", check.target);
    let status = ear.status(Resource::Service);
    assert_eq!((status.relists, status.failures), (0, 0));
}

#[tokio::test]
async fn after_an_early_end_a_server_that_went_back_is_listed_anew() {
    let mut server = FakeServer::start().await;
    let (mut ear, check, _others) = closed_early(&mut server).await;
    check.answer(200, &page(&[], 19, "")).await;
    let _watch = server.list(SERVICES, &[service("c", 18)], 19).await;
    ear.hear(&Event::ServicesRelisted([id("c")].into())).await;
    let status = ear.status(Resource::Service);
    assert_eq!((status.relists, status.failures), (1, 0));
}

#[tokio::test]
async fn after_an_early_end_a_server_that_does_not_answer_is_listed_anew() {
    let mut server = FakeServer::start().await;
    let (mut ear, check, _others) = closed_early(&mut server).await;
    check
        .refuse(503, "ServiceUnavailable", "shutting down")
        .await;
    // By now it may have passed the version that was told, with other changes.
    let _watch = server.list(SERVICES, &[service("c", 24)], 26).await;
    ear.hear(&Event::ServicesRelisted([id("c")].into())).await;
    let status = ear.status(Resource::Service);
    assert_eq!((status.relists, status.failures), (1, 1));
}

#[tokio::test]
async fn a_watch_that_ends_as_it_begins_is_an_error() {
    let mut server = FakeServer::start().await;
    let (mut ear, check, _others) = closed_early(&mut server).await;
    check.answer(200, &page(&[], 20, "")).await;
    // A second later it would be none.
    let status = at_once(async {
        server.next(SERVICES).await.stream().await.end().await;
        ear.until_status(Resource::Service, |s| s.failures > 0 || s.relists > 0)
            .await
    });
    assert_eq!(status.await.failures, 1);
    let _watch = server.list(SERVICES, &[service("c", 24)], 26).await;
    ear.hear(&Event::ServicesRelisted([id("c")].into())).await;
    assert_eq!(ear.status(Resource::Service).failures, 1);
}

#[tokio::test]
async fn after_garbage_everything_is_listed() {
    let mut server = FakeServer::start().await;
    let (mut ear, [mut services, _slices, _nodes]) = Ear::settled(&mut server).await;
    services.event("ODD", &service("b", 20)).await;
    let _watch = server.list(SERVICES, &[service("c", 24)], 26).await;
    ear.hear(&Event::ServicesRelisted([id("c")].into())).await;
    assert_eq!(ear.status(Resource::Service).failures, 1);
}

#[tokio::test]
async fn a_watch_that_ends_in_time_goes_on_where_it_was() {
    let mut server = FakeServer::start().await;
    let (mut ear, [mut services, _slices, _nodes]) = Ear::settled(&mut server).await;
    services.event("ADDED", &service("b", 20)).await;
    services.bookmark(25).await;
    ear.until(|heard| heard.events.len() == 1).await;
    pass(services.seconds).await;
    services.end().await;
    let watch = server.next(SERVICES).await;
    assert!(watch.has("resourceVersion=25"), "{}", watch.target);
    let mut watch = watch.stream().await;
    watch.event("DELETED", &service("b", 27)).await;
    ear.hear(&Event::ServiceDeleted(id("b"))).await;
}

#[tokio::test]
async fn a_server_that_went_back_is_listed_anew() {
    let mut server = FakeServer::start().await;
    let (mut ear, [mut services, _slices, _nodes]) = Ear::settled(&mut server).await;
    services.bookmark(100).await;
    services.bookmark(39).await;
    let _services = server.list(SERVICES, &[service("old", 30)], 39).await;
    ear.hear(&Event::ServicesRelisted([id("old")].into())).await;
    assert_eq!(ear.status(Resource::Service).relists, 1);
}

#[tokio::test]
async fn what_waits_for_the_consumer_is_bounded() {
    const OBJECTS: u64 = 5000;
    let mut server = FakeServer::start().await;
    let (mut ear, [_services, mut slices, _nodes]) = Ear::settled(&mut server).await;
    let writer = tokio::spawn(async move {
        for number in 0..OBJECTS {
            slices
                .event("ADDED", &slice(&format!("s-{number}"), "web", 11))
                .await;
        }
        slices
    });
    ear.until_status(Resource::EndpointSlice, |s| s.received > 256)
        .await;
    // Nobody listens, so the watch gets no further however often it runs.
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    assert!(ear.status(Resource::EndpointSlice).received <= 1 + 257);
    let all = usize::try_from(OBJECTS).unwrap();
    ear.until(|heard| heard.events.len() == all).await;
    writer.await.unwrap();
}

#[tokio::test]
async fn a_batch_is_what_is_ready() {
    let mut server = FakeServer::start().await;
    let (mut ear, [_services, mut slices, _nodes]) = Ear::settled(&mut server).await;
    for number in 0..10 {
        slices
            .event("ADDED", &slice(&format!("s-{number}"), "web", 11))
            .await;
    }
    ear.until_status(Resource::EndpointSlice, |s| s.received == 11)
        .await;
    tokio::task::yield_now().await;
    let batch = ear.source.next().await.unwrap();
    assert_eq!(batch.events.len(), 10);
    assert_eq!(batch.triggers.len(), 10);
}

#[tokio::test]
async fn it_ends_when_it_is_dropped() {
    let mut server = FakeServer::start().await;
    let (ear, [mut services, mut slices, _nodes]) = Ear::settled(&mut server).await;
    drop(ear);
    let gone = async {
        while services.event("ADDED", &service("x", 11)).await {}
        while slices.event("ADDED", &slice("x", "x", 11)).await {}
    };
    tokio::time::timeout(crate::server::PATIENCE, gone)
        .await
        .unwrap();
}
