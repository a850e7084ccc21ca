//! What a Service was sent, as /metrics/services tells it and as the kernel counted it.

use crate::scene::{CLUSTER_IP, ENDPOINTS, NODE_PORT, chosen, destinations, running, wait_until};
use crate::support::{Stage, shared};
use std::collections::BTreeMap;
use viprule_testkit::Protocol::Tcp;
use viprule_testkit::cluster::{METRICS_PORT, http_get};

/// The series of the Service under test: connections, and packets and bytes by direction.
fn series(stage: &Stage) -> BTreeMap<String, u64> {
    let (status, text) = http_get(stage.world.node(), METRICS_PORT, "/metrics/services").unwrap();
    assert_eq!(status, 200, "{text}");
    let lines = text
        .lines()
        .filter(|line| line.contains("service=\"rolling\""));
    let parse = |line: &str| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let direction = series.split("direction=\"").nth(1);
        let direction = direction.map_or("", |rest| rest.split('"').next().unwrap());
        let name = series
            .split('{')
            .next()
            .unwrap()
            .trim_start_matches("viprule_service_");
        (
            format!("{name} {direction}").trim_end().to_owned(),
            value.parse().unwrap(),
        )
    };
    lines.map(parse).collect()
}

/// The sums of `ipvsadm -Ln --stats --exact` over virtual servers: connections, packets in and out,
/// bytes in and out.
fn kernel(stage: &Stage) -> [u64; 5] {
    let command = stage.world.node().command("ipvsadm");
    let text = command
        .args(["-L", "-n", "--stats", "--exact"])
        .text()
        .unwrap();
    let servers = text.lines().filter(|line| {
        ["TCP ", "UDP ", "SCTP "]
            .iter()
            .any(|start| line.starts_with(start))
    });
    let mut sums = [0; 5];
    for line in servers {
        let counts = line
            .split_whitespace()
            .skip(2)
            .map(|word| word.parse::<u64>().unwrap());
        sums.iter_mut()
            .zip(counts)
            .for_each(|(sum, count)| *sum += count);
    }
    sums
}

#[test]
fn what_a_service_was_sent_is_counted() {
    let endpoints = &ENDPOINTS[..2];
    let (stage, _run, _servers) = running(shared(), endpoints, "");
    assert_eq!(series(&stage)["connections_total"], 0);
    chosen(&stage, CLUSTER_IP, 30);
    chosen(&stage, NODE_PORT, 12);
    // The kernel sums up every two seconds.
    wait_until("all connections are counted", &stage, || {
        series(&stage)["connections_total"] == 42
    });
    let counted = series(&stage);
    let expected = kernel(&stage);
    let order = ["connections_total", "packets_total in", "packets_total out"];
    let order = order
        .into_iter()
        .chain(["bytes_total in", "bytes_total out"]);
    let found: Vec<_> = order.map(|series| counted[series]).collect();
    assert_eq!(found, expected);
    assert!(expected.iter().all(|count| *count > 0), "{expected:?}");
    assert_eq!(destinations(&stage, Tcp).len(), endpoints.len());
}
