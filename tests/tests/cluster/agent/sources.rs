//! The same objects give the same rules, whether they come from an API server or from manifests.

use std::path::Path;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use viprule_testkit::agent::viprule_binary;
use viprule_testkit::cluster::{Api, Cluster, User};
use viprule_testkit::golden::MANIFEST;
use viprule_testkit::strategy::objects::{Objects, seed};

/// Where cluster IPs are from, as rendered.
const SERVICE_CIDR: &str = "10.1.0.0/16";
/// Random Services that the server is to hold.
const SERVICES: usize = 500;

/// What the server holds, as `kubectl get --output json` prints it.
fn save(api: &Api, folder: &Path) {
    for (name, path) in [
        ("nodes", "/api/v1/nodes"),
        ("services", "/api/v1/services"),
        ("slices", "/apis/discovery.k8s.io/v1/endpointslices"),
        ("ranges", "/apis/networking.k8s.io/v1/servicecidrs"),
    ] {
        let file = folder.join(format!("{name}.json"));
        std::fs::write(file, api.text(path).unwrap()).unwrap();
    }
}

/// Fails unless both sources give the same, and each of `parts`, in every mode.
#[track_caller]
fn renders_alike(cluster: &Cluster, api: &Api, parts: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    save(api, folder.path());
    let manifests = format!("--manifests={}", folder.path().display());
    let kubeconfig = cluster.kubeconfig(User::KubeProxy).unwrap();
    let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
    let node = cluster.node(0).namespace();
    let program = viprule_binary().unwrap().display().to_string();
    for mode in ["iptables", "ipvs", "nftables"] {
        let rendered = [&manifests, &kubeconfig].map(|input| {
            let mode = format!("--proxy-mode={mode}");
            let args = [
                "render",
                input,
                &mode,
                "--node=node-0",
                "--cluster-cidr=10.244.0.0/16",
            ];
            node.command(&program).args(args).text().unwrap()
        });
        let [of_files, of_server] = rendered.each_ref().map(|text| text.lines());
        for (number, (file, server)) in of_files.zip(of_server).enumerate() {
            assert_eq!(file, server, "{mode}, line {number}");
        }
        let [of_files, of_server] = &rendered;
        assert_eq!(of_files.len(), of_server.len(), "{mode}");
        let ranges = (mode == "nftables").then_some(&SERVICE_CIDR);
        for part in parts.iter().chain(ranges) {
            assert!(of_files.contains(part), "{mode} has no {part}");
        }
    }
}

#[test]
fn what_a_server_holds_renders_as_its_manifests_do() {
    let cluster = Cluster::start(1).unwrap();
    let api = cluster.api().unwrap();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    api.apply(&namespace).unwrap();
    let golden: Vec<Value> = serde_saphyr::from_multiple(MANIFEST).unwrap();
    for object in golden.iter().filter(|object| object["kind"] != "Node") {
        api.apply(object).unwrap();
    }
    renders_alike(&cluster, api, &["10.1.0.20", "10.1.0.41"]);

    let mut runner = TestRunner::deterministic();
    let (mut objects, mut held, mut refused) = (Objects::default(), 0, 0);
    while held < SERVICES {
        let seed = seed().new_tree(&mut runner).unwrap().current();
        for object in objects.cluster(&seed) {
            // Some have what the server never stores, or an address that is taken.
            match api.apply(&object) {
                Ok(()) if object["kind"] == "Service" => held += 1,
                Ok(()) => {}
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused < held, "{refused} of {held} were refused");
    let services = api.text("/api/v1/services").unwrap();
    assert!(services.contains("ipvs.viprule.dev/scheduler"));
    assert!(services.contains("ipvs.viprule.dev/weights"));
    renders_alike(&cluster, api, &["10.1.1.100"]);
}
