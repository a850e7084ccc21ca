//! What the agent follows of its node without a restart.

use serde_json::json;
use viprule_testkit::agent::{Agent, viprule_binary};
use viprule_testkit::cluster::{Cluster, ProxyConfig, http_get, kernel, node_object};
use viprule_testkit::k8s_openapi::api::core::v1::Node;
use viprule_testkit::manifests::{endpoint, service, slice};

use super::support::{LIMIT, Running, rules, run, start, viprule};

const CHECK: u16 = 32_050;

#[test]
fn the_rules_follow_the_node() {
    let cluster = Cluster::start(2).unwrap();
    let api = cluster.api().unwrap();
    // Whatever happens to node-1's object, node-0's agent has nothing to do with it.
    let web = service("web").cluster_ip("10.1.0.10").tcp("", 80, 8080);
    api.apply(web.node_port(30_010).json()).unwrap();
    let hinted = |last: u8, zone: &str| endpoint(&format!("10.244.0.{last}")).hint_zone(zone);
    let endpoints = slice("web-1", "web").tcp("", 8080);
    let endpoints = endpoints.endpoint(hinted(10, "zone-0").node("node-0"));
    let endpoints = endpoints.endpoint(hinted(11, "zone-9").node("node-0"));
    api.apply(endpoints.json()).unwrap();
    let edge = service("edge").cluster_ip("10.1.0.11").tcp("", 80, 8080);
    let edge = edge.load_balancer("203.0.113.11").external_local();
    api.apply(edge.health_check(CHECK).json()).unwrap();
    let endpoints = slice("edge-1", "edge").tcp("", 8080);
    api.apply(endpoints.ready("10.244.0.12", "node-0").json())
        .unwrap();

    let config = |number| cluster.proxy_config(number).unwrap();
    let all = config(0).set("/nodePortAddresses", json!(["primary"]));
    let mut running = run(&cluster, 0, &all);
    running.wait_for_line("health check listens on 192.168.77.2:");
    let lines = running.agent.lines();
    let elsewhere = |line: &String| line.contains("health check listens on 0.0.0.0");
    assert!(!lines.iter().any(elsewhere), "not for a moment: {lines:#?}");
    the_zone_chooses_endpoints(&cluster, &mut running);
    node_ports_follow_the_primary_address(&cluster, &mut running);
    running.terminate();

    let networks = json!(["192.168.77.0/24", "192.168.78.0/24"]);
    let mut running = run(&cluster, 0, &config(0).set("/nodePortAddresses", networks));
    node_ports_follow_interface_addresses(&mut running);
    running.terminate();

    pod_ranges_are_waited_for_and_followed(&cluster, &config(1));
    settings_have_to_fit(&cluster, &config(1));
}

fn the_zone_chooses_endpoints(cluster: &Cluster, running: &mut Running) {
    let api = cluster.api().unwrap();
    let has = |ip: &str| rules(&running.node).contains(&format!("--to-destination {ip}:8080"));
    assert!(has("10.244.0.10") && !has("10.244.0.11"));
    let zone = |zone| json!({ "metadata": { "labels": { "topology.kubernetes.io/zone": zone } } });
    api.patch::<Node>("node-0", zone(json!("zone-9"))).unwrap();
    running.wait_for_rules("--to-destination 10.244.0.11:8080", true);
    running.wait_for_rules("--to-destination 10.244.0.10:8080", false);
    // Without a zone no hint counts.
    api.patch::<Node>("node-0", zone(json!(null))).unwrap();
    running.wait_for_rules("--to-destination 10.244.0.10:8080", true);
    running.wait_for_rules("--to-destination 10.244.0.11:8080", true);
}

fn node_ports_follow_the_primary_address(cluster: &Cluster, running: &mut Running) {
    let api = cluster.api().unwrap();
    let text = rules(&running.node);
    for ip in ["192.168.77.2/32", "fd00:77::2/128"] {
        assert!(text.contains(&format!("-d {ip} ")), "{text}");
    }
    running
        .node
        .ip(["addr add 192.168.77.22/24 dev eth0"])
        .unwrap();
    let ip = |ip: &str| json!({ "type": "InternalIP", "address": ip });
    let addresses = json!({ "status": { "addresses": [ip("192.168.77.22"), ip("fd00:77::2")] } });
    api.patch_status::<Node>("node-0", addresses).unwrap();
    running.wait_for_rules("-d 192.168.77.22/32 ", true);
    running.wait_for_rules("-d 192.168.77.2/32 ", false);
    assert!(rules(&running.node).contains("-d fd00:77::2/128 "));
    // Without its object the node goes on with what it knew, but gets no new traffic.
    let before = rules(&running.node);
    api.delete::<Node>("node-0").unwrap();
    running.wait_for_health(503, "\"nodeEligible\":false");
    assert_eq!(uncounted(&rules(&running.node)), uncounted(&before));
    api.apply(node_object(cluster.node(0)).zone("zone-0").json())
        .unwrap();
    running.wait_for_health(200, "\"nodeEligible\":true");
    running.wait_for_rules("-d 192.168.77.2/32 ", true);
    running
        .node
        .ip(["addr del 192.168.77.22/24 dev eth0"])
        .unwrap();
}

/// Without packet counters and times.
fn uncounted(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let lines = lines.map(|line| line.split(" [").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

fn listens(running: &Running, ip: &str) -> bool {
    let target = format!("{ip}:{CHECK}").parse().unwrap();
    super::support::ask(&running.node, target, "/").is_ok_and(|answer| answer.contains(" 200 "))
}

fn node_ports_follow_interface_addresses(running: &mut Running) {
    let text = rules(&running.node);
    assert!(text.contains("-d 192.168.77.2/32 "), "{text}");
    assert!(!text.contains("192.168.78."), "{text}");
    assert!(listens(running, "192.168.77.2") && !listens(running, "127.0.0.1"));
    let line = "addr add 192.168.78.5/24 dev eth0";
    running.node.ip([line]).unwrap();
    running.wait_for_rules("-d 192.168.78.5/32 ", true);
    let node = running.node.try_clone().unwrap();
    let target = format!("192.168.78.5:{CHECK}").parse().unwrap();
    running.wait_until("a listener at the new address", || {
        super::support::ask(&node, target, "/").is_ok_and(|answer| answer.contains(" 200 "))
    });
    assert!(listens(running, "192.168.77.2"));
    running
        .node
        .ip([line.replace("addr add", "addr del")])
        .unwrap();
    running.wait_for_rules("192.168.78.5", false);
    running.wait_until("no listener there", || {
        !sockets(&node).contains(&format!("192.168.78.5:{CHECK}"))
    });
    assert!(listens(running, "192.168.77.2"));
}

fn sockets(node: &viprule_testkit::Namespace) -> String {
    node.command("ss").args(["-ltnH"]).text().unwrap()
}

fn pod_ranges_are_waited_for_and_followed(cluster: &Cluster, config: &ProxyConfig) {
    let api = cluster.api().unwrap();
    let bare = viprule_testkit::manifests::node("node-1").internal_ip("192.168.77.3");
    api.delete::<Node>("node-1").unwrap();
    api.apply(bare.json()).unwrap();
    let (other, config) = (config, config.clone().set("/detectLocalMode", "NodeCIDR"));
    let mut running = start(cluster, 1, &config);
    running.wait_for_line("waiting for the Node's spec.podCIDRs");
    let (status, _) = http_get(&running.node, 10_256, "/livez").unwrap();
    assert_eq!(status, 200);
    assert!(
        !rules(&running.node).contains("KUBE-"),
        "nothing is written"
    );
    // Settings that need no ranges end the wait, and what was written stays.
    std::fs::write(&running.config, other.to_string()).unwrap();
    running.wait_for_line("first sync");
    running.terminate();
    assert_eq!(viprule(cluster.node(1).namespace(), &["cleanup"]).0, 0);

    let mut running = start(cluster, 1, &config);
    running.wait_for_line("waiting for the Node's spec.podCIDRs");
    let ranges = |range: &str| bare.clone().pod_cidr(range);
    api.apply(ranges("10.244.1.0/24").json()).unwrap();
    running.wait_for_line("first sync");
    let rule = |range: &str| format!("! -s {range} -d 10.1.0.10/32 ");
    running.wait_for_rules(&rule("10.244.1.0/24"), true);
    // The API lets nobody change ranges, but a node's object may be made anew.
    api.delete::<Node>("node-1").unwrap();
    api.apply(ranges("10.244.7.0/24").json()).unwrap();
    running.wait_for_rules(&rule("10.244.7.0/24"), true);
    running.wait_for_rules("10.244.1.0/24", false);
    assert!(
        running
            .agent
            .wait(std::time::Duration::from_millis(100))
            .is_err(),
        "it still runs"
    );
    running.terminate();
}

/// Ends with kube-proxy's exit code; the kernel is as it was.
fn settings_have_to_fit(cluster: &Cluster, config: &ProxyConfig) {
    let node = cluster.node(1).namespace();
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("kube-proxy");
    std::os::unix::fs::symlink(viprule_binary().unwrap(), &program).unwrap();
    let started = |config: &ProxyConfig, more: &[&str]| {
        let path = config.write(folder.path(), "config.conf").unwrap();
        let arg = format!("--config={}", path.display());
        let args = [&[arg.as_str()], more].concat();
        Agent::start_program(node, &program, args).unwrap()
    };
    let generation = kernel::generation(node).unwrap();
    let foreign = config.clone().set("/clusterCIDR", "fd00:10:244::/48");
    let mut agent = started(&foreign, &["--ip-family=ipv4"]);
    assert_eq!(agent.wait(LIMIT).unwrap().code(), Some(1));
    let lines = agent.lines().join("\n");
    assert!(lines.contains("clusterCIDR has no IPv4 network"), "{lines}");
    assert_eq!(kernel::generation(node).unwrap(), generation);
    // With two families it works for one of them.
    let mut agent = started(&foreign, &[]);
    for said in [
        "clusterCIDR has no IPv4 network",
        "nodePortAddresses is not set",
        "first sync",
    ] {
        agent.wait_for_line(said, LIMIT).unwrap();
    }
    agent.terminate(LIMIT).unwrap();
    // Nobody asks for podCIDRs but this mode.
    let api = cluster.api().unwrap();
    api.delete::<Node>("node-1").unwrap();
    let bare = viprule_testkit::manifests::node("node-1").internal_ip("192.168.77.3");
    api.apply(bare.pod_cidr("fd00:10:244:1::/64").json())
        .unwrap();
    let mut agent = started(&config.clone().set("/detectLocalMode", "NodeCIDR"), &[]);
    assert_eq!(agent.wait(LIMIT).unwrap().code(), Some(1));
    let lines = agent.lines().join("\n");
    assert!(lines.contains("podCIDRs have no IPv4 network"), "{lines}");
}
