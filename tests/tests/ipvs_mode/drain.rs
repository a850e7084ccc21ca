//! Destinations that are wanted no more: no new connection gets there, and the open ones live.

use crate::scene::{
    CLUSTER_IP, DNS, ENDPOINTS, FLAGS, NODE_PORT, chosen, connections, destinations, lives,
    rolling, running, serve, stage, wait_until, write_endpoints,
};
use crate::support::{Stage, at, shared};
use std::thread::sleep;
use std::time::Duration;
use viprule_testkit::Protocol::{Sctp, Tcp, Udp};
use viprule_testkit::client::KeepAlive;

/// The endpoints that are left of these without one.
fn without<'e>(endpoints: &[&'e str], gone: &str) -> Vec<&'e str> {
    let left = endpoints.iter().copied().filter(|ip| *ip != gone);
    left.collect()
}

/// Fails if a new connection gets to this endpoint.
#[track_caller]
fn gets_nothing_new(stage: &Stage, endpoint: &str) {
    let chosen = chosen(stage, CLUSTER_IP, 12);
    assert!(
        !chosen.contains_key(&at(&format!("{endpoint}:8080"))),
        "{chosen:?}"
    );
}

#[test]
fn a_destination_drains_until_its_last_connection_ends() {
    let all = &ENDPOINTS[..3];
    let (stage, mut run, _servers) = running(shared(), all, "");
    let mut open = connections(&stage, all);
    let gone = all[0];
    let left = without(all, gone);
    write_endpoints(&stage, left.iter().copied());
    run.changed();
    assert_eq!(destinations(&stage, Tcp).get(gone), Some(&0));
    gets_nothing_new(&stage, gone);
    // Longer than anything but a connection could hold it.
    sleep(Duration::from_secs(3));
    lives(open.get_mut(gone).unwrap(), gone);
    assert_eq!(destinations(&stage, Tcp).get(gone), Some(&0));

    open.remove(gone);
    wait_until("the end of the drain", &stage, || {
        !destinations(&stage, Tcp).contains_key(gone)
    });
    assert_eq!(destinations(&stage, Tcp).len(), left.len());
}

#[test]
fn a_destination_without_connections_is_removed_at_once() {
    let all = &ENDPOINTS[..3];
    let (stage, mut run, _servers) = running(shared(), all, "");
    write_endpoints(&stage, all[1..].iter().copied());
    run.changed();
    let left: Vec<_> = destinations(&stage, Tcp).into_keys().collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(!left.contains(&all[0].to_owned()));
}

#[test]
fn an_endpoint_that_comes_back_is_restored_at_once() {
    let all = &ENDPOINTS[..3];
    let (stage, mut run, _servers) = running(shared(), all, "");
    let mut open = connections(&stage, all);
    for _ in 0..3 {
        write_endpoints(&stage, without(all, all[1]));
        run.changed();
        assert_eq!(destinations(&stage, Tcp).get(all[1]), Some(&0));
        write_endpoints(&stage, all.iter().copied());
        run.changed();
        assert_eq!(destinations(&stage, Tcp).get(all[1]), Some(&1));
        assert_eq!(chosen(&stage, CLUSTER_IP, 12).len(), all.len());
        lives(open.get_mut(all[1]).unwrap(), all[1]);
    }
}

#[test]
fn an_endpoint_that_comes_back_while_nobody_runs_is_restored_by_the_next_start() {
    let all = &ENDPOINTS[..3];
    let (stage, mut run, _servers) = running(shared(), all, "");
    let mut open = connections(&stage, all);
    write_endpoints(&stage, without(all, all[2]));
    run.changed();
    assert_eq!(destinations(&stage, Tcp).get(all[2]), Some(&0));
    run.kill();
    write_endpoints(&stage, all.iter().copied());
    let _run = stage.run(FLAGS);
    assert_eq!(destinations(&stage, Tcp).get(all[2]), Some(&1));
    lives(open.get_mut(all[2]).unwrap(), all[2]);
}

/// Killed before the change is seen, in the midst of it, and later; each time another endpoint is
/// gone, and one more start follows.
#[test]
fn a_drain_survives_the_agents_death_at_any_moment() {
    const MOMENTS: [Duration; 5] = [
        Duration::ZERO,
        Duration::from_millis(15),
        Duration::from_millis(60),
        Duration::from_millis(200),
        Duration::from_millis(800),
    ];
    let (stage, mut run, _servers) = running(shared(), &ENDPOINTS, "");
    let mut open = connections(&stage, &ENDPOINTS);
    for (number, moment) in MOMENTS.into_iter().enumerate() {
        let gone = ENDPOINTS[number];
        write_endpoints(&stage, ENDPOINTS[number + 1..].iter().copied());
        sleep(moment);
        run.kill();
        lives(open.get_mut(gone).unwrap(), gone);
        // The successor as well, on its way to a first sync.
        let mut next = stage.start(FLAGS);
        sleep(moment);
        next.kill();
        run = stage.run(FLAGS);
        for (backend, connection) in &mut open {
            lives(connection, backend);
        }
        assert_eq!(destinations(&stage, Tcp).get(gone), Some(&0), "{moment:?}");
        gets_nothing_new(&stage, gone);
    }
    let last = ENDPOINTS[MOMENTS.len()];
    open.clear();
    wait_until("the end of all drains", &stage, || {
        destinations(&stage, Tcp).into_keys().eq([last.to_owned()])
    });
    stage.assert_in_sync(FLAGS);
}

#[test]
fn a_drain_ends_with_its_time() {
    let all = &ENDPOINTS[..2];
    let (stage, mut run, _servers) = running(shared(), all, "--ipvs-drain-timeout 2s");
    let mut open = connections(&stage, all);
    write_endpoints(&stage, [all[1]]);
    run.changed();
    wait_until("the end of its time", &stage, || {
        !destinations(&stage, Tcp).contains_key(all[0])
    });
    let ended = open.get_mut(all[0]).unwrap().ask();
    assert!(ended.failure().is_some(), "{ended:?}");
    lives(open.get_mut(all[1]).unwrap(), all[1]);
}

#[test]
fn udp_destinations_are_removed_at_once() {
    let all = &ENDPOINTS[..2];
    let (stage, mut run, _tcp) = running(shared(), all, "");
    let _servers: Vec<_> = all.iter().map(|ip| serve(&stage, Udp, ip)).collect();
    let mut flows: Vec<_> = (0..4)
        .map(|_| stage.world.outside().udp_flow(at(DNS)).unwrap().unwrap())
        .collect();
    let first = |flow: &mut viprule_testkit::client::UdpFlow| flow.ask().result.unwrap().backend;
    assert!(
        flows
            .iter_mut()
            .any(|flow| first(flow).ip().to_string() == all[0])
    );
    write_endpoints(&stage, [all[1]]);
    run.changed();
    assert_eq!(destinations(&stage, Udp), [(all[1].to_owned(), 1)].into());
    // Whoever goes on sending is answered by the one that is left, from the second datagram on.
    for flow in &mut flows {
        let first = flow.ask_within(Duration::from_secs(3)).result;
        let answered = first.or_else(|_| flow.ask().result).unwrap();
        assert_eq!(answered.backend.ip().to_string(), all[1]);
    }
}

#[test]
fn sctp_destinations_drain() {
    let all = &ENDPOINTS[..2];
    // The kernel remembers what began as an association for a minute. What is looked at before the
    // drain ends has to be done within this time.
    let (stage, mut run, _tcp) = running(shared(), all, "--ipvs-drain-timeout 30s");
    let _servers: Vec<_> = all.iter().map(|ip| serve(&stage, Sctp, ip)).collect();
    let client = stage.world.outside();
    let spread = client.spread(Sctp, at(CLUSTER_IP), 6).unwrap();
    assert_eq!(
        (spread.failed(), spread.backends.len()),
        (0, 2),
        "{spread:?}"
    );
    write_endpoints(&stage, [all[1]]);
    run.changed();
    assert_eq!(
        destinations(&stage, Sctp).get(all[0]),
        Some(&0),
        "associations begin"
    );
    let spread = client.spread(Sctp, at(CLUSTER_IP), 6).unwrap();
    let only = [(at(&format!("{}:8080", all[1])), 6)];
    assert_eq!(spread.backends, only.into());
    wait_until("the end of the drain", &stage, || {
        !destinations(&stage, Sctp).contains_key(all[0])
    });
}

/// Connections to the Service's virtual servers, none of which is wanted any more.
fn open_at(stage: &Stage, targets: &[&str]) -> Vec<(KeepAlive, String)> {
    let client = stage.world.outside();
    let open = targets.iter().map(|target| {
        let mut connection = client.keep_alive(at(target)).unwrap().unwrap();
        let backend = connection.ask().result.unwrap().backend.ip().to_string();
        (connection, backend)
    });
    open.collect()
}

#[test]
fn connections_outlive_their_service_and_nobody_gets_in_any_more() {
    const EXTERNAL: &str = "203.0.113.90:80";
    let targets = [CLUSTER_IP, EXTERNAL, NODE_PORT];
    let stage = stage(shared());
    let external = rolling().external_ip("203.0.113.90");
    stage.write("service.yaml", &external);
    write_endpoints(&stage, ENDPOINTS[..2].iter().copied());
    let _servers: Vec<_> = ENDPOINTS[..2]
        .iter()
        .map(|ip| serve(&stage, Tcp, ip))
        .collect();
    let flags = format!("{FLAGS} --ipvs-sync-period 1s --allow-empty");
    let mut run = stage.run(&flags);
    let mut open = open_at(&stage, &targets);
    let all_live = |open: &mut Vec<(KeepAlive, String)>| {
        for (connection, backend) in open {
            lives(connection, backend);
        }
    };
    let refuses = |target: &str| {
        let client = stage.world.outside();
        client.keep_alive(at(target)).unwrap().is_err()
    };

    // One address goes.
    stage.write("service.yaml", &rolling());
    run.changed();
    all_live(&mut open);
    assert!(refuses(EXTERNAL) && !refuses(CLUSTER_IP) && !refuses(NODE_PORT));
    // It comes back.
    stage.write("service.yaml", &external);
    run.changed();
    all_live(&mut open);
    assert!(!refuses(EXTERNAL));
    // All of it goes, and nobody takes what waits for something that another program did.
    stage.remove("service.yaml");
    run.changed();
    all_live(&mut open);
    assert!(targets.into_iter().all(refuses));
    sleep(Duration::from_secs(3));
    let outcomes = run.outcomes();
    let repairs = outcomes.iter().filter(|it| {
        let unasked = ["timer: ", "repair: "];
        unasked.iter().any(|what| it.message.starts_with(what)) && it.counts() != [0; 3]
    });
    assert_eq!(repairs.count(), 0, "{outcomes:?}");
    run.kill();
    run = stage.run(&flags);
    all_live(&mut open);
    assert!(targets.into_iter().all(refuses));
    // Each server goes with its last connection, its address with it.
    open.remove(1);
    wait_until("the end of the external IP", &stage, || {
        !stage.servers().to_string().contains("203.0.113.90")
    });
    all_live(&mut open);
    open.clear();
    wait_until("the end of all of it", &stage, || {
        stage.servers().servers.is_empty()
    });
    stage.assert_in_sync(FLAGS);
    drop(run);
}
