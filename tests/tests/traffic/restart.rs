//! The agent may die at any moment: what it wrote stays, and its successor knows it.

use crate::support::busy::{Busy, CHANGING, ENDPOINTS, ready};
use crate::support::{CLUSTER_CIDR, Turn, alone, flawless, rate, shared};
use std::hash::{BuildHasher as _, RandomState};
use std::thread::sleep;
use std::time::{Duration, Instant};
use viprule_testkit::server::Server;

/// Connections a second, see [`rate`].
const MANY: u32 = 1_000;
const KILLS: usize = 20;

/// A Service with endpoints beside those that don't change, and the agent's first sync done. How
/// long the agent took for it.
fn started(turn: Turn) -> (Busy, Vec<Server>, Duration) {
    let busy = Busy::new(turn);
    let servers = ENDPOINTS.map(|endpoint| busy.serve(endpoint)).into();
    busy.write_service();
    busy.write_endpoints(ENDPOINTS.map(ready));
    let start = Instant::now();
    busy.run().kill();
    let took = start.elapsed();
    (busy, servers, took)
}

/// A moment before or shortly after the end of what takes `span`, different each time.
fn moment(span: Duration) -> Duration {
    let share = RandomState::new().hash_one(()) % 1500;
    span * u32::try_from(share).unwrap() / 1000
}

#[test]
fn a_restart_costs_no_connection_and_writes_nothing() {
    flawless(|| {
        let (busy, _servers, span) = started(alone());
        let before = busy.stage.state();
        let load = busy.load(rate(MANY), &CHANGING);
        let mut synced = 0;
        for _ in 0..KILLS {
            let mut run = busy.stage.start(CLUSTER_CIDR);
            sleep(moment(span));
            run.kill();
            for outcome in run.outcomes() {
                assert_eq!(outcome.counts(), [0; 3], "{outcome:?}");
                synced += 1;
            }
        }
        // One that surely gets there.
        let first = busy.stage.start(CLUSTER_CIDR).expect("first sync: ");
        assert_eq!(first.message, "first sync: nothing to write");
        assert_eq!(busy.stage.state(), before, "{synced} of {KILLS} had synced");
        load.stop()
    });
}

#[test]
fn dying_amid_changes_costs_no_connection_and_leaves_nothing_for_good() {
    flawless(|| {
        let (busy, _servers, span) = started(alone());
        let load = busy.load(rate(MANY), &CHANGING);
        for kill in 0..KILLS {
            // Each start finds another endpoint gone, and a change comes while it starts.
            let [one, other] = [kill % ENDPOINTS.len(), (kill + 1) % ENDPOINTS.len()];
            busy.write_endpoints([ready(ENDPOINTS[one])]);
            let mut run = busy.stage.start(CLUSTER_CIDR);
            let die = moment(span);
            sleep(die / 2);
            busy.write_endpoints([ready(ENDPOINTS[other]), ready(ENDPOINTS[one])]);
            sleep(die / 2);
            run.kill();
        }
        busy.write_endpoints(ENDPOINTS.map(ready));
        let mut run = busy.run();
        busy.stage.assert_in_sync(CLUSTER_CIDR);
        run.terminate();
        load.stop()
    });
}

#[test]
fn a_gentle_end_leaves_everything_in_place() {
    let (busy, _servers, _) = started(shared());
    let before = busy.stage.state();
    busy.run().terminate();
    assert_eq!(busy.stage.state(), before);
}
