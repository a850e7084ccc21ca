//! All destinations of a Service are replaced under load.

use crate::scene::{
    CLUSTER_IP, ENDPOINTS, NODE_PORT, destinations, running, serve, write_endpoints,
};
use crate::support::{LIMIT, Watched, alone, at, flawless, rate};
use std::collections::VecDeque;
use std::time::Duration;
use viprule_testkit::Protocol::Tcp;
use viprule_testkit::client::{KeptLoad, Load};

/// Connections a second, see [`rate`].
const MANY: u32 = 2_000;
/// Connections that stay open, and how long each pauses between requests.
const KEPT: (usize, Duration) = (12, Duration::from_millis(40));
/// Connections for which a pod goes on after its endpoint is gone.
const FURTHER: u64 = 300;

/// One endpoint after the other is replaced, the new one first, until none of the first is left.
#[test]
fn replacing_all_destinations_costs_no_connection() {
    let targets = [CLUSTER_IP, NODE_PORT].map(at);
    flawless(|| {
        let (old, new) = ENDPOINTS.split_at(3);
        let (stage, mut run, servers) = running(alone(), old, "");
        let mut current: VecDeque<_> = old.iter().copied().zip(servers).collect();
        let client = stage.world.client();
        let load = Watched::start(&stage.world, Load::new(rate(MANY), targets));
        let kept = KeptLoad::new(KEPT.0, KEPT.1, targets).timeout(LIMIT);
        let kept = kept.start(client).unwrap();
        load.outlast(FURTHER);
        for next in new {
            current.push_back((next, serve(&stage, Tcp, next)));
            write_endpoints(&stage, current.iter().map(|(ip, _)| *ip));
            run.changed();
            let (gone, server) = current.pop_front().unwrap();
            write_endpoints(&stage, current.iter().map(|(ip, _)| *ip));
            run.changed();
            let weight = destinations(&stage, Tcp).get(gone).copied();
            assert!(matches!(weight, None | Some(0)), "{gone} has {weight:?}");
            load.outlast(FURTHER);
            // Its open connections are closed; clients open others.
            drop(server);
        }
        load.outlast(FURTHER);
        let kept = kept.stop();
        assert!(kept.answered > 0 && kept.closed > 0, "{kept:?}");
        assert_eq!(kept.failed(), 0, "{kept:?}");
        load.stop()
    });
}
