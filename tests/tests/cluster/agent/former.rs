//! A former proxy in another place: kube-proxy's nftables mode, or iptables over the other backend.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use serde_json::json;
use viprule_testkit::Namespace;
use viprule_testkit::agent::Agent;
use viprule_testkit::client::{KeepAlive, Load};
use viprule_testkit::cluster::{Cluster, Components, Proxy, ProxyConfig};

use super::events;
use super::support::{LIMIT, LOG, endpoints, pod, viprule, web};

/// Connections a second.
const RATE: u32 = 200;
/// Connections at a time, where a machine is too slow for a load.
const UNDER_WAY: usize = 32;
/// Connections before and after.
const FURTHER: u64 = 100;
const WHILE: Duration = Duration::from_millis(500);
const TARGETS: [&str; 2] = ["10.1.0.10:80", "192.168.77.2:30010"];

#[test]
fn a_proxy_elsewhere_is_taken_over_from() {
    let cluster = Cluster::start(1).unwrap();
    let api = cluster.api().unwrap();
    let pods = [10, 11].map(|last| pod(cluster.node(0), last));
    let ports = json!([
        { "name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP", "nodePort": 30_010 },
        { "name": "dns", "port": 80, "targetPort": 8080, "protocol": "UDP", "nodePort": 30_010 },
    ]);
    let service = web("web", 10).set("/spec/ports", ports);
    api.apply(service.set("/spec/type", "NodePort").json())
        .unwrap();
    let slice = pods.iter().fold(endpoints("web"), |slice, pod| {
        slice.ready(&pod.ip(), "node-0")
    });
    api.apply(slice.json()).unwrap();
    let stage = Stage {
        cluster: &cluster,
        node: cluster.node(0).namespace(),
        config: cluster.proxy_config(0).unwrap(),
    };

    let nftables = stage.config.clone().set("/mode", "nftables");
    stage.kube_proxy(&nftables, || stage.nft_tables() == 2);
    stage.under_load("kube-proxy's nftables mode to nft", || {
        stage.take_over("auto", &["nftables table ip kube-proxy"]);
    });
    assert_eq!(stage.nft_tables(), 0);
    assert!(stage.saved("nft").contains("default/web:http"));

    // iptables over legacy tables, beside the rules that viprule left.
    stage.under_load("kube-proxy's legacy tables to nft", || {
        stage.kube_proxy_over_legacy();
        stage.take_over("nft", &["objects over legacy"]);
    });
    assert!(!stage.saved("legacy").contains("KUBE-SVC"));
    assert!(stage.saved("nft").contains("default/web:http"));

    stage.under_load("nft to legacy tables", || {
        stage.take_over("legacy", &["objects over nft"]);
    });
    assert!(!stage.saved("nft").contains("KUBE-SVC"));

    // Where rules are decides: they are taken over as they are.
    let before = stage.saved("legacy");
    assert!(before.contains("default/web:http"), "{before}");
    stage.take_over("auto", &[]);
    assert_eq!(stage.saved("legacy"), before);

    stage.nftables_mode(&nftables);
    stage.clean_up(&nftables);
}

struct Stage<'c> {
    cluster: &'c Cluster,
    node: &'c Namespace,
    config: ProxyConfig,
}

impl Stage<'_> {
    /// Does something while clients connect and ask over open connections.
    #[track_caller]
    fn under_load(&self, what: &str, work: impl FnOnce()) {
        let targets: [SocketAddr; 2] = TARGETS.map(|target| target.parse().unwrap());
        let client = self.cluster.outside();
        let mut open = targets.map(|to| client.keep_alive(to).unwrap().unwrap());
        let mut ask = || {
            open.each_mut()
                .map(|it: &mut KeepAlive| it.ask().result.unwrap())
        };
        let answers = ask();
        let load = Load::new(RATE, targets).at_most(UNDER_WAY);
        let load = load.start(self.cluster.network().client()).unwrap();
        load.outlast(FURTHER).unwrap();
        work();
        load.outlast(FURTHER).unwrap();
        let report = load.stop().unwrap();
        eprintln!(
            "{what}: {} connections, {} failed",
            report.started,
            report.failed()
        );
        assert!(
            report.answered() > 0 && report.failed() == 0,
            "{what}: {report:#?}"
        );
        assert_eq!(ask(), answers, "established connections live on");
    }

    /// Runs kube-proxy until its rules are there.
    fn kube_proxy(&self, config: &ProxyConfig, condition: impl FnMut() -> bool) {
        let config = self.cluster.write_proxy_config(0, config).unwrap();
        let mut proxy = Proxy::KubeProxy.start(self.node, &config).unwrap();
        proxy
            .wait_until("kube-proxy's rules", LIMIT, condition)
            .unwrap();
        proxy.kill().unwrap();
    }

    /// The same with an iptables that writes legacy tables.
    fn kube_proxy_over_legacy(&self) {
        let folder = tempfile::tempdir().unwrap();
        for family in ["iptables", "ip6tables"] {
            for tool in ["", "-save", "-restore"] {
                let legacy = format!("{family}-legacy{tool}");
                let legacy = Path::new("/usr/sbin").join(legacy);
                symlink(legacy, folder.path().join(format!("{family}{tool}"))).unwrap();
            }
        }
        let path = std::env::var("PATH").unwrap();
        let path = format!("PATH={}:{path}", folder.path().display());
        let program = Components::find().unwrap().program("kube-proxy").unwrap();
        let config = self.cluster.write_proxy_config(0, &self.config).unwrap();
        let config = format!("--config={}", config.display());
        let args = [&path, program.to_str().unwrap(), &config];
        let mut proxy = Agent::start_program(self.node, Path::new("/usr/bin/env"), args).unwrap();
        proxy
            .wait_until("kube-proxy's rules in legacy tables", LIMIT, || {
                let text = self.saved("legacy");
                text.contains("default/web:http") && text.contains("default/web:dns")
            })
            .unwrap();
        proxy.kill().unwrap();
    }

    /// From viprule's iptables mode and kube-proxy's nftables mode to viprule's, and back.
    fn nftables_mode(&self, nftables: &ProxyConfig) {
        for backend in ["legacy", "nft"] {
            self.take_over(backend, &[]);
            assert!(self.saved(backend).contains("KUBE-SVC"));
            let over = format!("objects over {backend}");
            self.under_load(&format!("{backend} to nftables mode"), || {
                self.take_over_by(nftables, "auto", &[&over]);
            });
            assert!(!self.saved(backend).contains("KUBE-SVC"));
            self.under_load(&format!("nftables mode to {backend}"), || {
                self.take_over(backend, &["nftables table ip viprule"]);
            });
        }
        self.kube_proxy(nftables, || self.nft_tables() == 2);
        self.under_load("kube-proxy's nftables mode to viprule's", || {
            self.take_over_by(nftables, "auto", &["nftables table ip kube-proxy"]);
        });
        assert_eq!(self.nft_tables(), 0);
        self.take_over("legacy", &["nftables table ip viprule"]);
    }

    /// Runs viprule over a backend until it has removed what was there before, and a little more.
    fn take_over(&self, backend: &str, removed: &[&str]) {
        self.take_over_by(&self.config, backend, removed);
    }

    /// The same with another configuration.
    fn take_over_by(&self, config: &ProxyConfig, backend: &str, removed: &[&str]) {
        let config = self.cluster.write_proxy_config(0, config).unwrap();
        let config = format!("--config={}", config.display());
        let backend = format!("--iptables-backend={backend}");
        let mut agent = Agent::start(self.node, ["run", LOG, &backend, &config]).unwrap();
        agent.wait_for_line("first sync", LIMIT).unwrap();
        for what in removed {
            let line = agent.wait_for_line("removed what an earlier proxy left", LIMIT);
            let line = line.unwrap();
            assert!(line.contains(what), "{line}");
            let (kind, said) = events::wait_for(self.cluster, "LeftoversRemoved", "node-0");
            assert_eq!(kind, "Normal", "{said}");
        }
        sleep(WHILE);
        assert!(agent.terminate(LIMIT).unwrap().success());
    }

    /// Tables of kube-proxy's nftables mode.
    fn nft_tables(&self) -> usize {
        let tables = self.node.command("nft").args(["list", "tables"]);
        let tables = tables.text().unwrap();
        tables
            .lines()
            .filter(|line| line.ends_with(" kube-proxy"))
            .count()
    }

    /// Rules of both families over a backend, without counters.
    fn saved(&self, backend: &str) -> String {
        let save = |family| {
            let command = self.node.command(&format!("{family}-{backend}-save"));
            command.text().unwrap()
        };
        let text = ["iptables", "ip6tables"].map(save).concat();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let lines = lines.map(|line| match line.split_once(" [") {
            Some((chain, _)) => format!("{chain}\n"),
            None => format!("{line}\n"),
        });
        lines.collect()
    }

    /// Everything at once: nftables mode, and iptables over both backends.
    fn clean_up(&self, nftables: &ProxyConfig) {
        self.kube_proxy(nftables, || self.nft_tables() == 2);
        let list = |family| {
            let nft = self.node.command("nft").args(["list", "table", family]);
            nft.arg("kube-proxy").text().unwrap()
        };
        let tables = list("ip") + &list("ip6");
        // In iptables mode it removes those tables as it starts.
        let rules = || self.saved("nft").contains("default/web:dns");
        self.kube_proxy(&self.config, rules);
        let nft = self.node.command("nft").args(["-f", "-"]);
        nft.input(tables).text().unwrap();
        let all = || (self.nft_tables(), self.saved("nft"), self.saved("legacy"));
        let before = all();
        assert_eq!(before.0, 2);
        for saved in [&before.1, &before.2] {
            assert!(saved.contains("KUBE-SVC"), "{saved}");
        }
        let (code, listed) = viprule(self.node, &["cleanup", "--dry-run"]);
        assert_eq!(code, 0, "{listed}");
        for part in [
            "KUBE-SERVICES",
            "table ip kube-proxy",
            "table ip6 kube-proxy",
        ] {
            assert!(listed.contains(part), "{part}:\n{listed}");
        }
        assert_eq!(all(), before, "nothing was touched");
        let (code, said) = viprule(self.node, &["cleanup"]);
        assert_eq!(code, 0, "{said}");
        let (tables, nft, legacy) = all();
        assert_eq!(tables, 0);
        for saved in [nft, legacy] {
            // kubelet uses it, too.
            let left = saved.lines().filter(|line| line.contains("KUBE-"));
            let left: Vec<_> = left
                .filter(|line| !line.contains("KUBE-FIREWALL"))
                .collect();
            assert_eq!(left, [""; 0]);
        }
        assert_eq!(viprule(self.node, &["cleanup"]).1, "nothing to change\n");
    }
}
