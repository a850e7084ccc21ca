//! The cluster's objects: the agent on every node, its rights and its configuration.

use std::process::Command;

use serde_json::{Value, json};
use viprule_testkit::agent::viprule_binary;

use crate::{document, documents, identity, path};

const OVERLAYS: [&str; 2] = ["base", "kubeadm"];

fn pod(overlay: &str) -> Value {
    let file = format!("kustomize/{overlay}/daemonset.yaml");
    let object = document(&file);
    assert_eq!(identity(&object), ["apps/v1", "DaemonSet", "viprule"]);
    object["spec"]["template"]["spec"].clone()
}

/// The agent's container and the one that prepares the node.
fn containers(pod: &Value) -> [Value; 2] {
    ["containers", "initContainers"].map(|list| {
        assert_eq!(pod[list].as_array().unwrap().len(), 1, "{list}");
        pod[list][0].clone()
    })
}

#[test]
fn the_agent_has_one_capability_and_can_write_nothing() {
    let [agent, _] = containers(&pod("base"));
    let expected = json!({
        "runAsUser": 0,
        "runAsGroup": 0,
        "privileged": false,
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
    });
    assert_eq!(agent["securityContext"], expected);
    // Lets a container set a filter of its own.
    let profile = json!({"seccompProfile": {"type": "RuntimeDefault"}});
    assert_eq!(pod("base")["securityContext"], profile);
    for mount in agent["volumeMounts"].as_array().unwrap() {
        assert_eq!(mount["readOnly"], true, "{mount}");
    }
}

#[test]
fn nothing_of_the_host_is_mounted() {
    for overlay in OVERLAYS {
        for volume in pod(overlay)["volumes"].as_array().unwrap() {
            let mut kinds: Vec<_> = volume.as_object().unwrap().keys().collect();
            kinds.retain(|key| *key != "name");
            assert_eq!(kinds, ["configMap"], "{overlay}");
        }
    }
}

/// A strategic merge patch: the list of capabilities replaces the other one.
#[test]
fn legacy_tables_take_a_raw_socket_and_the_nodes_lock() {
    let pod = pod("legacy");
    let agent = &pod["containers"][0];
    let added = json!({"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}});
    assert_eq!(agent["securityContext"], added);
    let lock = "/run/xtables.lock";
    assert_eq!(agent["volumeMounts"][0]["mountPath"], lock);
    assert_eq!(agent["volumeMounts"][0]["name"], pod["volumes"][0]["name"]);
    let host = json!({"path": lock, "type": "FileOrCreate"});
    assert_eq!(pod["volumes"][0]["hostPath"], host);
    assert_eq!(pod.as_object().unwrap().len(), 2);
}

#[test]
fn no_limit_can_kill_the_agent() {
    for container in containers(&pod("base")) {
        assert!(container["resources"]["requests"].is_object());
        assert!(container["resources"].get("limits").is_none());
    }
}

#[test]
fn every_node_gets_it_before_anything_else() {
    let pod = pod("base");
    assert_eq!(pod["hostNetwork"], true);
    assert_eq!(pod["priorityClassName"], "system-node-critical");
    assert_eq!(pod["tolerations"], json!([{"operator": "Exists"}]));
    // The cluster's name servers are behind a Service.
    assert_eq!(pod["dnsPolicy"], "Default");
}

#[test]
fn the_configuration_is_where_the_flags_say() {
    for overlay in OVERLAYS {
        let pod = pod(overlay);
        for container in containers(&pod) {
            let args = container["args"].as_array().unwrap();
            let flag = |name: &str| {
                let mut values = args.iter().filter_map(|it| it.as_str()?.strip_prefix(name));
                values.next().unwrap_or_default().to_owned()
            };
            let config = flag("--config=");
            let (folder, _) = config.rsplit_once('/').unwrap();
            let mounts = container["volumeMounts"].as_array().unwrap();
            assert!(
                mounts.iter().any(|mount| mount["mountPath"] == folder),
                "{overlay}: {folder} is not mounted"
            );
            assert_eq!(flag("--hostname-override="), "$(NODE_NAME)", "{overlay}");
        }
    }
}

#[test]
fn probes_and_configuration_agree() {
    let [agent, _] = containers(&pod("base"));
    let config = document("kustomize/base/config.yaml");
    let address = config["healthzBindAddress"].as_str().unwrap();
    let port = agent["ports"][0]["containerPort"].as_u64().unwrap();
    assert_eq!(address, format!("0.0.0.0:{port}"));
    for (probe, path) in [("livenessProbe", "/livez"), ("readinessProbe", "/healthz")] {
        let expected = json!({"path": path, "port": agent["ports"][0]["name"]});
        assert_eq!(agent[probe]["httpGet"], expected);
    }
}

#[test]
fn kube_proxys_role_is_all_that_it_may() {
    let objects = documents("kustomize/base/service-account.yaml");
    let identities: Vec<_> = objects.iter().map(identity).collect();
    let rbac = "rbac.authorization.k8s.io/v1";
    assert_eq!(
        identities,
        [
            ["v1", "ServiceAccount", "viprule"],
            [rbac, "ClusterRoleBinding", "viprule"]
        ]
    );
    assert_eq!(objects[1]["roleRef"]["name"], "system:node-proxier");
    assert_eq!(pod("base")["serviceAccountName"], "viprule");
}

#[test]
fn a_node_has_either_kube_proxy_or_viprule() {
    let selector = pod("kubeadm")["nodeSelector"].clone();
    let (key, value) = selector.as_object().unwrap().iter().next().unwrap();
    let patch = document("kustomize/kubeadm/kube-proxy-nodes.yaml");
    let terms = patch.pointer(
        "/spec/template/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms",
    );
    let expected =
        json!([{"matchExpressions": [{"key": key, "operator": "NotIn", "values": [value]}]}]);
    assert_eq!(terms, Some(&expected));
}

#[test]
fn kubeadms_own_configuration_is_used_as_it_is() {
    let pod = pod("kubeadm");
    assert_eq!(pod["volumes"][0]["configMap"]["name"], "kube-proxy");
    for container in containers(&pod) {
        let args = container["args"].as_array().unwrap();
        assert!(args.contains(&json!("--config=/var/lib/kube-proxy/config.conf")));
    }
}

#[test]
fn configurations_are_kube_proxys_and_complete() {
    for file in ["kustomize/base/config.yaml", "systemd/config.yaml"] {
        let [version, kind, _] = identity(&document(file)).map(str::to_owned);
        assert_eq!(
            (version.as_str(), kind.as_str()),
            ("kubeproxy.config.k8s.io/v1alpha1", "KubeProxyConfiguration"),
            "{file}"
        );
        let mut command = Command::new(viprule_binary().unwrap());
        command.arg(format!("--config={}", path(file).display()));
        command.args(["--hostname-override=node", "--write-config-to=/dev/stdout"]);
        let read = command.args(["--log-level=warn"]).output().unwrap();
        let said = String::from_utf8_lossy(&read.stderr);
        assert_eq!((read.status.code(), said.as_ref()), (Some(0), ""), "{file}");
        // What the file says came through.
        let written = String::from_utf8(read.stdout).unwrap();
        let written: Value = serde_saphyr::from_str(&written).unwrap();
        for (field, value) in document(file).as_object().unwrap() {
            let whole = &written[field];
            match value.as_object() {
                Some(parts) => {
                    for (part, value) in parts {
                        assert_eq!(&whole[part], value, "{file}: {field}.{part}");
                    }
                }
                None => assert_eq!(whole, value, "{file}: {field}"),
            }
        }
    }
}

#[test]
fn the_program_knows_every_flag() {
    let mut command = Command::new(viprule_binary().unwrap());
    let help = command.args(["run", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for overlay in OVERLAYS {
        for container in containers(&pod(overlay)) {
            for arg in container["args"].as_array().unwrap() {
                let Some(flag) = arg.as_str().unwrap().strip_prefix("--") else {
                    assert_eq!(arg, "run");
                    continue;
                };
                let name = flag.split_once('=').map_or(flag, |(name, _)| name);
                assert!(help.contains(&format!("--{name}")), "{overlay}: {arg}");
            }
        }
    }
}
