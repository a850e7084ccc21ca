//! From one mode to another, while clients connect and are connected.

/// To and from nftables mode. Those between the other two need a kernel with IPVS.
mod nftables {
    use crate::support::busy::{Busy, CHANGING, ENDPOINTS, ready};
    use crate::support::{CLUSTER_CIDR, LIMIT, Stage, alone, at, flawless, rate};
    use std::thread::sleep;
    use std::time::{Duration, Instant};
    use viprule_testkit::Mode;
    use viprule_testkit::dump::ForeignState;

    /// Connections a second, see [`rate`].
    const MANY: u32 = 1_000;
    /// Connections before a switch.
    const FURTHER: u64 = 300;

    /// Which modes have something in the kernel that serves.
    fn serving(stage: &Stage) -> Vec<Mode> {
        let list = stage.world.node().command("nft");
        let rules = list.args(["list", "ruleset"]).text().unwrap();
        let signs = [
            (Mode::Iptables, "chain KUBE-SVC-"),
            (Mode::Nftables, "table ip viprule"),
        ];
        let there = signs.into_iter().filter(|(_, sign)| rules.contains(sign));
        there.map(|(mode, _)| mode).collect()
    }

    #[test]
    fn modes_follow_each_other_without_a_failed_connection() {
        flawless(|| {
            let busy = Busy::new(alone());
            let stage = &busy.stage;
            let untouched = ForeignState::take(stage.world.node()).unwrap();
            let _servers = ENDPOINTS.map(|endpoint| busy.serve(endpoint));
            busy.write_service();
            busy.write_endpoints(ENDPOINTS.map(ready));
            let mut run = stage.start_as(Mode::Iptables, CLUSTER_CIDR);
            run.expect("first sync: ");
            let load = busy.load(rate(MANY), &CHANGING);
            let keep = || stage.world.outside().keep_alive(at(CHANGING[0]));
            let mut open = vec![keep().unwrap().unwrap()];
            for mode in [
                Mode::Nftables,
                Mode::Iptables,
                Mode::Nftables,
                Mode::Iptables,
                Mode::Nftables,
            ] {
                load.outlast(FURTHER);
                run.terminate();
                run = stage.start_as(mode, CLUSTER_CIDR);
                run.expect("first sync: ");
                let start = Instant::now();
                while serving(stage) != [mode] {
                    assert!(start.elapsed() < LIMIT, "{mode}: {:?}", serving(stage));
                    sleep(Duration::from_millis(20));
                }
                for connection in &mut open {
                    connection.ask().result.unwrap();
                }
                open.push(keep().unwrap().unwrap());
            }
            load.outlast(FURTHER);
            run.terminate();
            let loaded = load.stop();
            stage.cleanup();
            assert_eq!(serving(stage), []);
            let after = ForeignState::take(stage.world.node()).unwrap();
            assert_eq!(untouched, after, "{}", untouched.changes(&after));
            loaded
        });
    }
}
