//! Clients that send their SYN again and again from one port, to what is not there yet
//! (kubernetes/kubernetes#101607).

use crate::support::busy::{Busy, CHANGING, ENDPOINTS, ready};
use crate::support::{LIMIT, at, shared};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use viprule_testkit::client::Client;
use viprule_testkit::flows;

/// For an answer that may come with the next attempt.
const PATIENCE: Duration = Duration::from_millis(700);

/// One that keeps its port.
fn client(busy: &Busy) -> (Client<'_>, SocketAddr) {
    let client = busy.stage.world.on_node().timeout(PATIENCE);
    (client, at("192.168.77.2:40123"))
}

/// The client tries in vain, and the kernel notes where that led.
#[track_caller]
fn waits(busy: &Busy) {
    let (client, source) = client(busy);
    let target = at(CHANGING[0]);
    client.tcp_from(source, target).unwrap().result.unwrap_err();
    let flows = flows::list_tcp(busy.stage.world.node()).unwrap();
    let waiting = flows.iter().any(|flow| {
        flow.is_syn_sent()
            && flow.original.source == source
            && flow.original.destination == target
            && !flow.is_dnat()
    });
    assert!(waiting, "{flows:#?}");
}

/// The client tries until this endpoint answers.
#[track_caller]
fn gets_to(busy: &Busy, endpoint: &str) {
    let (client, source) = client(busy);
    let start = Instant::now();
    loop {
        let result = client.tcp_from(source, at(CHANGING[0])).unwrap().result;
        if let Ok(answer) = result {
            assert_eq!(answer.backend, at(&format!("{endpoint}:8080")));
            return;
        }
        assert!(start.elapsed() < LIMIT, "{result:?}");
    }
}

#[test]
fn a_client_that_keeps_its_port_gets_to_a_service_that_came_later() {
    let busy = Busy::new(shared());
    let _server = busy.serve(ENDPOINTS[0]);
    let mut run = busy.run();
    waits(&busy);
    busy.write_service();
    busy.write_endpoints([ready(ENDPOINTS[0])]);
    run.changed();
    gets_to(&busy, ENDPOINTS[0]);
    run.said(&["ended unanswered TCP flows", "\"deleted\":1"]);
}

/// In IPVS mode the address of a Service that is gone stays while its connections drain.
mod iptables {
    use super::*;

    #[test]
    fn open_connections_to_an_endpoint_that_left_are_not_touched() {
        let busy = Busy::new(shared());
        let _servers = [0, 1].map(|number| busy.serve(ENDPOINTS[number]));
        busy.write_service();
        busy.write_endpoints([ready(ENDPOINTS[0])]);
        let mut run = busy.run();
        let outside = busy.stage.world.outside();
        let mut open = outside.keep_alive(at(CHANGING[0])).unwrap().unwrap();
        let first = open.ask().result.unwrap().backend;
        busy.stage.remove("service.yaml");
        run.changed();
        waits(&busy);

        busy.write_endpoints([ready(ENDPOINTS[1])]);
        busy.write_service();
        run.changed();
        gets_to(&busy, ENDPOINTS[1]);
        run.said(&["ended unanswered TCP flows", "\"deleted\":1"]);
        assert_eq!(open.ask().result.unwrap().backend, first);
    }
}
