//! With the rights of `deploy/kustomize`'s containers.

use crate::support::{LIMIT, Stage, at, leads_to};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use viprule_testkit::agent::{Agent, viprule_binary};
use viprule_testkit::client::Client;
use viprule_testkit::flows::{self, NewFlow};
use viprule_testkit::manifests::{service, slice};

const SETTING: &str = "net.ipv4.conf.all.route_localnet";

/// A configuration like a cluster's own, but for what a test's process can't be given: a score that
/// the kubelet gives. Node ports are on all addresses by decision, which silences a warning.
fn config(stage: &Stage) -> String {
    let score = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let score: i32 = score.trim().parse().unwrap();
    let config = stage.cluster.proxy_config(0).unwrap();
    let config = config.set("/oomScoreAdj", score);
    let config = config.set("/nodePortAddresses", vec!["0.0.0.0/0", "::/0"]);
    let path = stage.cluster.write_proxy_config(0, &config).unwrap();
    format!("--config={}", path.display())
}

/// The init container, which is privileged.
fn prepare(stage: &Stage, config: &str) {
    let program = viprule_binary().unwrap().display().to_string();
    let command = stage.node().command(&program);
    command.args(["run", "--init-only", config]).text().unwrap();
}

/// The agent's container, up to where every Service answers and changes come through.
#[track_caller]
fn serve(stage: &Stage, config: &str) -> Agent {
    let contained: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/contained");
    let program = viprule_binary().unwrap().display().to_string();
    let args = [program.as_str(), "run", config];
    let mut agent = Agent::start_program(stage.node(), &contained, args).unwrap();
    stage.wait_healthy(&mut agent);
    stage.wait_answers(&mut agent);
    stage.write_endpoints(&["10.244.1.71"]);
    stage.wait_rules(&mut agent, "an endpoint's end in the kernel", |[v4, _]| {
        !leads_to(v4, "10.244.0.71")
    });
    agent
}

fn status(agent: &Agent, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let value = status.lines().find_map(|line| line.strip_prefix(field));
    value.unwrap().trim().to_owned()
}

/// What was logged as going wrong.
fn complaints(agent: &Agent) -> Vec<String> {
    let mut lines = agent.lines();
    lines.retain(|line| !line.contains(" INFO "));
    lines
}

/// What an earlier proxy leaves: nftables mode's table, one of IPVS mode's sets, and a flow to an
/// endpoint that its Service doesn't have any more.
fn leave(stage: &Stage) {
    let run = |program: &str, args: &str| {
        let command = stage.node().command(program);
        command.args(args.split(' ')).text().unwrap()
    };
    run("nft", "add table ip kube-proxy");
    run("ipset", "create KUBE-CLUSTER-IP hash:ip,port");
    let api = stage.cluster.api().unwrap();
    let dns = service("dns").cluster_ip("10.1.0.53").udp("", 53, 53);
    api.apply(dns.json()).unwrap();
    let endpoints = slice("dns-1", "dns").udp("", 53);
    let endpoints = endpoints.ready("10.244.1.53", "node-1");
    api.apply(endpoints.json()).unwrap();
    let flow = NewFlow {
        source: at("192.168.77.99:5353"),
        destination: at("10.1.0.53:53"),
        endpoint: Some(at("10.244.0.53:53")),
        tcp_state: None,
    };
    flows::add(stage.node(), &[flow]).unwrap();
}

/// What of that is there.
fn left(stage: &Stage) -> [bool; 3] {
    let text = |program: &str, args: &str| {
        let command = stage.node().command(program);
        command.args(args.split(' ')).text().unwrap()
    };
    [
        text("nft", "list tables").contains("table ip kube-proxy\n"),
        text("ipset", "list -n").contains("KUBE-CLUSTER-IP"),
        !flows::list(stage.node()).unwrap().is_empty(),
    ]
}

#[test]
fn one_capability_is_enough_behind_the_init_container() {
    let stage = Stage::new();
    let config = config(&stage);
    leave(&stage);
    assert_eq!(left(&stage), [true; 3]);
    prepare(&stage, &config);
    let mut agent = serve(&stage, &config);
    agent
        .wait_until("leftovers to go", LIMIT, || left(&stage) == [false; 3])
        .unwrap();
    assert_eq!(status(&agent, "CapBnd:"), "0000000000001000");
    assert_eq!(status(&agent, "CapEff:"), "0000000000001000");
    assert_eq!(status(&agent, "NoNewPrivs:"), "1");
    // It found every setting as it should be, and wrote none.
    assert_eq!(complaints(&agent), [""; 0]);
    let set = agent.lines();
    assert!(
        !set.iter().any(|line| line.contains(" INFO set ")),
        "{set:#?}"
    );
}

#[test]
fn without_the_init_container_only_node_ports_on_loopback_are_missing() {
    let stage = Stage::new();
    let config = config(&stage);
    let mut agent = serve(&stage, &config);
    let read = stage.node().command("sysctl").args(["-n", SETTING]);
    assert_eq!(read.text().unwrap(), "0\n");
    let complaints = complaints(&agent);
    let told: Vec<_> = complaints
        .iter()
        .filter(|line| line.contains(SETTING))
        .collect();
    assert_eq!(told.len(), 1, "{complaints:#?}");
    for part in ["node ports on loopback", "iptables.localhostNodePorts"] {
        assert!(told[0].contains(part), "{}", told[0]);
    }
    agent.terminate(LIMIT).unwrap();

    // Set meanwhile, it works from the next start on.
    prepare(&stage, &config);
    let mut agent = serve(&stage, &config);
    let here = stage.cluster.node(0).namespace();
    let client = Client::new(here).timeout(Duration::from_secs(3));
    agent
        .wait_until("a node port's answer on loopback", LIMIT, || {
            client.tcp(at("127.0.0.1:30072")).unwrap().is_answered()
        })
        .unwrap();
}
