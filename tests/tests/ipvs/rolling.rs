//! All destinations of a Service are replaced under load.

use crate::scene::{
    CLUSTER_IP, ENDPOINTS, NODE_PORT, destinations, running, serve, write_endpoints,
};
use crate::support::{Loaded, alone, at, flawless, rate};
use std::collections::VecDeque;
use std::thread::sleep;
use std::time::Duration;
use viprule_testkit::Protocol::Tcp;
use viprule_testkit::client::{KeptLoad, Load};

/// Connections a second, see [`rate`].
const MANY: u32 = 2_000;
/// Connections that stay open, and how long each pauses between requests.
const KEPT: (usize, Duration) = (12, Duration::from_millis(40));
/// How long a pod goes on after its endpoint is gone.
const GRACE: Duration = Duration::from_millis(700);
/// The kernel repeats a SYN after one second.
const REPEATED: Duration = Duration::from_millis(950);

/// One endpoint after the other is replaced, the new one first, until none of the first is left.
#[test]
fn replacing_all_destinations_costs_no_connection() {
    let targets = [CLUSTER_IP, NODE_PORT].map(at);
    flawless(|| {
        let (old, new) = ENDPOINTS.split_at(3);
        let (stage, mut run, servers) = running(alone(), old, "");
        let mut current: VecDeque<_> = old.iter().copied().zip(servers).collect();
        let client = stage.world.client();
        let load = Load::new(rate(MANY), targets).timeout(Duration::from_secs(10));
        let load = load.start(client).unwrap();
        let kept = KeptLoad::new(KEPT.0, KEPT.1, targets)
            .start(client)
            .unwrap();
        sleep(GRACE);
        for next in new {
            current.push_back((next, serve(&stage, Tcp, next)));
            write_endpoints(&stage, current.iter().map(|(ip, _)| *ip));
            run.changed();
            let (gone, server) = current.pop_front().unwrap();
            write_endpoints(&stage, current.iter().map(|(ip, _)| *ip));
            run.changed();
            let weight = destinations(&stage, Tcp).get(gone).copied();
            assert!(matches!(weight, None | Some(0)), "{gone} has {weight:?}");
            sleep(GRACE);
            // Its open connections are closed; clients open others.
            drop(server);
        }
        sleep(GRACE);
        let (kept, report) = (kept.stop(), load.stop().unwrap());
        assert!(kept.answered > 0 && kept.closed > 0, "{kept:?}");
        assert_eq!(kept.failed(), 0, "{kept:?}");
        assert!(kept.slowest < REPEATED || report.starved(), "{kept:?}");
        Loaded::from(report)
    });
}
