//! UDP clients that keep their source port, on real traffic: flows end with their endpoint.

use std::net::SocketAddr;
use std::time::Duration;

use viprule_testkit::Namespace;
use viprule_testkit::client::{Client, Failure, UdpFlow};
use viprule_testkit::cluster::{Cluster, ProxyConfig};
use viprule_testkit::flows;
use viprule_testkit::k8s_openapi::api::core::v1::Service;
use viprule_testkit::manifests::{self, slice};

use super::support::{Pod, Running, pod, run, web, who};

/// The Service's cluster IPs and its node port, from outside.
const WAYS_IN: [&str; 4] = [
    "10.1.0.10:80",
    "192.168.77.2:30010",
    "[fd00:10:1::10]:80",
    "[fd00:77::2]:30010",
];
const VIP: &str = WAYS_IN[0];

#[test]
fn flows_end_with_their_endpoint() {
    let cluster = Cluster::start(1).unwrap();
    let [one, two] = [10, 11].map(|last| pod(cluster.node(0), last));
    cluster.api().unwrap().apply(dual().json()).unwrap();
    let config = cluster.proxy_config(0).unwrap();
    let mut running = run(&cluster, 0, &config);
    let mut test = Test {
        cluster: &cluster,
        one,
        two,
    };
    test.a_replaced_endpoint(&mut running);
    test.the_last_endpoint(&mut running);
    test.a_deleted_service(&mut running);
    running.terminate();
    test.an_endpoint_replaced_while_nobody_looked(&config);
    test.a_service_deleted_while_nobody_looked(&config);
}

/// The Service, with a node port for UDP.
fn dual() -> manifests::Service {
    let service = web("web", 10).cluster_ip("fd00:10:1::10");
    service.node_port(30_010)
}

struct Test<'c> {
    cluster: &'c Cluster,
    one: Pod,
    two: Pod,
}

/// Who answers soon. A datagram that meets no endpoint is lost, and the next one tries again.
fn who_now(flow: &mut UdpFlow) -> Result<SocketAddr, Failure> {
    let attempt = flow.ask_within(Duration::from_millis(300));
    attempt.result.map(|answer| answer.backend)
}

/// Clients of both ways in, each with a port of its own.
struct Clients {
    flows: Vec<UdpFlow>,
}

fn clients(cluster: &Cluster) -> Clients {
    let outside = cluster.outside();
    let open =
        |client: Client<'_>, to: &str| client.udp_flow(to.parse().unwrap()).unwrap().unwrap();
    Clients {
        flows: WAYS_IN.map(|to| open(outside, to)).into(),
    }
}

impl Clients {
    /// Asks until everybody is answered by this one.
    #[track_caller]
    fn wait_for(&mut self, running: &mut Running, wanted: &Pod) {
        for flow in &mut self.flows {
            let wanted = of_family(wanted, flow);
            let what = format!("an answer of {wanted}");
            running.wait_until(&what, || who_now(flow) == Ok(wanted));
        }
    }

    #[track_caller]
    fn assert_answered_by(&mut self, wanted: &Pod) {
        for flow in &mut self.flows {
            assert_eq!(who(flow), Ok(of_family(wanted, flow)));
        }
    }

    /// Waits until the node tracks no flow of theirs to this pod.
    #[track_caller]
    fn wait_for_end(&self, running: &mut Running, pod: &Pod) {
        let node = running.node.try_clone().unwrap();
        let clients: Vec<_> = self
            .flows
            .iter()
            .map(|flow| flow.local_address().unwrap().port())
            .collect();
        let what = format!("the end of flows to {}", pod.ip());
        running.wait_until(&what, || {
            !tracked(&node)
                .iter()
                .any(|(client, to)| clients.contains(&client.port()) && pod.addresses.contains(to))
        });
    }
}

/// The pod's address of the flow's family.
fn of_family(pod: &Pod, flow: &UdpFlow) -> SocketAddr {
    let ipv6 = flow.local_address().unwrap().is_ipv6();
    pod.addresses[usize::from(ipv6)]
}

/// The UDP flows of a node: who sent, and who answers.
fn tracked(node: &Namespace) -> Vec<(SocketAddr, SocketAddr)> {
    let flows = flows::list(node).unwrap();
    let ends = flows
        .iter()
        .map(|flow| (flow.original.source, flow.reply.source));
    ends.collect()
}

/// How many open connections to the Service the node tracks.
fn streams(node: &Namespace) -> usize {
    let list = node.command("conntrack").args(["-L", "-p", "tcp"]);
    let of = |line: &&str| line.contains("dst=10.1.0.10 ") && line.contains("ESTABLISHED");
    list.text().unwrap().lines().filter(of).count()
}

impl Test<'_> {
    /// The slices of both families say so.
    fn set_endpoints(&self, of: &[&Pod]) {
        for (family, kind) in ["IPv4", "IPv6"].into_iter().enumerate() {
            let name = format!("web-{}", kind.to_lowercase());
            let slice = slice(&name, "web").tcp("http", 8080).udp("dns", 8080);
            let slice = slice.set("/addressType", kind);
            let ips = of.iter().map(|pod| pod.addresses[family].ip().to_string());
            let slice = ips.fold(slice, |slice, ip| slice.ready(&ip, "node-0"));
            self.cluster.api().unwrap().apply(slice.json()).unwrap();
        }
    }

    fn a_replaced_endpoint(&self, running: &mut Running) {
        self.set_endpoints(&[&self.one]);
        let mut clients = clients(self.cluster);
        clients.wait_for(running, &self.one);
        let outside = self.cluster.outside();
        let kept = outside.keep_alive(VIP.parse().unwrap()).unwrap();
        let mut kept = kept.unwrap();
        assert!(kept.ask().is_answered());
        assert_eq!(streams(&running.node), 1);

        // A second endpoint ends no flow.
        let deleted = deleted_flows(running);
        self.set_endpoints(&[&self.one, &self.two]);
        running.wait_for_rules("--to-destination 10.244.0.11:8080", true);
        clients.assert_answered_by(&self.one);
        assert_eq!(deleted_flows(running), deleted);

        self.set_endpoints(&[&self.two]);
        clients.wait_for(running, &self.two);
        clients.wait_for_end(running, &self.one);
        let node = running.node.try_clone().unwrap();
        running.wait_until("four more deleted flows", || {
            deleted_of(&metrics(&node)) == deleted + 4
        });
        // TCP is not ours to end: a pod that drains answers to its last connection.
        assert_eq!(streams(&node), 1);
        assert_eq!(kept.ask().result.unwrap().backend, self.one.addresses[0]);
    }

    fn the_last_endpoint(&self, running: &mut Running) {
        let mut clients = clients(self.cluster);
        clients.wait_for(running, &self.two);
        self.set_endpoints(&[]);
        clients.wait_for_end(running, &self.two);
        for flow in &mut clients.flows {
            assert!(who_now(flow).is_err(), "nobody is there");
        }
        // Whoever went on asking finds the next one.
        self.set_endpoints(&[&self.one]);
        clients.wait_for(running, &self.one);
    }

    fn a_deleted_service(&self, running: &mut Running) {
        let mut clients = clients(self.cluster);
        clients.wait_for(running, &self.one);
        let api = self.cluster.api().unwrap();
        api.delete::<Service>("default/web").unwrap();
        clients.wait_for_end(running, &self.one);
        assert!(clients.flows.iter_mut().all(|flow| who_now(flow).is_err()));
        api.apply(dual().json()).unwrap();
        clients.wait_for(running, &self.one);
    }

    fn an_endpoint_replaced_while_nobody_looked(&mut self, config: &ProxyConfig) {
        let mut clients = clients(self.cluster);
        clients.assert_answered_by(&self.one);
        self.set_endpoints(&[&self.two]);
        // Rules of an agent that ended go on.
        clients.assert_answered_by(&self.one);
        let mut running = run(self.cluster, 0, config);
        clients.wait_for(&mut running, &self.two);
        clients.wait_for_end(&mut running, &self.one);
        running.terminate();
    }

    fn a_service_deleted_while_nobody_looked(&mut self, config: &ProxyConfig) {
        let mut clients = clients(self.cluster);
        clients.assert_answered_by(&self.two);
        let api = self.cluster.api().unwrap();
        api.delete::<Service>("default/web").unwrap();
        let mut running = run(self.cluster, 0, config);
        clients.wait_for_end(&mut running, &self.two);
        assert!(clients.flows.iter_mut().all(|flow| who_now(flow).is_err()));
        running.terminate();
    }
}

fn metrics(node: &Namespace) -> String {
    use viprule_testkit::cluster::{METRICS_PORT, http_get};
    http_get(node, METRICS_PORT, "/metrics").unwrap().1
}

fn deleted_flows(running: &Running) -> u64 {
    deleted_of(&metrics(&running.node))
}

/// kube-proxy's counter, of both families.
fn deleted_of(text: &str) -> u64 {
    const NAME: &str = "kubeproxy_conntrack_reconciler_deleted_entries_total{";
    let lines = text.lines().filter(|line| line.starts_with(NAME));
    let counts = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    counts.sum()
}
