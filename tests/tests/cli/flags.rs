//! Flags that can't be right.

use crate::support::Place;

/// Arguments of `render` and what has to be said about them.
const WRONG: [(&str, &[&str]); 19] = [
    (
        "--iptables-masquerade-bit=32",
        &["'32'", "--iptables-masquerade-bit", "0..=31"],
    ),
    (
        "--iptables-masquerade-bit=-1",
        &["--iptables-masquerade-bit"],
    ),
    ("--cluster-cidr=10.0.0.0", &["'10.0.0.0'", "--cluster-cidr"]),
    (
        "--cluster-cidr=10.0.0.0/8,11.0.0.0/8",
        &["--cluster-cidr: takes one network, or one of each"],
    ),
    (
        "--cluster-cidr=10.0.0.0/8,fd00::/8,fd01::/16",
        &["--cluster-cidr: takes one network"],
    ),
    ("--ip-family=ipv5", &["'ipv5'", "ipv4, ipv6"]),
    ("--mode=ebpf", &["'ebpf'", "--mode", "iptables"]),
    (
        "--detect-local-mode=Magic",
        &["'Magic'", "ClusterCIDR, NodeCIDR, BridgeInterface"],
    ),
    (
        "--detect-local-mode=BridgeInterface",
        &["--pod-bridge-interface: is needed"],
    ),
    (
        "--detect-local-mode=BridgeInterface --pod-bridge-interface=sixteen-letters-x",
        &["--pod-bridge-interface: \"sixteen-letters-x\" is not an interface name"],
    ),
    (
        "--detect-local-mode=InterfaceNamePrefix",
        &["--pod-interface-name-prefix: is needed"],
    ),
    (
        "--detect-local-mode=InterfaceNamePrefix --pod-interface-name-prefix=a/b",
        &["--pod-interface-name-prefix: \"a/b\" is not an interface name"],
    ),
    (
        "--nodeport-addresses=10.0.0.1",
        &["--nodeport-addresses: 10.0.0.1 needs a prefix length"],
    ),
    (
        "--nodeport-addresses=primary,10.0.0.0/8",
        &["--nodeport-addresses: \"primary\""],
    ),
    ("--bind-address=here", &["'here'", "--bind-address"]),
    ("--node=", &["--node: must not be empty"]),
    ("--masquerade-all=perhaps", &["'perhaps'", "true, false"]),
    ("--output=xml", &["'xml'", "text, json"]),
    ("--colour", &["'--colour'"]),
];

/// The same for `run`.
const WRONG_FOR_RUN: [(&str, &[&str]); 6] = [
    (
        "--iptables-sync-period=30",
        &["'30'", "is not a duration such as 30s"],
    ),
    (
        "--iptables-sync-period=0s",
        &["--iptables-sync-period: must not be 0"],
    ),
    (
        "--iptables-sync-period=1s --iptables-min-sync-period=2s",
        &["--iptables-min-sync-period: must not be longer than --iptables-sync-period"],
    ),
    ("--logging-format=xml", &["'xml'", "text, json"]),
    ("--log-level=a=b=c", &["--log-level: "]),
    ("--output=json", &["'--output'"]),
];

#[test]
fn wrong_flags_are_told_and_end_with_2() {
    let place = Place::new();
    let verbs = WRONG.map(|wrong| ("render", wrong)).into_iter();
    for (verb, (flags, said)) in verbs.chain(WRONG_FOR_RUN.map(|wrong| ("run", wrong))) {
        let node = if flags.contains("--node=") {
            ""
        } else {
            "--node=n"
        };
        place
            .viprule(&format!("{verb} --manifests={{}} {node} {flags}"))
            .says(said);
    }
    assert_eq!(place.ruleset(), "");
}

#[test]
fn what_is_missing_is_told() {
    let place = Place::new();
    // Nothing is changed by then, and there is no more to say.
    for verb in ["run", "render", "diff", "apply"] {
        let answer = place.viprule(verb);
        answer.says(&[
            "no API server is configured",
            "give --kubeconfig, --master or --manifests",
        ]);
        assert_eq!(answer.err.lines().count(), 1, "{}", answer.err);
    }
    place
        .viprule("")
        .says(&["Usage: viprule <COMMAND>", "cleanup"]);
    place.viprule("reconcile").says(&["'reconcile'", "Usage"]);
    place.viprule("completions").says(&["<SHELL>"]);
    place
        .viprule("cleanup --manifests {}")
        .says(&["'--manifests'"]);
}

#[test]
fn settings_have_the_names_that_kube_proxy_has() {
    let place = Place::new();
    let flags = "--proxy-mode=iptables --hostname-override=Node-0 --cluster-cidr=10.244.0.0/16 \
                 --masquerade-all --iptables-masquerade-bit=15 --bind-address=0.0.0.0 \
                 --iptables-localhost-nodeports=false --nodeport-addresses=10.0.0.0/8,fd00::/8 \
                 --detect-local-mode=ClusterCIDR --ip-family=ipv4";
    let out = place
        .viprule(&format!("render --manifests={{}} {flags}"))
        .clean(0);
    assert!(out.contains("-A KUBE-MARK-MASQ -j MARK --set-xmark 0x8000/0x8000\n"));
}
