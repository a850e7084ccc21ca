//! Changes under load: whoever isn't concerned notices nothing.

use crate::support::busy::{Busy, CHANGING, ENDPOINTS, ready};
use crate::support::{LIMIT, Watched, alone, at, flawless, rate};
use std::time::{Duration, Instant};
use viprule_testkit::client::{Failure, Load};
use viprule_testkit::server::Server;

/// Connections a second, see [`rate`].
const MANY: u32 = 2_000;
/// Times that something comes and goes within one load.
const CYCLES: usize = 3;
/// Connections at a time of a load beside the watched one: a slow machine runs out of files else.
const AT_ONCE: usize = 200;
/// Connections that are waited for to see where new ones go: chance spares none of three endpoints.
const FURTHER: u64 = 300;

/// All of the changing Service is there and served.
fn complete() -> (Busy, Vec<Server>) {
    let busy = Busy::new(alone());
    let servers = ENDPOINTS.map(|endpoint| busy.serve(endpoint)).into();
    busy.write_service();
    busy.write_endpoints(ENDPOINTS.map(ready));
    (busy, servers)
}

/// Stops a server as a pod does that ends after its connections. Fails if it gets new ones once the
/// rules have ceased to lead to it.
#[track_caller]
fn retire(load: &Watched<'_>, server: Server) {
    load.outlast(0);
    let last = server.answered();
    load.outlast(FURTHER);
    assert_eq!(server.answered(), last, "{:?}", server.address());
    drop(server);
}

/// Waits until somebody connects.
#[track_caller]
fn is_used(load: &Watched<'_>, server: &Server) {
    let (start, then) = (Instant::now(), server.answered());
    while server.answered() == then {
        load.outlast(1);
        let waited = start.elapsed();
        let address = server.address();
        assert!(waited < LIMIT, "no connections to {address:?}");
    }
}

#[test]
fn an_endpoint_that_goes_and_comes_back_costs_no_connection() {
    flawless(|| {
        let (busy, mut servers) = complete();
        let mut run = busy.run();
        let load = busy.load(rate(MANY), &CHANGING);
        load.outlast(FURTHER);
        for cycle in 0..CYCLES {
            // Each of them in turn: first, middle and last place in the chain.
            let gone = ENDPOINTS[cycle];
            is_used(&load, &servers[cycle]);
            busy.write_endpoints(ENDPOINTS.into_iter().filter(|ip| *ip != gone).map(ready));
            run.changed();
            retire(&load, servers.remove(cycle));
            servers.insert(cycle, busy.serve(gone));
            busy.write_endpoints(ENDPOINTS.map(ready));
            run.changed();
            is_used(&load, &servers[cycle]);
        }
        load.stop()
    });
}

#[test]
fn an_endpoint_that_is_not_ready_any_more_costs_no_connection() {
    flawless(|| {
        let (busy, mut servers) = complete();
        let mut run = busy.run();
        let load = busy.load(rate(MANY), &CHANGING);
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
            is_used(&load, &servers[cycle]);
            busy.write_endpoints(unready(ENDPOINTS[cycle]));
            run.changed();
            retire(&load, servers.remove(cycle));
            servers.insert(cycle, busy.serve(ENDPOINTS[cycle]));
            busy.write_endpoints(ENDPOINTS.map(ready));
            run.changed();
        }
        load.stop()
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
        let load = busy.load(rate(MANY), &CHANGING);
        for next in [ENDPOINTS[2], ENDPOINTS[1], ENDPOINTS[0]] {
            let successor = busy.serve(next);
            busy.write_endpoints([ready(next)]);
            run.changed();
            retire(&load, std::mem::replace(&mut server, successor));
            is_used(&load, &server);
        }
        load.stop()
    });
}

#[test]
fn a_service_that_comes_answers_from_its_first_connection() {
    flawless(|| {
        let (busy, _servers) = complete();
        busy.stage.remove("service.yaml");
        let mut run = busy.run();
        let load = busy.load(rate(MANY), &[]);
        load.outlast(FURTHER);
        busy.write_service();
        run.changed();
        // As soon as it is in the kernel.
        let targets = CHANGING.map(at);
        let new = Load::new(rate(MANY) / 4, targets).at_most(AT_ONCE);
        let new = new.start(busy.stage.world.client()).unwrap();
        new.outlast(FURTHER).unwrap();
        let new = new.stop().unwrap();
        assert_eq!(new.backends.len(), ENDPOINTS.len(), "{:?}", new.backends);
        assert_eq!(
            new.failed(),
            0,
            "{:?} {:?}",
            new.failures,
            new.examples.first()
        );
        load.stop()
    });
}

#[test]
fn a_service_that_goes_cuts_no_open_connection() {
    /// Who is not answered within it isn't.
    const UNANSWERED: Duration = Duration::from_millis(1500);
    flawless(|| {
        let (busy, servers) = complete();
        let mut run = busy.run();
        let load = busy.load(rate(MANY) - rate(MANY) / 8, &[]);
        let own = Load::new(rate(MANY) / 8, CHANGING.map(at)).at_most(AT_ONCE);
        let client = busy.stage.world.client();
        let before = own.clone().timeout(LIMIT).start(client).unwrap();
        let outside = busy.stage.world.outside().timeout(LIMIT);
        let mut keep_alive = outside.keep_alive(at(CHANGING[0])).unwrap().unwrap();
        let backend = keep_alive.ask().result.unwrap().backend;
        before.outlast(FURTHER).unwrap();
        let before = before.stop().unwrap();
        assert!(before.failed() == 0 && before.answered() > 0, "{before:?}");
        let answered = || servers.iter().map(Server::answered).sum::<u64>();
        let last = answered();

        busy.stage.remove("service.yaml");
        run.changed();
        load.outlast(FURTHER);
        // Packets that nobody answers are no lost ones.
        let loaded = load.stop();
        let after = own.timeout(UNANSWERED).start(client).unwrap();
        after.outlast(FURTHER).unwrap();
        let after = after.stop().unwrap();
        let known = [Failure::TimedOut, Failure::Refused];
        assert!(
            after.answered() == 0 && after.failures.keys().all(|failure| known.contains(failure)),
            "{after:?}"
        );
        assert_eq!(answered(), last);
        let still = keep_alive.ask().result.map(|answer| answer.backend);
        assert_eq!(still.unwrap(), backend, "open connections live on");
        loaded
    });
}
