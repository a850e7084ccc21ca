//! Changes under load: whoever isn't concerned notices nothing.

use crate::support::busy::{Busy, CHANGING, ENDPOINTS, ready};
use crate::support::{alone, at, flawless};
use std::thread::sleep;
use std::time::{Duration, Instant};
use viprule_testkit::client::{Failure, Load};
use viprule_testkit::server::Server;

/// Connections a second.
const RATE: u32 = 2_000;
/// Times that something comes and goes within one load.
const CYCLES: usize = 3;
/// How long a connection that began before a change may take to reach its endpoint.
const UNDER_WAY: Duration = Duration::from_millis(100);
const WHILE: Duration = Duration::from_millis(200);

/// All of the changing Service is there and served.
fn complete() -> (Busy, Vec<Server>) {
    let busy = Busy::new(alone());
    let servers = ENDPOINTS.map(|endpoint| busy.serve(endpoint)).into();
    busy.write_service();
    busy.write_endpoints(ENDPOINTS.map(ready));
    (busy, servers)
}

/// Fails if somebody still connects, then stops the server as a pod does that ends.
#[track_caller]
fn retire(server: Server) {
    sleep(UNDER_WAY);
    let then = server.answered();
    sleep(WHILE);
    assert_eq!(
        server.answered(),
        then,
        "connections after the change was in the kernel"
    );
    drop(server);
}

/// Fails unless somebody connects.
#[track_caller]
fn is_used(server: &Server) {
    let then = server.answered();
    sleep(WHILE + UNDER_WAY);
    assert!(
        server.answered() > then,
        "no connections to {:?}",
        server.address()
    );
}

fn answered(servers: &[Server]) -> u64 {
    servers.iter().map(Server::answered).sum()
}

#[test]
fn an_endpoint_that_goes_and_comes_back_costs_no_connection() {
    flawless(|| {
        let (busy, mut servers) = complete();
        let mut run = busy.run();
        let load = busy.load(RATE, &CHANGING);
        sleep(WHILE);
        for cycle in 0..CYCLES {
            // Each of them in turn: first, middle and last place in the chain.
            let gone = ENDPOINTS[cycle];
            is_used(&servers[cycle]);
            busy.write_endpoints(ENDPOINTS.into_iter().filter(|ip| *ip != gone).map(ready));
            run.changed();
            let server = servers.remove(cycle);
            retire(server);
            servers.insert(cycle, busy.serve(gone));
            busy.write_endpoints(ENDPOINTS.map(ready));
            run.changed();
            is_used(&servers[cycle]);
        }
        load.stop().unwrap()
    });
}

#[test]
fn an_endpoint_that_is_not_ready_any_more_costs_no_connection() {
    flawless(|| {
        let (busy, mut servers) = complete();
        let mut run = busy.run();
        let load = busy.load(RATE, &CHANGING);
        let unready = |not_ready: &str| {
            ENDPOINTS.map(|ip| {
                if ip == not_ready {
                    ready(ip).not_ready()
                } else {
                    ready(ip)
                }
            })
        };
        for cycle in 0..CYCLES {
            is_used(&servers[cycle]);
            busy.write_endpoints(unready(ENDPOINTS[cycle]));
            run.changed();
            retire(servers.remove(cycle));
            servers.insert(cycle, busy.serve(ENDPOINTS[cycle]));
            busy.write_endpoints(ENDPOINTS.map(ready));
            run.changed();
        }
        load.stop().unwrap()
    });
}

#[test]
fn the_last_endpoint_may_be_replaced_without_a_failed_connection() {
    flawless(|| {
        let busy = Busy::new(alone());
        busy.write_service();
        busy.write_endpoints([ready(ENDPOINTS[0])]);
        let mut server = busy.serve(ENDPOINTS[0]);
        let mut run = busy.run();
        let load = busy.load(RATE, &CHANGING);
        for next in [ENDPOINTS[2], ENDPOINTS[1], ENDPOINTS[0]] {
            let successor = busy.serve(next);
            busy.write_endpoints([ready(next)]);
            run.changed();
            is_used(&successor);
            retire(std::mem::replace(&mut server, successor));
        }
        load.stop().unwrap()
    });
}

#[test]
fn a_service_that_comes_answers_from_its_first_connection() {
    flawless(|| {
        let (busy, _servers) = complete();
        busy.stage.remove("service.yaml");
        let mut run = busy.run();
        let load = busy.load(RATE, &[]);
        sleep(WHILE);
        busy.write_service();
        run.changed();
        // As soon as it is in the kernel.
        let targets = CHANGING.map(at);
        let new = Load::new(RATE / 4, targets).timeout(Duration::from_secs(10));
        let new = new.start(busy.stage.world.client()).unwrap();
        sleep(2 * WHILE);
        let (mut report, new) = (load.stop().unwrap(), new.stop().unwrap());
        assert_eq!(new.backends.len(), ENDPOINTS.len(), "{:?}", new.backends);
        // One verdict over both.
        report.behind = report.behind.max(new.behind);
        report.started += new.started;
        report.examples.extend(new.examples);
        for (failure, count) in new.failures {
            *report.failures.entry(failure).or_default() += count;
        }
        report
    });
}

#[test]
fn a_service_that_goes_takes_only_its_own_connections_along() {
    /// The load counts from a moment shortly after it is told to start.
    const CLOCKS: Duration = Duration::from_millis(50);
    flawless(|| {
        let (busy, servers) = complete();
        let mut run = busy.run();
        let load = busy.load(RATE - RATE / 8, &[]);
        // A connection that waits a second for a lost packet is no failure.
        let own = Load::new(RATE / 8, CHANGING.map(at)).timeout(Duration::from_millis(1500));
        let start = Instant::now();
        let own = own.start(busy.stage.world.client()).unwrap();
        let mut keep_alive = busy
            .stage
            .world
            .outside()
            .keep_alive(at(CHANGING[0]))
            .unwrap()
            .unwrap();
        let backend = keep_alive.ask().result.unwrap().backend;
        sleep(2 * WHILE);
        let removal = start.elapsed();
        busy.stage.remove("service.yaml");
        run.changed();
        sleep(UNDER_WAY);
        let then = answered(&servers);
        sleep(2 * WHILE);
        assert_eq!(
            answered(&servers),
            then,
            "connections after the change was in the kernel"
        );
        assert_eq!(
            keep_alive.ask().result.unwrap().backend,
            backend,
            "open connections live on"
        );
        let (report, own) = (load.stop().unwrap(), own.stop().unwrap());

        let early = own
            .examples
            .iter()
            .find(|sample| sample.at + CLOCKS < removal);
        assert!(
            early.is_none() || own.starved(),
            "failed before the removal: {early:?}"
        );
        let least = u64::from(RATE / 8) * 2 / 5 * 9 / 10;
        assert!(
            own.failed() > least && own.answered() > least,
            "{least}: {own:?}"
        );
        let known = [Failure::TimedOut, Failure::Refused];
        assert!(
            own.failures.keys().all(|failure| known.contains(failure)),
            "{:?}",
            own.failures
        );
        report
    });
}
