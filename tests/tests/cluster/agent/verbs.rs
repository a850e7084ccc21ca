//! The verbs that end, on a cluster; and the program in kube-proxy's place.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;

use viprule_testkit::Namespace;
use viprule_testkit::agent::{Agent, viprule_binary};
use viprule_testkit::cluster::{Cluster, HEALTH_PORT, METRICS_PORT, User, http_get, kernel};

use super::support::{LIMIT, endpoints, rules, run, viprule, web};

const KUBEADM: &str = include_str!("../../../../crates/viprule/tests/config/files/kubeadm.conf");
const PODS: &str = "--cluster-cidr=10.244.0.0/16,fd00:10:244::/48";

#[test]
fn verbs_read_the_cluster_as_the_agent_does() {
    let cluster = Cluster::start(2).unwrap();
    let api = cluster.api().unwrap();
    for number in [10, 11] {
        let name = format!("web-{number}");
        let service = web(&name, number).node_port(30_000 + u16::from(number));
        api.apply(service.json()).unwrap();
        let slice = endpoints(&name).ready("10.244.0.10", "node-0");
        api.apply(slice.ready("10.244.1.10", "node-1").json())
            .unwrap();
    }
    let running = run(&cluster, 0, &cluster.proxy_config(0).unwrap());
    let config = running.config.clone();
    let file = format!("--config={}", config.display());
    let kubeconfig = cluster.kubeconfig(User::KubeProxy).unwrap();
    let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
    let flags = [&kubeconfig, "--node=node-0", PODS];
    let node = cluster.node(0).namespace();
    let verb = |verb, args: &[&str]| viprule(node, &[&[verb], args].concat());

    // Beside the agent, by its file and by flags.
    let generation = kernel::generation(node).unwrap();
    for args in [&[file.as_str()][..], &flags] {
        assert_eq!(verb("diff", args), (0, String::new()), "{args:?}");
        let (code, said) = verb("apply", args);
        assert_eq!((code, said.as_str()), (0, "nothing to change\n"));
        let (code, rendered) = verb("render", args);
        assert_eq!(code, 0, "{rendered}");
        assert_eq!(ours(&rendered), ours(&rules(node)));
    }
    assert_eq!(kernel::generation(node).unwrap(), generation);
    running.terminate();

    // In its place.
    let slice = endpoints("web-11").ready("10.244.1.11", "node-1");
    api.apply(slice.json()).unwrap();
    let (code, text) = verb("diff", &flags);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("10.244.1.11:8080"), "{text}");
    assert!(!text.contains("web-10"), "{text}");
    let (code, text) = verb("apply", &flags);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("service default/web-11"), "{text}");
    assert_eq!(kernel::generation(node).unwrap(), generation + 1);
    assert_eq!(verb("diff", &flags), (0, String::new()));
    let gone = ["--kubeconfig=/nowhere", "--node=node-0"];
    let (code, text) = verb("diff", &gone);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("/nowhere"), "{text}");

    a_kubeadm_node_works_unchanged(&cluster, cluster.node(1).namespace());
}

/// The rules of our chains, in any order.
fn ours(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| line.starts_with("-A KUBE-")).collect()
}

/// Called kube-proxy, on the file that kubeadm writes, with the flag of its `DaemonSet`.
fn a_kubeadm_node_works_unchanged(cluster: &Cluster, node: &Namespace) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("kube-proxy");
    symlink(viprule_binary().unwrap(), &program).unwrap();
    let kubeconfig = cluster.kubeconfig(User::KubeProxy).unwrap();
    let original = "/var/lib/kube-proxy/kubeconfig.conf";
    assert!(KUBEADM.contains(original));
    let config = folder.path().join("config.conf");
    let text = KUBEADM.replace(original, kubeconfig.to_str().unwrap());
    std::fs::write(&config, text).unwrap();
    let args = [
        format!("--config={}", config.display()),
        "--hostname-override=node-1".to_owned(),
    ];
    let mut agent = Agent::start_program(node, &program, args).unwrap();
    agent.wait_for_line("first sync", LIMIT).unwrap();
    let text = rules(node);
    let local = "! -s 10.244.0.0/16 -d 10.1.0.10/32 ";
    assert!(text.contains(local), "{text}");
    agent
        .wait_until("health", LIMIT, || {
            http_get(node, HEALTH_PORT, "/healthz").is_ok_and(|(status, _)| status == 200)
        })
        .unwrap();
    let (_, mode) = http_get(node, METRICS_PORT, "/proxyMode").unwrap();
    assert_eq!(mode, "iptables");
    assert!(agent.terminate(LIMIT).unwrap().success());
    assert_eq!(uncounted(&rules(node)), uncounted(&text), "rules stay");
}

fn uncounted(text: &str) -> Vec<&str> {
    let lines = text.lines().filter(|line| line.starts_with('-'));
    lines.collect()
}
