//! Changes under load: whoever isn't concerned notices nothing.

use crate::support::busy::{Busy, CHANGING, ENDPOINTS, ready};
use crate::support::{Loaded, alone, at, flawless, rate};
use std::thread::sleep;
use std::time::{Duration, Instant};
use viprule_testkit::Mode;
use viprule_testkit::client::{Failure, Load};
use viprule_testkit::server::Server;

/// Connections a second, see [`rate`].
const MANY: u32 = 2_000;
/// Times that something comes and goes within one load.
const CYCLES: usize = 3;
const WHILE: Duration = Duration::from_millis(200);

/// All of the changing Service is there and served.
fn complete() -> (Busy, Vec<Server>) {
    let busy = Busy::new(alone());
    let servers = ENDPOINTS.map(|endpoint| busy.serve(endpoint)).into();
    busy.write_service();
    busy.write_endpoints(ENDPOINTS.map(ready));
    (busy, servers)
}

/// When these servers give their last answer, from now on. Nobody is under way any more then.
fn last_answer(servers: &[Server]) -> Duration {
    const LIMIT: Duration = Duration::from_secs(5);
    let changed = Instant::now();
    let (mut then, mut last) = (answered(servers), Duration::ZERO);
    while changed.elapsed() < last + WHILE && last < LIMIT {
        sleep(Duration::from_millis(2));
        let now = answered(servers);
        if now != then {
            (then, last) = (now, changed.elapsed());
        }
    }
    last
}

/// Stops a server as a pod does that ends, a while after the rules have ceased to lead to it.
/// Returns for how long it still gave answers.
fn retire(server: Server) -> Duration {
    last_answer(&[server])
}

/// Fails unless somebody connects.
#[track_caller]
fn is_used(server: &Server) {
    const PATIENCE: Duration = Duration::from_secs(5);
    let (start, then) = (Instant::now(), server.answered());
    sleep(WHILE);
    while server.answered() == then {
        let waited = start.elapsed();
        assert!(
            waited < PATIENCE,
            "no connections to {:?}",
            server.address()
        );
        sleep(Duration::from_millis(5));
    }
}

fn answered(servers: &[Server]) -> u64 {
    servers.iter().map(Server::answered).sum()
}

#[test]
fn an_endpoint_that_goes_and_comes_back_costs_no_connection() {
    flawless(|| {
        let (busy, mut servers) = complete();
        let mut run = busy.run();
        let load = busy.load(rate(MANY), &CHANGING);
        let mut quiet_after = Duration::ZERO;
        sleep(WHILE);
        for cycle in 0..CYCLES {
            // Each of them in turn: first, middle and last place in the chain.
            let gone = ENDPOINTS[cycle];
            is_used(&servers[cycle]);
            busy.write_endpoints(ENDPOINTS.into_iter().filter(|ip| *ip != gone).map(ready));
            run.changed();
            let server = servers.remove(cycle);
            quiet_after = quiet_after.max(retire(server));
            servers.insert(cycle, busy.serve(gone));
            busy.write_endpoints(ENDPOINTS.map(ready));
            run.changed();
            is_used(&servers[cycle]);
        }
        let report = load.stop().unwrap();
        Loaded {
            report,
            quiet_after,
        }
    });
}

#[test]
fn an_endpoint_that_is_not_ready_any_more_costs_no_connection() {
    flawless(|| {
        let (busy, mut servers) = complete();
        let mut run = busy.run();
        let load = busy.load(rate(MANY), &CHANGING);
        let mut quiet_after = Duration::ZERO;
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
            quiet_after = quiet_after.max(retire(servers.remove(cycle)));
            servers.insert(cycle, busy.serve(ENDPOINTS[cycle]));
            busy.write_endpoints(ENDPOINTS.map(ready));
            run.changed();
        }
        let report = load.stop().unwrap();
        Loaded {
            report,
            quiet_after,
        }
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
        let mut quiet_after = Duration::ZERO;
        for next in [ENDPOINTS[2], ENDPOINTS[1], ENDPOINTS[0]] {
            let successor = busy.serve(next);
            busy.write_endpoints([ready(next)]);
            run.changed();
            quiet_after = quiet_after.max(retire(std::mem::replace(&mut server, successor)));
            is_used(&server);
        }
        let report = load.stop().unwrap();
        Loaded {
            report,
            quiet_after,
        }
    });
}

#[test]
fn a_service_that_comes_answers_from_its_first_connection() {
    flawless(|| {
        let (busy, _servers) = complete();
        busy.stage.remove("service.yaml");
        let mut run = busy.run();
        let load = busy.load(rate(MANY), &[]);
        sleep(WHILE);
        busy.write_service();
        run.changed();
        // As soon as it is in the kernel.
        let targets = CHANGING.map(at);
        let new = Load::new(rate(MANY) / 4, targets).timeout(Duration::from_secs(10));
        let new = new.start(busy.stage.world.client()).unwrap();
        sleep(2 * WHILE);
        let (report, new) = (load.stop().unwrap(), new.stop().unwrap());
        assert_eq!(new.backends.len(), ENDPOINTS.len(), "{:?}", new.backends);
        assert_eq!(
            new.failed(),
            0,
            "{:?} {:?}",
            new.failures,
            new.examples.first()
        );
        report.into()
    });
}

#[test]
fn a_service_that_goes_takes_only_its_own_connections_along() {
    /// The load counts from a moment shortly after it is told to start.
    const CLOCKS: Duration = Duration::from_millis(50);
    flawless(|| {
        let (busy, servers) = complete();
        let mut run = busy.run();
        let load = busy.load(rate(MANY) - rate(MANY) / 8, &[]);
        // A connection that waits a second for a lost packet is no failure.
        let own = Load::new(rate(MANY) / 8, CHANGING.map(at)).timeout(Duration::from_millis(1500));
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
        let quiet_after = last_answer(&servers);
        sleep(WHILE);
        let still = keep_alive.ask().result.map(|answer| answer.backend);
        match Mode::of_this_run() {
            Mode::Iptables => assert_eq!(still.unwrap(), backend, "open connections live on"),
            // A virtual server takes its connections along (contract 3.7).
            Mode::Ipvs => assert!(still.is_err(), "{still:?}"),
        }
        let (report, own) = (load.stop().unwrap(), own.stop().unwrap());

        let early = own
            .examples
            .iter()
            .find(|sample| sample.at + CLOCKS < removal);
        assert!(
            early.is_none() || own.starved(),
            "failed before the removal: {early:?}"
        );
        let least = u64::from(rate(MANY) / 8) * 2 / 5 * 9 / 10;
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
        Loaded {
            report,
            quiet_after,
        }
    });
}
