//! It answers as a server does.

use futures_util::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{ListParams, WatchParams};
use kube::core::Request;
use serde_json::{Value, json};

use super::*;

fn service(name: usize) -> Value {
    json!({"metadata": {"namespace": "shop", "name": format!("s{name:02}")}})
}

fn server(services: usize) -> ApiServer {
    let server = ApiServer::new(Chance::new(1));
    for name in 0..services {
        server.put(Kind::Service, service(name));
    }
    server
}

async fn names(server: &ApiServer) -> Result<usize, kube::Error> {
    count(&Api::all(server.client())).await
}

async fn count(api: &Api<Service>) -> Result<usize, kube::Error> {
    Ok(api.list(&ListParams::default()).await?.items.len())
}

/// Lines of a watch: kinds of events, and the version of the last one.
async fn lines(server: &ApiServer, initial: bool, version: &str, count: usize) -> Vec<Value> {
    let parameters = WatchParams {
        send_initial_events: initial,
        ..WatchParams::default()
    };
    let request = Request::new("/api/v1/services");
    let request = request.watch(&parameters, version).unwrap();
    let body = server.client().request_stream(request).await.unwrap();
    let lines = Box::pin(body).lines().take(count);
    let lines = lines.map_ok(|line| serde_json::from_str(&line).unwrap());
    lines.try_collect().await.unwrap()
}

fn kinds(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .filter_map(|line| line["type"].as_str())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn pages_make_the_whole() {
    let server = server(7);
    server.set_weather(Weather {
        page: 3,
        ..Weather::default()
    });
    let api: Api<Service> = Api::all(server.client());
    let (mut token, mut sizes) = (None, Vec::new());
    loop {
        let mut parameters = ListParams::default().limit(5);
        parameters.continue_token = token;
        let page = api.list(&parameters).await.unwrap();
        sizes.push((page.items.len(), page.metadata.remaining_item_count));
        token = page.metadata.continue_.filter(|token| !token.is_empty());
        if token.is_none() {
            break;
        }
        // What happens meanwhile is no part of it.
        server.delete(Kind::Service, "shop", "s06");
    }
    assert_eq!(sizes, [(3, Some(4)), (3, Some(1)), (1, None)]);
    assert_eq!(names(&server).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_what_exists_and_what_happens() {
    let server = server(2);
    let told = lines(&server, true, "", 3).await;
    assert_eq!(kinds(&told), ["ADDED", "ADDED", "BOOKMARK"]);
    let version = told[2]["object"]["metadata"]["resourceVersion"].as_str();
    let version = version.unwrap().to_owned();
    server.put(Kind::Service, service(0));
    server.delete(Kind::Service, "shop", "s01");
    server.put(Kind::Node, json!({"metadata": {"name": "node-0"}}));
    server.put(Kind::Service, service(5));
    let told = lines(&server, false, &version, 3).await;
    assert_eq!(kinds(&told), ["MODIFIED", "DELETED", "ADDED"]);
    server.compact();
    for _ in 0..10 {
        let parameters = WatchParams::default();
        let api: Api<Service> = Api::all(server.client());
        let gone = match api.watch(&parameters, &version).await {
            Err(kube::Error::Api(status)) => status.code,
            Err(error) => panic!("{error}"),
            Ok(events) => match Box::pin(events).next().await {
                Some(Ok(kube::core::WatchEvent::Error(status))) => status.code,
                other => panic!("{other:?}"),
            },
        };
        assert_eq!(gone, 410);
    }
}

#[tokio::test(start_paused = true)]
async fn a_restored_server_is_where_it_was() {
    let server = server(2);
    let before = server.snapshot();
    server.delete(Kind::Service, "shop", "s00");
    server.put(Kind::Service, service(3));
    server.restore(&before);
    assert!(names(&server).await.is_err());
    tokio::time::sleep(RESTORE).await;
    let told = lines(&server, true, "", 3).await;
    assert_eq!(kinds(&told), ["ADDED", "ADDED", "BOOKMARK"]);
    assert_eq!(told[2]["object"]["metadata"]["resourceVersion"], "1002");
    assert_eq!(told[0]["object"]["metadata"]["name"], "s00");
}

#[tokio::test(start_paused = true)]
async fn no_two_lists_after_each_other_lack_something() {
    let server = server(12);
    let api = Api::all(server.client());
    assert_eq!(count(&api).await.unwrap(), 12);
    server.set_weather(Weather {
        odd: 1000,
        oddities: vec![Oddity::Empty, Oddity::Partial],
        ..Weather::default()
    });
    let mut before = 12;
    let mut lies = 0;
    for _ in 0..50 {
        let now = count(&api).await.unwrap();
        assert!(before == 12 || now == 12);
        lies += usize::from(now < 12);
        before = now;
    }
    assert_eq!(lies, 25);
}

#[tokio::test(start_paused = true)]
async fn what_breaks_is_an_error() {
    let server = server(3);
    for oddity in [
        Oddity::Refused(500),
        Oddity::Html,
        Oddity::Reset,
        Oddity::CutBody,
    ] {
        server.set_weather(Weather {
            odd: 1000,
            oddities: vec![oddity],
            ..Weather::default()
        });
        assert!(names(&server).await.is_err(), "{oddity:?}");
    }
    assert_eq!(server.take_log().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_tells_nothing_and_does_not_end() {
    let server = server(1);
    server.set_weather(Weather {
        odd: 1000,
        oddities: vec![Oddity::Silence],
        ..Weather::default()
    });
    let request = Request::new("/api/v1/services");
    let request = request.watch(&WatchParams::default().timeout(60), "1001");
    let body = server.client().request_stream(request.unwrap()).await;
    let mut lines = Box::pin(body.unwrap()).lines();
    server.put(Kind::Service, service(0));
    let hour = std::time::Duration::from_secs(3600);
    let next = tokio::time::timeout(hour, lines.next()).await;
    assert!(next.is_err());
}
