//! A change of mode, step by step: whoever connects between two of them is answered.

use crate::scene::{
    CLUSTER_IP, ENDPOINTS, FLAGS, NODE_PORT, rolling, serve, stage, write_endpoints,
};
use crate::support::{Stage, Turn, at, shared};
use std::collections::BTreeSet;
use viprule_dataplane::ipvs::Desired;
use viprule_dataplane::{Diff, Fingerprint, ObjectKey as _, Scope, State, diff, netfilter};
use viprule_testkit::Mode::{self, Iptables, Ipvs};
use viprule_testkit::Protocol::Tcp;
use viprule_testkit::dump::Tables;
use viprule_testkit::steps::{OF_IPVS, of_ipvs as step};
use viprule_testkit::topology::Syns;
use viprule_writer::backend::{Backend, HostWriter};
use viprule_writer::ipvs::host::IpvsSettings;
use viprule_writer::ipvs::{Former, IpvsWriter};
use viprule_writer::{Tag, Writer as _};

/// A node as this mode leaves it.
fn applied(turn: Turn, mode: Mode) -> Stage {
    let stage = stage(turn);
    stage.write("service.yaml", &rolling());
    write_endpoints(&stage, ENDPOINTS[..4].iter().copied());
    stage.apply_as(mode, FLAGS);
    stage
}

fn backend() -> Backend {
    match Tables::of_this_kernel() {
        Tables::Nft => Backend::Nft,
        Tables::Legacy => Backend::Legacy,
    }
}

/// All that is there of IPVS mode, and chains of any mode.
fn observe(stage: &Stage) -> (IpvsWriter, Desired) {
    let look = || {
        let mut writer = IpvsWriter::open(backend(), &nfnetlink::Family::ALL).unwrap();
        let found = writer.observe(&Scope::Everything).unwrap();
        (writer, found)
    };
    stage.world.node().run(look).unwrap()
}

/// Fails unless new connections from outside get to all endpoints, each with its first packet.
#[track_caller]
fn serves(stage: &Stage, syns: &Syns<'_>, when: &str) {
    for target in [CLUSTER_IP, NODE_PORT] {
        let outside = stage.world.outside().timeout(crate::support::LIMIT);
        let mut met = BTreeSet::new();
        // By chance in iptables mode: so many miss one of four once in 10^11 times.
        for _ in 0..100 {
            let answer = outside.tcp(at(target)).unwrap().result;
            met.insert(
                answer
                    .unwrap_or_else(|why| panic!("{when}: {target}: {why:?}"))
                    .backend,
            );
            if met.len() == 4 {
                break;
            }
        }
        assert_eq!(met.len(), 4, "{when}: {target}");
    }
    assert_eq!(syns.missing().unwrap(), 0, "{when}");
}

#[test]
fn who_connects_while_ipvs_mode_takes_over_is_answered() {
    let wanted = observe(&applied(shared(), Ipvs)).1;
    let stage = applied(shared(), Iptables);
    let servers = ENDPOINTS[..4].iter().map(|ip| serve(&stage, Tcp, ip));
    let _servers: Vec<_> = servers.collect();
    let settings = IpvsSettings::default();
    let node = stage.world.node();
    node.run(|| viprule_writer::ipvs::host::apply(&settings))
        .unwrap();
    let syns = stage.world.count_syns().unwrap();
    serves(&stage, &syns, "before");
    let (mut writer, held) = observe(&stage);
    let held = held.fingerprints();
    for now in 0..OF_IPVS {
        let mut part = diff(&held, &wanted);
        part.writes.retain(|it| step(it.key) == now);
        part.deletes
            .retain(|(key, _)| step(key) == now && key.is_removable());
        assert!(
            now + 1 == OF_IPVS || part.deletes.is_empty(),
            "{:?}",
            part.deletes
        );
        let written = node.run(|| {
            writer.stage(Tag(0), &part).unwrap();
            writer.commit()
        });
        written.unwrap().unwrap();
        serves(&stage, &syns, &format!("after step {now}"));
    }
    stage.assert_in_sync(FLAGS);
}

#[test]
fn who_connects_while_iptables_mode_takes_over_is_answered() {
    let look = |stage: &Stage| {
        let look = || {
            let mut writer = HostWriter::open(backend(), &nfnetlink::Family::ALL).unwrap();
            let state: State<netfilter::Key, netfilter::Object> =
                writer.observe(&Scope::Everything).unwrap();
            (writer, state)
        };
        stage.world.node().run(look).unwrap()
    };
    let wanted = look(&applied(shared(), Iptables)).1;
    let stage = applied(shared(), Ipvs);
    let servers = ENDPOINTS[..4].iter().map(|ip| serve(&stage, Tcp, ip));
    let _servers: Vec<_> = servers.collect();
    let syns = stage.world.count_syns().unwrap();
    serves(&stage, &syns, "before");
    let node = stage.world.node();
    // Its rules count.
    node.run(|| viprule_writer::netfilter::probe(true))
        .unwrap()
        .unwrap();
    let (mut writer, held) = look(&stage);
    let held: State<_, Fingerprint> = held.fingerprints();
    let mut part: Diff<'_, _, _, _> = diff(&held, &wanted);
    part.deletes.retain(|(key, _)| key.is_removable());
    let written = node.run(|| {
        writer.stage(Tag(0), &part).unwrap();
        writer.commit()
    });
    written.unwrap().unwrap();
    serves(&stage, &syns, "with the new rules");
    assert!(!stage.servers().is_empty(), "they are still there");
    let mut former = node
        .run(|| Former::find(&nfnetlink::Family::ALL))
        .unwrap()
        .unwrap()
        .unwrap();
    former.set_drain_timeout(Some(std::time::Duration::ZERO));
    for round in 0.. {
        let progress = node.run(|| former.drain()).unwrap().unwrap();
        serves(&stage, &syns, &format!("after round {round} of the drain"));
        if progress.next.is_none() {
            break;
        }
        assert!(round < 1000, "{progress:?}");
    }
    assert!(stage.servers().is_empty(), "{}", stage.servers());
}
