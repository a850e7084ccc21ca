//! Scheduler, its flags and weights, by annotation.

use crate::scene::{
    CLUSTER_IP, ENDPOINTS, FLAGS, chosen, destinations, lives, rolling, serve, stage, wait_until,
    write_endpoints,
};
use crate::support::{Stage, at, shared};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use viprule_testkit::Protocol::Tcp;
use viprule_testkit::server::Server;

const SCHEDULER: &str = "ipvs.viprule.dev/scheduler";
const SCHEDULER_FLAGS: &str = "ipvs.viprule.dev/scheduler-flags";
const WEIGHTS: &str = "ipvs.viprule.dev/weights";

/// A node whose Service has these annotations and endpoints.
fn annotated(annotations: &[(&str, &str)], endpoints: &[&str]) -> (Stage, Vec<Server>) {
    let stage = stage(shared());
    write(&stage, annotations);
    write_endpoints(&stage, endpoints.iter().copied());
    let servers = endpoints.iter().map(|ip| serve(&stage, Tcp, ip)).collect();
    (stage, servers)
}

fn write(stage: &Stage, annotations: &[(&str, &str)]) {
    let service = annotations.iter().fold(rolling(), |service, (key, value)| {
        service.annotation(key, value)
    });
    stage.write("service.yaml", &service);
}

/// The Service's TCP server as `ipvsadm` prints it, from the scheduler on.
fn scheduler(stage: &Stage) -> String {
    let start = format!("-A -t {CLUSTER_IP} -s ");
    let servers = stage.servers().servers;
    let line = servers.iter().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("{servers:#?}")).to_owned()
}

/// Who answers the client's ports.
fn by_port(stage: &Stage, ports: impl Iterator<Item = u16>) -> BTreeMap<u16, SocketAddr> {
    let client = stage.world.outside();
    let answer = |port| {
        let source = SocketAddr::from(([192, 168, 77, 100], port));
        let attempt = client.tcp_from(source, at(CLUSTER_IP)).unwrap();
        (port, attempt.result.unwrap().backend)
    };
    ports.map(answer).collect()
}

#[test]
fn maglev_hashing_with_ports_leads_the_same_client_port_to_the_same_endpoint() {
    let (stage, _servers) = annotated(&[(SCHEDULER, "mh")], &ENDPOINTS);
    stage.apply(FLAGS);
    // Without the fallback the kernel would refuse whoever hashes to a destination that drains.
    assert_eq!(scheduler(&stage), "mh -b mh-fallback,mh-port");
    let first = by_port(&stage, 20_000..20_012);
    let used: BTreeSet<_> = first.values().collect();
    assert!(used.len() > 2, "ports tell: {first:?}");
    // In another order, so that no round robin could look like it.
    assert_eq!(by_port(&stage, (20_000..20_012).rev()), first);
    // Who loses an endpoint finds another one; the others keep theirs, but for a few.
    let gone = first[&20_000].ip().to_string();
    write_endpoints(&stage, ENDPOINTS.into_iter().filter(|ip| *ip != gone));
    stage.apply(FLAGS);
    let after = by_port(&stage, 20_000..20_012);
    assert!(
        after
            .values()
            .all(|backend| backend.ip().to_string() != gone)
    );
    let kept = first
        .iter()
        .filter(|(_, backend)| backend.ip().to_string() != gone);
    let (same, all) = kept.fold((0, 0), |(same, all), (port, backend)| {
        (same + usize::from(after[port] == *backend), all + 1)
    });
    assert!(same * 10 >= all * 7, "{same} of {all} keep their endpoint");
}

#[test]
fn without_ports_all_connections_of_a_client_go_to_one_endpoint() {
    let flags = [(SCHEDULER, "mh"), (SCHEDULER_FLAGS, "mh-fallback")];
    let (stage, _servers) = annotated(&flags, &ENDPOINTS);
    stage.apply(FLAGS);
    assert_eq!(scheduler(&stage), "mh -b mh-fallback");
    let answers = by_port(&stage, 20_000..20_012);
    assert_eq!(
        answers.values().collect::<BTreeSet<_>>().len(),
        1,
        "{answers:?}"
    );
}

#[test]
fn weights_are_shares() {
    let (stage, _servers) = annotated(&[(WEIGHTS, "10.244.0.91=3")], &ENDPOINTS[..2]);
    stage.apply(FLAGS);
    assert_eq!(scheduler(&stage), "wrr");
    let backends = ENDPOINTS.map(|ip| at(&format!("{ip}:8080")));
    let shares = [(backends[0], 30), (backends[1], 10)];
    assert_eq!(chosen(&stage, CLUSTER_IP, 40), shares.into());

    // By node and network, an address before a network before a node.
    write(
        &stage,
        &[(WEIGHTS, "node-1=5,10.244.1.0/24=2,10.244.1.91=4,node-0=1")],
    );
    write_endpoints(&stage, ENDPOINTS[..4].iter().copied());
    let _more: Vec<_> = ENDPOINTS[2..4]
        .iter()
        .map(|ip| serve(&stage, Tcp, ip))
        .collect();
    stage.apply(FLAGS);
    let weights = [1, 4, 1, 2];
    let expected = ENDPOINTS.map(str::to_owned).into_iter().zip(weights);
    assert_eq!(destinations(&stage, Tcp), expected.collect());
    let shares = backends.into_iter().zip(weights.map(u64::from));
    let shares = shares.map(|(backend, weight)| (backend, weight * 5));
    assert_eq!(chosen(&stage, CLUSTER_IP, 40), shares.collect());
}

#[test]
fn a_change_of_scheduler_and_weights_leaves_open_connections_alone() {
    let endpoints = &ENDPOINTS[..3];
    let (stage, _servers) = annotated(&[], endpoints);
    let mut run = stage.run(FLAGS);
    assert_eq!(scheduler(&stage), "rr");
    let mut open = crate::scene::connections(&stage, endpoints);
    let changes: [&[_]; 4] = [
        &[(SCHEDULER, "mh")],
        &[(SCHEDULER, "wlc"), (WEIGHTS, "node-0=9")],
        &[(WEIGHTS, "node-0=9")],
        &[],
    ];
    for (annotations, expected) in
        changes
            .into_iter()
            .zip(["mh -b mh-fallback,mh-port", "wlc", "wrr", "rr"])
    {
        write(&stage, annotations);
        run.changed();
        assert_eq!(scheduler(&stage), expected);
        for (backend, connection) in &mut open {
            lives(connection, backend);
        }
    }
}

#[test]
fn a_bad_annotation_counts_as_absent() {
    let bad = [(SCHEDULER, "the fastest"), (WEIGHTS, "10.244.0.91=0")];
    let (stage, _servers) = annotated(&bad, &ENDPOINTS[..2]);
    stage.apply(FLAGS);
    assert_eq!(scheduler(&stage), "rr");
    assert!(
        destinations(&stage, Tcp)
            .values()
            .all(|weight| *weight == 1)
    );
}

/// A name that no kernel has, and a scheduler that this one lacks: the endpoints follow.
#[test]
fn a_scheduler_that_is_not_there_gives_way_to_the_configured_one() {
    for name in ["wlcc", "twos"] {
        let (stage, _servers) = annotated(&[], &ENDPOINTS[..2]);
        let mut run = stage.run(&format!("{FLAGS} --ipvs-scheduler lc"));
        let is = |endpoints: &[&str]| {
            assert_eq!(scheduler(&stage), "lc", "{name}");
            let found: Vec<_> = destinations(&stage, Tcp).into_keys().collect();
            assert_eq!(found, endpoints, "{name}");
        };
        write(&stage, &[(SCHEDULER, name)]);
        write_endpoints(&stage, ENDPOINTS[..1].iter().copied());
        wait_until("endpoints follow", &stage, || {
            destinations(&stage, Tcp).len() == 1
        });
        is(&ENDPOINTS[..1]);
        run.said(&[name, "lc serves in its place"]);
        drop(run);
        run = stage.run(&format!("{FLAGS} --ipvs-scheduler lc"));
        is(&ENDPOINTS[..1]);
        write_endpoints(&stage, ENDPOINTS[..2].iter().copied());
        run.changed();
        is(&[ENDPOINTS[0], ENDPOINTS[1]]);
    }
}
