//! The configuration file changes while the agent runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use viprule_testkit::Namespace;
use viprule_testkit::Protocol::Tcp;
use viprule_testkit::agent::Agent;
use viprule_testkit::cluster::{
    Cluster, HEALTH_PORT, METRICS_PORT, ProxyConfig, User, http_get, kernel,
};
use viprule_testkit::manifests::ProjectedVolume;
use viprule_testkit::server::Server;

use super::support::{LIMIT, Running, endpoints, rules, web};

/// Writes a file in place, or replaces it.
type Form = fn(&Path, &str);

fn in_place(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

fn by_rename(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn a_changed_file_is_followed_without_a_restart() {
    let cluster = Cluster::start(1).unwrap();
    let api = cluster.api().unwrap();
    for number in [10, 11, 12] {
        let name = format!("web-{number}");
        let service = web(&name, number).node_port(30_000 + u16::from(number));
        let service = service.external_ip(&format!("203.0.113.{number}"));
        api.apply(service.json()).unwrap();
        let endpoints = endpoints(&name).ready("10.244.0.10", "node-0");
        api.apply(endpoints.json()).unwrap();
    }
    let config = cluster.proxy_config(0).unwrap();
    let mut running = begin(&cluster, &config);
    let config = rules_follow(&mut running, config);
    host_settings_and_gates_follow(&mut running, &config);
    let config = servers_follow(&mut running, config);
    let config = the_log_follows(&cluster, &mut running, config);
    bad_files_change_nothing(&cluster, &mut running, &config);
    another_way_to_the_server_is_taken(&cluster, &mut running, &config);
    running.terminate();
    a_port_that_has_to_be_had(&cluster, &config);
    a_config_map_is_followed(&cluster, &config);
}

/// An agent that nothing but its file configures.
fn begin(cluster: &Cluster, config: &ProxyConfig) -> Running {
    let config = cluster.write_proxy_config(0, config).unwrap();
    let node = cluster.node(0).namespace().try_clone().unwrap();
    let agent = Agent::start(&node, ["run", &format!("--config={}", config.display())]).unwrap();
    let mut running = Running {
        agent,
        node,
        config,
    };
    running.wait_for_line("first sync");
    running
}

/// Changes the file and waits for rules, in one transaction.
#[track_caller]
fn change(running: &mut Running, form: Form, config: &ProxyConfig, part: &str, wanted: bool) {
    let generation = running.generation();
    form(&running.config, &config.to_string());
    running.wait_for_rules(part, wanted);
    assert_eq!(running.generation(), generation + 1, "{part}");
}

/// Every rule with what it is known by for as long as nobody writes it anew.
fn handles(node: &Namespace) -> BTreeSet<String> {
    let text = kernel::rules_and_handles(node).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn rules_follow(running: &mut Running, config: ProxyConfig) -> ProxyConfig {
    let before = handles(&running.node);
    let outside = "! -s 10.244.0.0/16 -d 10.1.0.10/32 ";
    assert!(rules(&running.node).contains(outside));

    let config = config.set("/iptables/masqueradeAll", true);
    change(running, in_place, &config, outside, false);
    let after = handles(&running.node);
    // A chain of two rules of each of seven Service ports.
    let written: Vec<_> = after.difference(&before).collect();
    assert_eq!(written.len(), 14, "{written:#?}");

    let config = config.set("/iptables/masqueradeAll", false);
    change(running, by_rename, &config, outside, true);
    let config = config.set("/clusterCIDR", "10.99.0.0/16");
    change(running, by_rename, &config, "! -s 10.99.0.0/16 -d", true);
    assert!(!rules(&running.node).contains("10.244.0.0/16"));
    // What does not fit this node is told, as at the start.
    let other = config.clone().set("/clusterCIDR", "fd00:10:99::/48");
    change(running, in_place, &other, "10.99.0.0/16", false);
    running.wait_for_line("clusterCIDR has no IPv4 network");
    change(running, in_place, &config, "10.99.0.0/16", true);
    let config = config.set("/nodePortAddresses", json!(["192.168.77.0/24"]));
    change(running, in_place, &config, "-d 192.168.77.2/32 ", true);

    // Nothing has changed, and what says so is harmless.
    let generation = running.generation();
    let lines = running.agent.lines().len();
    let signal = nix::sys::signal::Signal::SIGHUP;
    running.agent.signal(signal).unwrap();
    running.wait_for_line_after(lines, "SIGHUP");
    by_rename(&running.config, &config.to_string());
    running.wait_for_line_after(lines, "the configuration file changed");
    assert_eq!(running.generation(), generation);
    config
}

fn host_settings_and_gates_follow(running: &mut Running, config: &ProxyConfig) {
    let invalid = "-m conntrack --ctstate INVALID";
    assert!(rules(&running.node).contains(invalid));
    let other = config.clone().set("/conntrack/tcpBeLiberal", true);
    let other = other.set("/conntrack/udpTimeout", "77s");
    change(running, in_place, &other, invalid, false);
    for (name, value) in [("tcp_be_liberal", "1"), ("udp_timeout", "77")] {
        let setting = format!("net/netfilter/nf_conntrack_{name}");
        assert_eq!(running.node.sysctl(&setting).unwrap(), value);
    }
    // kube-proxy never takes it back, so that the rule stays away, too.
    let gates = json!({ "AllowServiceExternalIPs": false });
    let external = "web-10:http external IP";
    assert!(rules(&running.node).contains(external));
    let other = config.clone().set("/featureGates", gates);
    change(running, in_place, &other, external, false);
    let enabled = |value| {
        let name = "kubernetes_feature_enabled{name=\"AllowServiceExternalIPs\",stage=\"\"}";
        format!("{name} {value}")
    };
    assert!(running.metrics().contains(&enabled(0)));
    change(running, in_place, config, external, true);
    assert!(running.metrics().contains(&enabled(1)));
    assert!(!rules(&running.node).contains(invalid));
}

/// Where the configuration says so, an address that can't be had ends the agent.
fn a_port_that_has_to_be_had(cluster: &Cluster, config: &ProxyConfig) {
    let node = cluster.node(0).namespace();
    let config = config.clone().set("/bindAddressHardFail", true);
    for (field, port) in [
        ("/healthzBindAddress", 20_300),
        ("/metricsBindAddress", 20_301),
    ] {
        let address = format!("127.0.0.1:{port}");
        let taken = Server::start(node, Tcp, address.parse().unwrap()).unwrap();
        let generation = kernel::generation(node).unwrap();
        let config = config.clone().set(field, address.as_str());
        let config = cluster.write_proxy_config(0, &config).unwrap();
        let arg = format!("--config={}", config.display());
        let mut agent = Agent::start(node, ["run", &arg]).unwrap();
        let status = agent.wait(LIMIT).unwrap();
        let lines = agent.lines().join("\n");
        assert_eq!(status.code(), Some(2), "{lines}");
        assert!(lines.contains(&address), "{lines}");
        assert_eq!(kernel::generation(node).unwrap(), generation);
        drop(taken);
    }
}

fn answers(running: &Running, port: u16, path: &str) -> bool {
    http_get(&running.node, port, path).is_ok_and(|(status, _)| status == 200)
}

#[track_caller]
fn wait_for_answers(running: &mut Running, port: u16, path: &str) {
    let node = running.node.try_clone().unwrap();
    running.wait_until(&format!("{path} on port {port}"), || {
        http_get(&node, port, path).is_ok_and(|(status, _)| status == 200)
    });
}

fn configz(running: &Running, port: u16) -> Value {
    let (_, text) = http_get(&running.node, port, "/configz").unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    document["kubeproxy.config.k8s.io"].clone()
}

fn servers_follow(running: &mut Running, config: ProxyConfig) -> ProxyConfig {
    let generation = running.generation();
    let config = config.set("/healthzBindAddress", "127.0.0.1:20256");
    in_place(&running.config, &config.to_string());
    wait_for_answers(running, 20_256, "/healthz");
    assert!(!answers(running, HEALTH_PORT, "/healthz"));
    let config = config.set("/metricsBindAddress", "127.0.0.1:20249");
    by_rename(&running.config, &config.to_string());
    wait_for_answers(running, 20_249, "/metrics");
    assert!(!answers(running, METRICS_PORT, "/metrics"));
    let config = config.set("/iptables/syncPeriod", "17s");
    in_place(&running.config, &config.to_string());
    let node = running.node.try_clone().unwrap();
    running.wait_until("another syncPeriod", || {
        let (_, text) = http_get(&node, 20_249, "/configz").unwrap();
        text.contains("\"syncPeriod\":\"17s\"")
    });
    assert_eq!(
        running.generation(),
        generation,
        "rules have nothing to do with it"
    );
    config
}

fn the_log_follows(cluster: &Cluster, running: &mut Running, config: ProxyConfig) -> ProxyConfig {
    let generation = running.generation();
    let has_debug = |lines: &[String]| lines.iter().any(|line| line.contains(" DEBUG "));
    assert!(!has_debug(&running.agent.lines()));
    let loud = config.clone().set("/logging/verbosity", 4);
    in_place(&running.config, &loud.to_string());
    let node = running.node.try_clone().unwrap();
    running.wait_until("verbosity 4", || {
        let (_, text) = http_get(&node, 20_249, "/configz").unwrap();
        text.contains("\"verbosity\":4")
    });
    // Endpoints of no Service.
    let api = cluster.api().unwrap();
    api.apply(endpoints("nothing").json()).unwrap();
    running.wait_for_line("DEBUG changed: nothing to write");
    in_place(&running.config, &config.to_string());
    running.wait_until("verbosity 0", || {
        let (_, text) = http_get(&node, 20_249, "/configz").unwrap();
        text.contains("\"verbosity\":0")
    });
    let lines = running.agent.lines().len();
    assert!(answers(running, 20_249, "/metrics"));
    assert!(!has_debug(&running.agent.lines()[lines..]));
    assert_eq!(running.generation(), generation);
    config
}

fn bad_files_change_nothing(cluster: &Cluster, running: &mut Running, config: &ProxyConfig) {
    let generation = running.generation();
    let shown = configz(running, 20_249);
    let good = config.to_string();
    let wrong = config.clone().set("/clusterCIDR", "10.244.0.0/33");
    for (text, said) in [
        ("kind: [".to_owned(), "the configuration before stays"),
        (wrong.to_string(), "clusterCIDR"),
        (String::new(), "the configuration before stays"),
    ] {
        let lines = running.agent.lines().len();
        by_rename(&running.config, &text);
        let line = running.wait_for_line_after(lines, said);
        assert!(line.contains("ERROR"), "{line}");
        assert_eq!(configz(running, 20_249), shown);
    }
    // A Service goes on being followed.
    let api = cluster.api().unwrap();
    api.apply(web("later", 13).json()).unwrap();
    running.wait_for_rules("default/later:http", true);
    assert_eq!(running.generation(), generation + 1);
    let lines = running.agent.lines().len();
    fs::remove_file(&running.config).unwrap();
    running.wait_for_line_after(lines, "the configuration before stays");

    let lines = running.agent.lines().len();
    for (field, value, said) in [
        ("/mode", "nftables", "mode: only a restart"),
        (
            "/hostnameOverride",
            "node-9",
            "hostnameOverride: only a restart",
        ),
    ] {
        by_rename(
            &running.config,
            &config.clone().set(field, value).to_string(),
        );
        running.wait_for_line_after(lines, said);
        assert_eq!(configz(running, 20_249), shown, "{field}");
    }
    by_rename(&running.config, &good);
    assert_eq!(running.generation(), generation + 1);
}

fn another_way_to_the_server_is_taken(
    cluster: &Cluster,
    running: &mut Running,
    config: &ProxyConfig,
) {
    let api = cluster.api().unwrap();
    let field = "/clientConnection/kubeconfig";
    // Nobody could work with it.
    let lines = running.agent.lines().len();
    let missing = config.clone().set(field, "/nowhere/kubeconfig");
    in_place(&running.config, &missing.to_string());
    running.wait_for_line_after(lines, "/nowhere/kubeconfig");
    api.apply(web("still", 14).json()).unwrap();
    running.wait_for_rules("default/still:http", true);
    // Another user's works as well, and what is gone meanwhile is noticed.
    let generation = running.generation();
    let admin = cluster.kubeconfig(User::Admin).unwrap();
    let admin = config.clone().set(field, admin.to_str().unwrap());
    let lines = running.agent.lines().len();
    in_place(&running.config, &admin.to_string());
    running.wait_for_line_after(lines, "another way");
    assert_eq!(running.generation(), generation, "the same objects");
    api.delete::<viprule_testkit::k8s_openapi::api::core::v1::Service>("default/still")
        .unwrap();
    running.wait_for_rules("default/still:http", false);
}

/// As a `DaemonSet` mounts it.
fn a_config_map_is_followed(cluster: &Cluster, config: &ProxyConfig) {
    let folder = tempfile::tempdir().unwrap();
    let mut volume = ProjectedVolume::new(folder.path().join("config")).unwrap();
    volume.publish([("config.conf", config)]).unwrap();
    let path = volume.path().join("config.conf");
    let node = cluster.node(0).namespace();
    let arg = format!("--config={}", path.display());
    let mut agent = Agent::start(node, ["run", "--log-level=debug", &arg]).unwrap();
    agent.wait_for_line("first sync", LIMIT).unwrap();
    for network in ["10.98.0.0/16", "10.97.0.0/16"] {
        let generation = kernel::generation(node).unwrap();
        let config = config.clone().set("/clusterCIDR", network);
        volume.publish([("config.conf", config)]).unwrap();
        let what = format!("rules for {network}");
        agent
            .wait_until(&what, LIMIT, || rules(node).contains(network))
            .unwrap();
        assert_eq!(kernel::generation(node).unwrap(), generation + 1);
    }
}
