//! What the agent tells in Kubernetes Events.

use viprule_testkit::Protocol::Tcp;
use viprule_testkit::cluster::{Cluster, HEALTH_PORT, Proxy, http_get};
use viprule_testkit::k8s_openapi::api::core::v1::Service;
use viprule_testkit::k8s_openapi::api::events::v1::Event;
use viprule_testkit::manifests::{service, slice};
use viprule_testkit::server::Server;
use viprule_writer::netfilter::remove_counters;

use super::support::{LIMIT, Running, endpoints, rules, run, viprule, web};

const CHECK: u16 = 32_060;

#[test]
fn what_operators_should_know_is_told_in_events() {
    let cluster = Cluster::start(2).unwrap();
    let api = cluster.api().unwrap();
    api.apply(web("web", 10).json()).unwrap();
    let one = endpoints("web").ready("10.244.0.10", "node-0");
    api.apply(one.json()).unwrap();
    let config = cluster.proxy_config(0).unwrap();
    let mut running = run(&cluster, 0, &config);
    let (kind, said) = wait_for(&cluster, "Starting", "node-0");
    assert_eq!((kind.as_str(), said.as_str()), ("Normal", ""));
    repairs(&cluster, &mut running);
    cleanup_beside_the_agent_is_undone(&cluster, &mut running);
    a_health_check_that_cannot_listen(&cluster, &mut running);
    a_service_that_the_kernel_refuses(&cluster, &mut running);
    assert_eq!(events(&cluster, "TookOver", "node-0"), [], "of nobody");
    running.terminate();

    // An agent that was away finds what the one before left.
    let other = endpoints("web").ready("10.244.0.11", "node-0");
    api.apply(other.json()).unwrap();
    let running = run(&cluster, 0, &config);
    let (kind, said) = wait_for(&cluster, "TookOver", "node-0");
    assert_eq!(kind, "Normal");
    // For each of two ports: a jump, and one endpoint's chain in place of another's.
    let changes = "2 replaced, 2 removed, 2 created";
    assert!(said.contains(changes), "{said}");
    running.terminate();

    let mut proxy = cluster.start_proxy(1, Proxy::KubeProxy).unwrap();
    let node = cluster.node(1).namespace();
    let what = "kube-proxy's rules";
    proxy
        .wait_until(what, LIMIT, || rules(node).contains("default/web:dns"))
        .unwrap();
    proxy.terminate(LIMIT).unwrap();
    let mut running = run(&cluster, 1, &cluster.proxy_config(1).unwrap());
    let (_, said) = wait_for(&cluster, "TookOver", "node-1");
    assert!(said.starts_with("found "), "{said}");
    kube_proxy_beside_it_is_no_trouble(&cluster, &mut running);
    running.terminate();
}

/// Both write the same, as for the time of a rollout: they don't fight.
fn kube_proxy_beside_it_is_no_trouble(cluster: &Cluster, running: &mut Running) {
    let api = cluster.api().unwrap();
    let seen = "repair: nothing to write";
    let mut proxy = cluster.start_proxy(1, Proxy::KubeProxy).unwrap();
    running.wait_for_line(seen);
    for last in [21, 22, 23] {
        let lines = running.agent.lines().len();
        let ip = format!("10.244.0.{last}");
        let one = endpoints("web").ready(&ip, "node-0");
        api.apply(one.json()).unwrap();
        running.wait_for_rules(&format!("--to-destination {ip}:8080"), true);
        // kube-proxy has written it, too.
        running.wait_for_line_after(lines, seen);
    }
    proxy.kill().unwrap();
    let lines = running.agent.lines();
    let repaired = |line: &String| line.contains("another program changed our rules");
    // Once for each change at most, where kube-proxy was the first to know.
    let repairs = lines.iter().filter(|line| repaired(line)).count();
    assert!(repairs <= 3, "{lines:#?}");
    running.wait_for_rules("--to-destination 10.244.0.23:8080", true);
}

/// Type and note of Events with this reason about an object of this name.
fn events(cluster: &Cluster, reason: &str, about: &str) -> Vec<(String, String)> {
    let events: Vec<Event> = cluster.api().unwrap().list("").unwrap();
    let of = |event: Event| {
        let regarding = event.regarding.unwrap_or_default();
        let fits =
            event.reason.as_deref() == Some(reason) && regarding.name.as_deref() == Some(about);
        fits.then(|| {
            (
                event.type_.unwrap_or_default(),
                event.note.unwrap_or_default(),
            )
        })
    };
    events.into_iter().filter_map(of).collect()
}

/// The first such Event.
#[track_caller]
pub(crate) fn wait_for(cluster: &Cluster, reason: &str, about: &str) -> (String, String) {
    let api = cluster.api().unwrap();
    let mut found = Vec::new();
    api.wait_until(&format!("{reason} about {about}"), LIMIT, |_| {
        found = events(cluster, reason, about);
        Ok(!found.is_empty())
    })
    .unwrap();
    found.swap_remove(0)
}

fn repairs(cluster: &Cluster, running: &mut Running) {
    let flush = running.node.command("iptables-nft");
    flush
        .args(["-t", "nat", "-F", "KUBE-SERVICES"])
        .text()
        .unwrap();
    let (kind, said) = wait_for(cluster, "RulesRepaired", "node-0");
    assert_eq!(kind, "Warning");
    assert!(said.starts_with("iptables-nft ("), "{said}");
    running.wait_for_rules("default/web:http cluster IP", true);
    let text = running.metrics();
    assert!(
        text.contains("viprule_repaired_objects_total{cause=\"notification\"}"),
        "{text}"
    );
}

/// With the counters that rules refer to.
fn cleanup_beside_the_agent_is_undone(cluster: &Cluster, running: &mut Running) {
    let api = cluster.api().unwrap();
    let ports = web("ports", 14).node_port(30_014);
    api.apply(ports.json()).unwrap();
    let local = endpoints("ports").ready("10.244.0.14", "node-0");
    api.apply(local.json()).unwrap();
    running.wait_for_rules("localhost_nps_accepted_pkts", true);
    let (_, removed) = viprule(&running.node, &["cleanup"]);
    assert!(removed.contains("removed"), "{removed}");
    let file = format!("--config={}", running.config.display());
    let node = running.node.try_clone().unwrap();
    running.wait_until("no difference", || {
        viprule(&node, &["diff", &file]) == (0, String::new())
    });
    let body = running.wait_for_health(200, "");
    assert!(!body.contains("quarantine"), "{body}");
    api.delete::<Service>("default/ports").unwrap();
    running.wait_for_rules("default/ports", false);
}

fn a_health_check_that_cannot_listen(cluster: &Cluster, running: &mut Running) {
    let api = cluster.api().unwrap();
    let address = format!("192.168.77.2:{CHECK}").parse().unwrap();
    let other = Server::start(&running.node, Tcp, address).unwrap();
    let edge = service("edge").cluster_ip("10.1.0.11").tcp("", 80, 8080);
    let edge = edge.load_balancer("203.0.113.11").external_local();
    api.apply(edge.health_check(CHECK).json()).unwrap();
    let (kind, said) = wait_for(cluster, "FailedToStartServiceHealthcheck", "edge");
    assert_eq!(kind, "Warning");
    assert!(said.contains(&CHECK.to_string()), "{said}");
    // The address becomes free.
    drop(other);
    let local = slice("edge-1", "edge").tcp("", 8080);
    api.apply(local.ready("10.244.0.10", "node-0").json())
        .unwrap();
    let node = running.node.try_clone().unwrap();
    running.wait_until("the health check's answer", || {
        http_get(&node, CHECK, "/").is_ok_and(|(status, _)| status == 200)
    });
}

/// The counter that its rule names was taken away.
fn a_service_that_the_kernel_refuses(cluster: &Cluster, running: &mut Running) {
    let api = cluster.api().unwrap();
    // What a rule refers to can't be taken away: the only Service with a node port goes.
    api.delete::<Service>("default/edge").unwrap();
    running.wait_for_rules("localhost_nps_accepted_pkts", false);
    running.node.run(remove_counters).unwrap();
    let refused = web("refused", 12).node_port(30_012);
    api.apply(refused.json()).unwrap();
    let local = endpoints("refused").ready("10.244.0.10", "node-0");
    api.apply(local.json()).unwrap();
    let (kind, said) = wait_for(cluster, "ServiceQuarantined", "refused");
    assert_eq!(kind, "Warning");
    assert!(said.contains("nfacct"), "{said}");
    wait_for(cluster, "ServiceQuarantined", "node-0");
    running.wait_for_health(200, "\"subject\":\"quarantine\"");
    assert!(running.metrics().contains("viprule_quarantined_services 1"));
    // The others go on.
    api.apply(web("later", 13).json()).unwrap();
    running.wait_for_rules("default/later:http", true);
    // The counter is made again with the next try, once a period.
    let config = cluster.proxy_config(0).unwrap();
    let config = config.set("/iptables/syncPeriod", "1s");
    std::fs::write(&running.config, config.to_string()).unwrap();
    running.wait_for_rules("default/refused:dns", true);
    let node = running.node.try_clone().unwrap();
    running.wait_until("no warning", || {
        let (status, body) = http_get(&node, HEALTH_PORT, "/healthz").unwrap();
        status == 200 && !body.contains("quarantine")
    });
}
