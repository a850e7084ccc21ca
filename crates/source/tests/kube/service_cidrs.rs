//! Where cluster IPs are from, which a server need not say.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;
use viprule_service::model::{Event, ServiceCidr};
use viprule_source::kube::{Phase, Resource, list_once};

use crate::server::{Answer, FakeServer, NODES, SERVICE_CIDRS, SERVICES, SLICES};
use crate::world::{Ear, NODE, api, node, pass, service, slice};

fn cidr(name: &str, networks: &[&str], version: u32) -> Value {
    json!({
        "kind": "ServiceCIDR", "apiVersion": "networking.k8s.io/v1",
        "metadata": {"name": name, "resourceVersion": version.to_string()},
        "spec": {"cidrs": networks},
    })
}

fn applied(name: &str, networks: &[&str]) -> Event {
    Event::ServiceCidrApplied(ServiceCidr {
        name: name.into(),
        networks: networks.iter().map(|text| text.parse().unwrap()).collect(),
    })
}

/// A source whose lists of everything else are told.
async fn begin() -> (FakeServer, Ear) {
    let mut server = FakeServer::start().await;
    let ear = Ear::of_all(&api(&server).await);
    server.list(SERVICES, &[service("web", 5)], 10).await;
    server.list(SLICES, &[slice("web-x", "web", 6)], 10).await;
    server.list(NODES, &[node(7)], 10).await;
    (server, ear)
}

const USUAL: &str = "10.96.0.0/12";

/// Answers a list with the one that every cluster has.
async fn list_usual(server: &mut FakeServer) -> Answer {
    let usual = cidr("kubernetes", &[USUAL], 8);
    server.list(SERVICE_CIDRS, &[usual], 10).await
}

#[tokio::test]
async fn they_are_listed_and_followed() {
    let (mut server, mut ear) = begin().await;
    let networks = ["10.96.0.0/12", "fd00:96::/112"];
    let listed = [
        cidr("kubernetes", &networks, 8),
        cidr("more", &["10.1.0.0/16"], 9),
    ];
    let mut watch = server.list(SERVICE_CIDRS, &listed, 10).await;
    ear.until(|heard| heard.complete).await;
    ear.hear(&applied("kubernetes", &networks)).await;
    ear.hear(&applied("more", &["10.1.0.0/16"])).await;
    watch
        .event("MODIFIED", &cidr("more", &["10.1.0.0/17"], 11))
        .await;
    ear.hear(&applied("more", &["10.1.0.0/17"])).await;
    watch
        .event("DELETED", &cidr("more", &["10.1.0.0/17"], 12))
        .await;
    ear.hear(&Event::ServiceCidrDeleted("more".into())).await;
    drop(watch);
    ear.until_status(Resource::ServiceCidr, |it| it.phase == Phase::Watching)
        .await;
}

/// What is there but can't be read may be anything: what it said before stays.
#[tokio::test]
async fn one_that_cannot_be_read_is_told_and_changes_nothing() {
    let (mut server, mut ear) = begin().await;
    let mut watch = list_usual(&mut server).await;
    ear.until(|heard| heard.complete).await;
    ear.heard.events.clear();
    for (network, told) in [
        (
            "10.96.0.0",
            "\"10.96.0.0\" is not a range of addresses such as 10.0.0.0/8",
        ),
        ("0.0.0.0/0", "is every address, and must be a range of some"),
    ] {
        watch
            .event(
                "MODIFIED",
                &cidr("kubernetes", &["10.1.0.0/16", network], 11),
            )
            .await;
        ear.until(|heard| !heard.problems.is_empty()).await;
        let problem = ear.heard.problems.remove(0);
        assert!(problem.refused);
        let told = format!("ServiceCIDR kubernetes: spec.cidrs[1]: {told}");
        assert_eq!(problem.to_string(), told);
    }
    assert_eq!(ear.heard.events, []);
}

/// Every cluster that has such objects has one, so a list of none may be an odd answer.
#[tokio::test]
async fn a_list_of_none_is_asked_for_again() {
    let (mut server, mut ear) = begin().await;
    server.page(SERVICE_CIDRS, &[], 10).await;
    pass(1).await;
    list_usual(&mut server).await;
    ear.until(|heard| heard.complete).await;
    ear.hear(&applied("kubernetes", &[USUAL])).await;
    let events = &ear.heard.events;
    assert!(!events.contains(&Event::ServiceCidrsRelisted([].into())));
}

/// Servers before 1.33 have none, and an account may lack the right to read them.
#[tokio::test]
async fn nobody_waits_for_what_a_server_does_not_give() {
    for (code, reason) in [(404, "NotFound"), (403, "Forbidden")] {
        let (mut server, mut ear) = begin().await;
        let request = server.next(SERVICE_CIDRS).await;
        assert!(!ear.heard.complete);
        request.refuse(code, reason, "there is no such thing").await;
        ear.until(|heard| heard.complete).await;
        let status = ear.status(Resource::ServiceCidr);
        assert_eq!((status.phase, status.failures), (Phase::Absent, 0));
        // It is asked for again, later than after other errors.
        pass(4).await;
        let asked = timeout(Duration::from_millis(200), server.next(SERVICE_CIDRS));
        assert!(asked.await.is_err(), "not yet");
        pass(6).await;
        list_usual(&mut server).await;
        ear.hear(&applied("kubernetes", &[USUAL])).await;
    }
}

#[tokio::test]
async fn nobody_waits_for_a_server_that_fails_at_them() {
    let (mut server, mut ear) = begin().await;
    let request = server.next(SERVICE_CIDRS).await;
    request.refuse(500, "InternalError", "try later").await;
    ear.until(|heard| heard.complete).await;
    list_usual(&mut server).await;
    ear.hear(&applied("kubernetes", &[USUAL])).await;
}

#[tokio::test]
async fn a_list_once_goes_on_without_them() {
    let mut server = FakeServer::start().await;
    let api = api(&server).await;
    let list = tokio::spawn(async move { list_once(&api, NODE, &Resource::ALL, 0).await });
    server.page(NODES, &[node(1)], 9).await;
    server.page(SERVICES, &[service("web", 1)], 9).await;
    server.page(SLICES, &[slice("web-x", "web", 3)], 9).await;
    let request = server.next(SERVICE_CIDRS).await;
    request
        .refuse(403, "Forbidden", "servicecidrs is forbidden")
        .await;
    let listing = list.await.unwrap().unwrap();
    assert_eq!(listing.events.len(), 4);
}
