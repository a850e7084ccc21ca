//! Answers without end.

use serde_json::json;
use viprule_source::kube::Resource;

use crate::server::{FakeServer, SERVICES};
use crate::world::{Ear, error, pass, service};

#[tokio::test]
async fn an_error_without_end_is_told_as_such_and_takes_nothing_away() {
    let mut server = FakeServer::start().await;
    let (ear, [mut services, _slices, _nodes]) = Ear::settled(&mut server).await;
    let gone = json!({"code": 410, "reason": "Expired", "message": "too old"});
    services.event("ERROR", &gone).await;
    server.paging(SERVICES).await.answer_for_ever(500).await;
    let status = ear
        .until_status(Resource::Service, |s| s.failures == 1)
        .await;
    let told = "listing services: the answer is too large: more than 4 MiB in an answer that is no \
                object; check";
    assert!(error(&status).starts_with(told), "{}", error(&status));
    pass(11).await;
    server.page(SERVICES, &[service("web", 5)], 20).await;
    ear.until_status(Resource::Service, |s| s.relists == 1)
        .await;
    assert!(ear.heard.events.is_empty(), "{:?}", ear.heard.events);
}
