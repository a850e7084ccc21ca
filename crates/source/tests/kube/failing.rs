//! Servers that are down, refuse, or say nothing.

use std::time::{Duration, Instant};

use viprule_service::model::Event;
use viprule_source::kube::{Phase, Resource};

use crate::server::{FakeServer, SERVICES};
use crate::world::{Ear, error, id, page, pass, service};

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[tokio::test]
async fn an_outage_is_told_and_ends_by_itself() {
    let mut server = FakeServer::start().await;
    let (mut ear, [services, slices, nodes]) = Ear::settled(&mut server).await;
    let address = server.stop().await;
    drop((services, slices, nodes));
    let first = ear
        .until_status(Resource::Service, |s| s.failures == 1)
        .await;
    assert!(
        error(&first).contains("onnection refused"),
        "{}",
        error(&first)
    );
    let second = ear
        .until_status(Resource::Service, |s| s.failures == 2)
        .await;
    assert_eq!(first.since, second.since, "fails since the first time");
    assert!(
        !second.is_stuck(now() + Duration::from_secs(3600)),
        "it knows"
    );
    assert!(ear.heard.events.is_empty());

    let mut server = FakeServer::restart(address).await;
    let mut watch = server.list(SERVICES, &[service("b", 9)], 10).await;
    ear.hear(&Event::ServicesRelisted([id("b")].into())).await;
    let status = ear
        .until_status(Resource::Service, |s| s.phase == Phase::Watching)
        .await;
    assert_eq!(status.relists, 1);
    ear.heard.events.clear();
    watch.event("ADDED", &service("new", 11)).await;
    ear.until(|heard| heard.events.len() == 1).await;
}

#[tokio::test]
async fn a_refusal_says_what_to_do() {
    let mut server = FakeServer::start().await;
    let ear = Ear::start(&server).await;
    let message = "services is forbidden";
    server
        .next(SERVICES)
        .await
        .refuse(403, "Forbidden", message)
        .await;
    let status = ear
        .until_status(Resource::Service, |s| s.failures == 1)
        .await;
    assert_eq!(
        error(&status),
        "listing services: the API server says 403 Forbidden: services is forbidden; \
         bind the account to the ClusterRole system:node-proxier or its like"
    );
    assert!(!status.listed);
}

#[tokio::test]
async fn something_that_is_no_api_server_is_told() {
    let mut server = FakeServer::start().await;
    let ear = Ear::start(&server).await;
    server
        .next(SERVICES)
        .await
        .answer(200, &"hello".into())
        .await;
    let status = ear
        .until_status(Resource::Service, |s| s.failures == 1)
        .await;
    assert!(
        error(&status).contains("none of the Kubernetes API"),
        "{}",
        error(&status)
    );
}

#[tokio::test]
async fn an_idle_watch_is_not_stuck_and_a_silent_one_connects_anew() {
    let mut server = FakeServer::start().await;
    let (mut ear, [mut services, _slices, _nodes]) = Ear::settled(&mut server).await;
    pass(200).await;
    let before = now();
    services.bookmark(50).await;
    let status = ear
        .until_status(Resource::Service, |s| s.last_heard > Some(before))
        .await;
    assert!(!status.is_stuck(now()));

    // Longer than the server was asked to watch, and nothing heard: not even the end.
    pass(320).await;
    let status = ear
        .until_status(Resource::Service, |s| s.failures == 1)
        .await;
    assert!(
        error(&status).contains("said nothing for"),
        "{}",
        error(&status)
    );
    let mut watch = server.list(SERVICES, &[service("web", 9)], 60).await;
    watch.event("DELETED", &service("web", 61)).await;
    ear.hear(&Event::ServiceDeleted(id("web"))).await;
}

#[tokio::test]
async fn a_silent_watch_is_stuck_as_long_as_it_could_not_run() {
    let mut server = FakeServer::start().await;
    let (ear, _answers) = Ear::settled(&mut server).await;
    let status = ear.status(Resource::Service);
    assert!(!status.is_stuck(now() + Duration::from_secs(240)));
    assert!(status.is_stuck(now() + Duration::from_secs(320)));
}

#[tokio::test]
async fn a_watch_that_ended_in_time_without_a_word_is_checked() {
    let mut server = FakeServer::start().await;
    let (mut ear, [services, _slices, _nodes]) = Ear::settled(&mut server).await;
    pass(services.seconds).await;
    services.end().await;
    let silent = server.next(SERVICES).await.stream().await;
    let began = now();
    ear.until_status(Resource::Service, |s| s.last_heard > Some(began))
        .await;
    pass(silent.seconds).await;
    silent.end().await;
    // Restored to a time before; a watch from 10 would hear nothing until then.
    server
        .next(SERVICES)
        .await
        .answer(200, &page(&[], 3, ""))
        .await;
    let _services = server.list(SERVICES, &[service("old", 2)], 3).await;
    ear.hear(&Event::ServicesRelisted([id("old")].into())).await;
}

#[tokio::test]
async fn a_stream_of_which_nothing_comes_is_waited_for_no_longer() {
    let mut server = FakeServer::start().await;
    let mut ear = Ear::start(&server).await;
    let _stalled = server.streaming(SERVICES).await.stream().await;
    ear.until_status(Resource::Service, |s| s.phase == Phase::Listing)
        .await;
    pass(31).await;
    let _watch = server.list(SERVICES, &[service("a", 1)], 9).await;
    ear.hear(&Event::ServicesRelisted([id("a")].into())).await;
}
