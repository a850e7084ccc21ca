//! What is refused, and under which name; what flags and files come to.

use std::net::SocketAddr;
use std::time::Duration;

use viprule::config::{Effective, InputSource, NodeFit, SyncPeriods};
use viprule::mode::ProxyMode;
use viprule::mode::ipvs::{self, IpvsSettings};
use viprule::mode::nftables;
use viprule_service::model::Family;
use viprule_service::plan::{Budgets, NodePortAddresses};

use crate::support::{HEAD, OWN_HEAD, Place, of_file, of_flags};

/// Fields and what has to be said about them.
const WRONG: [(&str, &str); 45] = [
    (
        "mode: ebpf",
        "mode: must be iptables, ipvs, nftables or empty",
    ),
    (
        "mode: nftables\nnftables: {minSyncPeriod: 31s}",
        "nftables.minSyncPeriod: must not be longer than nftables.syncPeriod",
    ),
    (
        "mode: ipvs\nipvs: {scheduler: 'round robin'}",
        "ipvs.scheduler: \"round robin\" is no scheduler that Linux has: rr, wrr, lc, wlc,",
    ),
    (
        "mode: ipvs\nipvs: {scheduler: wlcc}",
        "ipvs.scheduler: \"wlcc\" is no scheduler that Linux has: rr, wrr, lc, wlc,",
    ),
    (
        "---\napiVersion: config.viprule.dev/v1alpha1\nkind: VipruleConfiguration\n\
         ipvsDrainTimeout: -1s",
        "ipvsDrainTimeout: must not be negative",
    ),
    ("mode: 3", "line 3: mode: must be a text, not 3"),
    (
        "iptables: {masqueradeBit: 32}",
        "iptables.masqueradeBit: must be within 0 to 31",
    ),
    (
        "iptables: {masqueradeBit: -1}",
        "iptables.masqueradeBit: must be within 0 to 31",
    ),
    (
        "iptables: {masqueradeBit: '14'}",
        "iptables.masqueradeBit: must be an integer, not the text",
    ),
    (
        "iptables: {masqueradeBit: 99999999999}",
        "iptables.masqueradeBit: must be within -2147483648",
    ),
    (
        "iptables: {masqueradeAll: 'true'}",
        "iptables.masqueradeAll: must be true or false",
    ),
    ("iptables: [1]", "iptables: must be a map, not a list"),
    (
        "iptables: {syncPeriod: -1s}",
        "iptables.syncPeriod: must not be negative",
    ),
    (
        "iptables: {syncPeriod: 30}",
        "iptables.syncPeriod: must be a duration such as 30s",
    ),
    (
        "iptables: {syncPeriod: soon}",
        "iptables.syncPeriod: \"soon\" is not a duration",
    ),
    (
        "iptables: {minSyncPeriod: -1s}",
        "iptables.minSyncPeriod: must not be negative",
    ),
    (
        "iptables: {minSyncPeriod: 31s}",
        "iptables.minSyncPeriod: must not be longer than iptables.syncPeriod",
    ),
    (
        "mode: ipvs\nipvs: {excludeCIDRs: [10.0.0.0]}",
        "ipvs.excludeCIDRs[0]: 10.0.0.0 needs a prefix",
    ),
    (
        "mode: ipvs\nipvs: {udpTimeout: -1s}",
        "ipvs.udpTimeout: must not be negative",
    ),
    (
        "mode: ipvs\nipvs: {syncPeriod: 1s, minSyncPeriod: 2s}",
        "ipvs.minSyncPeriod: must not be longer",
    ),
    (
        "mode: nftables\nnftables: {masqueradeBit: 40}",
        "nftables.masqueradeBit: must be within 0",
    ),
    (
        "bindAddress: here",
        "bindAddress: \"here\" is not an IP address",
    ),
    (
        "healthzBindAddress: here:1",
        "healthzBindAddress: must be IP:port, and \"here:1\" has no IP",
    ),
    (
        "healthzBindAddress: 1.2.3.4:0",
        "healthzBindAddress: must be IP:port, and \"1.2.3.4:0\" has no",
    ),
    (
        "metricsBindAddress: '[::1]:65536'",
        "metricsBindAddress: must be IP:port",
    ),
    (
        "metricsBindAddress: localhost",
        "metricsBindAddress: must be IP:port",
    ),
    (
        "nodePortAddresses: [10.0.0.0/8, primary]",
        "nodePortAddresses[1]: \"primary\" stands alone",
    ),
    (
        "nodePortAddresses: [10.0.0.1]",
        "nodePortAddresses[0]: 10.0.0.1 needs a prefix length",
    ),
    (
        "nodePortAddresses: 10.0.0.0/8",
        "nodePortAddresses: must be a list",
    ),
    (
        "clusterCIDR: 10.0.0.0/8,11.0.0.0/8",
        "clusterCIDR: takes one network, or one of each family",
    ),
    (
        "clusterCIDR: everything",
        "clusterCIDR: \"everything\" is not a network",
    ),
    (
        "detectLocalMode: Magic",
        "detectLocalMode: must be ClusterCIDR, NodeCIDR",
    ),
    (
        "detectLocalMode: BridgeInterface",
        "detectLocal.bridgeInterface: is needed with this detectLocal",
    ),
    (
        "detectLocalMode: InterfaceNamePrefix",
        "detectLocal.interfaceNamePrefix: is needed",
    ),
    (
        "oomScoreAdj: 1001",
        "oomScoreAdj: must be within -1000 to 1000",
    ),
    (
        "conntrack: {maxPerCore: -1}",
        "conntrack.maxPerCore: must not be negative",
    ),
    (
        "conntrack: {tcpCloseWaitTimeout: -1s}",
        "conntrack.tcpCloseWaitTimeout: must not be negative",
    ),
    (
        "clientConnection: {burst: -1}",
        "clientConnection.burst: must not be negative",
    ),
    (
        "configSyncPeriod: -1s",
        "configSyncPeriod: must not be negative",
    ),
    (
        "showHiddenMetricsForVersion: '1.20'",
        "showHiddenMetricsForVersion: must be the minor version",
    ),
    (
        "featureGates: {NoSuchGate: true}",
        "featureGates.NoSuchGate: is not a feature gate",
    ),
    (
        "logging: {format: xml}",
        "logging.format: must be text or json",
    ),
    (
        "logging: {flushFrequency: -1s}",
        "logging.flushFrequency: must be more than 0",
    ),
    (
        "logging: {format: json, vmodule: [{filePattern: a}]}",
        "logging.vmodule: goes with the format",
    ),
    (
        "logging: {options: {text: {splitStream: true}}}",
        "logging.options.text.splitStream: needs the",
    ),
];

#[test]
fn wrong_fields_are_told_by_their_path() {
    for (fields, said) in WRONG {
        let error = of_file(fields).unwrap_err().to_string();
        assert!(error.contains(said), "{fields}:\n{error}");
    }
}

#[test]
fn all_that_is_wrong_is_told_together() {
    let types = "mode: [1]\niptables: {masqueradeBit: x, syncPeriod: 5}\noomScoreAdj: low\n";
    let error = of_file(types).unwrap_err();
    assert_eq!(error.problems.len(), 4, "{error}");
    let values = "mode: ebpf\niptables: {masqueradeBit: 77}\noomScoreAdj: 5000\nclusterCIDR: x\n";
    let error = of_file(values).unwrap_err();
    assert_eq!(error.problems.len(), 4, "{error}");
    assert!(
        error
            .to_string()
            .contains("config.conf: 4 errors in the configuration:\n  ")
    );
}

#[test]
fn documents_that_are_none_are_refused() {
    let place = Place::new("");
    for (text, said) in [
        (
            "",
            "has no document of apiVersion kubeproxy.config.k8s.io/v1alpha1",
        ),
        (
            OWN_HEAD,
            "has no document of apiVersion kubeproxy.config.k8s.io/v1alpha1",
        ),
        ("kind: KubeProxyConfiguration\n", "apiVersion is missing"),
        (
            "apiVersion: kubeproxy.config.k8s.io/v1alpha1\n",
            "kind is missing",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\n",
            "ConfigMap of v1 is unknown",
        ),
        (
            &format!("{HEAD}---\n{HEAD}"),
            "has 2 documents of kind KubeProxyConfiguration",
        ),
        ("a: [\n", "is not YAML"),
    ] {
        std::fs::write(place.path("config.conf"), text).unwrap();
        let error = place.load("").unwrap_err().to_string();
        assert!(error.contains(said), "{text}:\n{error}");
    }
    std::fs::remove_file(place.path("config.conf")).unwrap();
    let error = place.load("").unwrap_err().to_string();
    assert!(
        error.contains("config.conf: can't be read: no such file"),
        "{error}"
    );
}

#[test]
fn flags_that_kube_proxy_checks_late_are_told_by_their_names() {
    for (line, said) in [
        (
            "--metrics-port=0",
            "--metrics-bind-address: must be IP:port",
        ),
        (
            "--proxy-mode=nftables --iptables-sync-period=1s --iptables-min-sync-period=2s",
            "--iptables-min-sync-period: must not be longer than --iptables-sync-period",
        ),
        (
            "--proxy-mode=ipvs --ipvs-scheduler=r%r",
            "--ipvs-scheduler: \"r%r\" is no",
        ),
        (
            "--ipvs-drain-timeout=-1s",
            "--ipvs-drain-timeout: must not be negative",
        ),
        (
            "--feature-gates=NoSuchGate=true",
            "--feature-gates: NoSuchGate: is not",
        ),
        ("--oom-score-adj -2000", "--oom-score-adj: must be within"),
        (
            "--conntrack-min=-1",
            "--conntrack-min: must not be negative",
        ),
        (
            "--log-text-split-stream",
            "logging.options.text.splitStream: needs the",
        ),
    ] {
        let error = of_flags(line).unwrap_err().to_string();
        assert!(error.contains(said), "{line}: {error}");
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn addresses_have_the_defaults_that_kube_proxy_gives_them() {
    let of = |fields: &str| {
        let resolved = of_file(fields).unwrap().resolve().clone();
        (resolved.health.unwrap(), resolved.metrics)
    };
    assert_eq!(
        of(""),
        (address("0.0.0.0:10256"), address("127.0.0.1:10249"))
    );
    assert_eq!(
        of("bindAddress: '::'"),
        (address("[::]:10256"), address("[::1]:10249"))
    );
    assert_eq!(
        of("healthzBindAddress: fd00::1\nmetricsBindAddress: 10.0.0.1\n"),
        (address("[fd00::1]:10256"), address("10.0.0.1:10249"))
    );
    let of = |line: &str| {
        let resolved = of_flags(line).unwrap().resolve().clone();
        (resolved.health, resolved.metrics)
    };
    let (health, metrics) = (Some(address("0.0.0.0:10256")), address("127.0.0.1:10249"));
    // The family of the bind address doesn't count for flags, and addresses with a port keep it.
    for line in [
        "",
        "--bind-address=::",
        "--healthz-port=1 --metrics-port=2",
        "--healthz-bind-address= --metrics-bind-address=",
    ] {
        assert_eq!(of(line), (health, metrics), "{line}");
    }
    assert_eq!(of("--healthz-port=0"), (None, metrics));
    assert_eq!(
        of("--healthz-bind-address=10.0.0.1 --healthz-port=77").0,
        Some(address("10.0.0.1:77"))
    );
}

#[test]
fn beside_a_file_few_flags_count_and_the_others_are_named() {
    let place = Place::new(
        "hostnameOverride: of-file\nclientConnection: {kubeconfig: /file}\n\
                            logging: {verbosity: 1}\n",
    );
    let more = "--hostname-override=Of-Flag --master=https://m -v=5 --cluster-cidr=10.0.0.0/8 \
                --kubeconfig=/flag --iptables-sync-period=9s";
    let effective = place.load(more).unwrap();
    assert_eq!(effective.node_name(), "of-flag");
    assert_eq!(effective.resolve().log_level, "trace");
    assert_eq!(effective.proxy.cluster_cidr, "");
    assert_eq!(effective.resolve().sync.period, Duration::from_secs(30));
    let InputSource::Cluster { kubeconfig, master } = effective.input else {
        panic!("{:?}", effective.input);
    };
    assert_eq!(kubeconfig, Some("/file".into()));
    assert_eq!(master, Some("https://m".to_owned()));
    assert_eq!(
        effective.warnings,
        ["--cluster-cidr, --kubeconfig, --iptables-sync-period: without effect beside --config"]
    );
    // All of our own do.
    let ours = "--iptables-backend=nft --ip-family=ipv4 --ipvs-drain-timeout=1s --seccomp=false \
                --service-node-port-range=1024-2047 --masquerade-outside-node-ports=true \
                --service-budget=7 --total-budget=9 --log-level=warn";
    let effective = place.load(ours).unwrap();
    assert_eq!(effective.warnings, [""; 0]);
    let Budgets { service, total } = effective.resolve().plan.budgets;
    assert_eq!((service, total), (7, 9));
    // A verb that ends is an operator's, with a kubeconfig of their own.
    let mut flags = place.flags("--kubeconfig=/flag");
    flags.agent = None;
    let effective = Effective::load(&flags).unwrap();
    assert_eq!(effective.warnings, Vec::<String>::new());
    assert!(matches!(effective.input,
        InputSource::Cluster { kubeconfig: Some(path), .. } if path.as_os_str() == "/flag"));
}

#[test]
fn an_explicit_min_sync_period_counts_and_0_is_the_default() {
    let min = |fields: &str| of_file(fields).unwrap().resolve().sync.min;
    assert_eq!(min(""), Duration::ZERO);
    assert_eq!(min("iptables: {minSyncPeriod: 0s}"), Duration::ZERO);
    assert_eq!(min("iptables: {minSyncPeriod: 2s}"), Duration::from_secs(2));
    let min = |line: &str| of_flags(line).unwrap().resolve().sync.min;
    assert_eq!(min("--iptables-min-sync-period=1s"), Duration::from_secs(1));
    // Another mode's flags don't count.
    assert_eq!(min("--ipvs-min-sync-period=5s"), Duration::ZERO);
}

#[test]
fn ipvs_settings_count_in_their_mode() {
    let fields = "ipvs: {scheduler: sh, excludeCIDRs: [10.9.0.0/16, fd00::/64], strictARP: true, \
                  tcpTimeout: 15m, udpTimeout: 1m, syncPeriod: 10s, minSyncPeriod: 1s}\n";
    let own = format!("{OWN_HEAD}ipvsDrainTimeout: 5m\nipFamilies: [ipv4]\n");
    let effective = of_file(&format!(
        "mode: ipvs\n{fields}clusterCIDR: 10.244.0.0/16\n{own}"
    ));
    let resolved = effective.unwrap().resolve().clone();
    let minutes = |minutes: u64| Some(Duration::from_secs(60 * minutes));
    let networks = ["10.9.0.0/16", "fd00::/64"].map(|text| text.parse().unwrap());
    let expected = IpvsSettings {
        scheduler: "sh".parse().unwrap(),
        exclude_cidrs: networks.to_vec(),
        strict_arp: true,
        tcp_timeout: minutes(15),
        tcp_fin_timeout: None,
        udp_timeout: minutes(1),
        drain_timeout: minutes(5),
    };
    assert_eq!(
        (resolved.mode, &resolved.modes.ipvs),
        (ProxyMode::Ipvs, &expected)
    );
    assert_eq!(resolved.sync.period, Duration::from_secs(10));
    let settings = ipvs::settings(&resolved, None);
    assert_eq!(settings.common.families, [nfnetlink::Family::Ipv4]);
    assert_eq!(settings.common.detect_local, resolved.common.detect_local);
    assert_eq!(settings.exclude_cidrs, networks);

    // Another mode lets the connections end that this one had, keeps what is excluded, and has no use
    // for the rest.
    let effective = of_file(&format!("{fields}{own}"));
    let resolved = effective.unwrap().resolve().clone();
    let expected = IpvsSettings {
        exclude_cidrs: networks.to_vec(),
        drain_timeout: minutes(5),
        ..IpvsSettings::default()
    };
    assert_eq!(
        (resolved.mode, resolved.modes.ipvs),
        (ProxyMode::Iptables, expected)
    );
    let of_flags = of_flags("--proxy-mode=ipvs --ipvs-scheduler=mh --ipvs-drain-timeout=30s");
    let resolved = of_flags.unwrap().resolve().clone();
    assert_eq!(resolved.modes.ipvs.scheduler.as_str(), "mh");
    assert_eq!(
        resolved.modes.ipvs.drain_timeout,
        Some(Duration::from_secs(30))
    );
    assert_eq!(resolved.sync.min, Duration::ZERO);
}

#[test]
fn nftables_mode_has_a_section_of_its_own() {
    let of_file = |fields: &str| {
        let effective = of_file(&format!("mode: nftables\n{fields}")).unwrap();
        assert_eq!(effective.warnings, Vec::<String>::new());
        effective.resolve().clone()
    };
    let resolved = of_file(
        "nftables: {masqueradeBit: 3, masqueradeAll: true, syncPeriod: 9s, minSyncPeriod: 1s}\n\
         iptables: {masqueradeBit: 5, syncPeriod: 7s}\nclusterCIDR: 10.244.0.0/16\n",
    );
    assert_eq!(resolved.mode, ProxyMode::Nftables);
    let SyncPeriods { period, min } = resolved.sync;
    assert_eq!((period.as_secs(), min.as_secs()), (9, 1));
    let common = nftables::settings(&resolved, None).common;
    assert_eq!((common.masquerade_bit, common.masquerade_all), (3, true));
    assert_eq!(common.detect_local, resolved.common.detect_local);
    assert_eq!(common.families.len(), 2);

    // Another mode's settings don't count, and node ports answer where kube-proxy's do.
    let resolved = of_file("iptables: {masqueradeBit: 5, masqueradeAll: true}\n");
    let common = &resolved.common;
    assert_eq!((common.masquerade_bit, common.masquerade_all), (14, false));
    assert_eq!(resolved.sync.min, Duration::ZERO);
    let addresses = |fields: &str| of_file(fields).common.node_port_addresses;
    for fields in ["", "nodePortAddresses: []", "nodePortAddresses: [primary]"] {
        assert_eq!(addresses(fields), NodePortAddresses::Primary, "{fields}");
    }
    let networks = ["10.0.0.0/8".parse().unwrap()].to_vec();
    assert_eq!(
        addresses("nodePortAddresses: [10.0.0.0/8]"),
        NodePortAddresses::Networks(networks)
    );

    let of_flags = of_flags("--proxy-mode=nftables --masquerade-all --iptables-sync-period=8s");
    let resolved = of_flags.unwrap().resolve().clone();
    let common = &resolved.common;
    assert_eq!((common.masquerade_bit, common.masquerade_all), (14, true));
    assert_eq!(common.node_port_addresses, NodePortAddresses::Primary);
    assert_eq!(resolved.sync.period, Duration::from_secs(8));
}

#[test]
fn settings_are_had_typed() {
    let resolved = of_flags(
        "--feature-gates=AllowServiceExternalIPs=false --conntrack-max-per-core=0 \
         --conntrack-tcp-timeout-established=2h --oom-score-adj=-1 --bind-address=010.0.0.1 --seccomp=false \
         -v 3",
    );
    let resolved = resolved.unwrap().resolve().clone();
    assert!(!resolved.plan.allow_external_ips);
    assert_eq!(
        resolved.plan.bind_address,
        Some("10.0.0.1".parse().unwrap())
    );
    assert_eq!(resolved.conntrack.max_per_core, None);
    assert_eq!(resolved.conntrack.min, 131_072);
    assert_eq!(
        resolved.conntrack.tcp_established_timeout,
        Some(Duration::from_secs(7200))
    );
    assert_eq!(
        resolved.conntrack.tcp_close_wait_timeout,
        Some(Duration::from_secs(3600))
    );
    assert_eq!(resolved.conntrack.udp_timeout, None);
    assert_eq!(resolved.oom_score_adj, -1);
    assert!(!resolved.seccomp);
    assert!(of_flags("").unwrap().resolve().seccomp);
    assert_eq!(resolved.log_level, "debug");
    let manifests = of_flags("--manifests=a --manifests=b").unwrap().input;
    assert_eq!(
        manifests,
        InputSource::Manifests {
            paths: vec!["a".into(), "b".into()],
            allow_empty: false,
        }
    );
}

/// What is said of settings on a node.
fn fit(fields: &str, primary: Family, dual: bool, pod_cidrs: &[&str]) -> NodeFit {
    let pod_cidrs: Vec<_> = pod_cidrs.iter().map(|text| text.parse().unwrap()).collect();
    of_file(fields)
        .unwrap()
        .resolve()
        .fit(primary, dual, &pod_cidrs)
}

#[test]
fn settings_that_do_not_fit_the_node_are_told() {
    const QUIET: &str = "nodePortAddresses: [primary]\n";
    let quiet = |fields: &str, primary, dual, cidrs: &[&str]| {
        fit(&format!("{QUIET}{fields}"), primary, dual, cidrs)
    };
    assert_eq!(
        quiet("", Family::Ipv4, false, &["fd00::/64"]),
        NodeFit::default()
    );
    let v6_pods = "clusterCIDR: fd00::/48\n";
    let v6_only = format!(
        "{v6_pods}bindAddress: '::'
"
    );
    let fine = NodeFit::default();
    assert_eq!(quiet(&v6_only, Family::Ipv6, false, &[]), fine);
    assert!(quiet(v6_pods, Family::Ipv4, false, &[]).fatal.is_some());
    let both = quiet(v6_pods, Family::Ipv4, true, &[]);
    assert_eq!((both.fatal, both.warnings.len()), (None, 1));
    let by_node = "detectLocalMode: NodeCIDR\n";
    assert!(
        quiet(by_node, Family::Ipv4, true, &["fd00::/64"])
            .fatal
            .is_some()
    );
    assert_eq!(
        quiet(by_node, Family::Ipv4, true, &["10.0.0.0/24"]),
        NodeFit::default()
    );
    let health = "healthzBindAddress: fd00::1\n";
    assert_eq!(quiet(health, Family::Ipv4, false, &[]).warnings.len(), 1);

    let warning = |fields: &str, primary| fit(fields, primary, true, &[]).warnings.join("\n");
    assert!(warning("", Family::Ipv4).contains("nodePortAddresses is not set"));
    let one = "nodePortAddresses: [10.0.0.0/8]\n";
    assert_eq!(warning(one, Family::Ipv4), "");
    assert!(warning(one, Family::Ipv6).contains("has no IPv6 network"));
    let dual = format!("{one}clusterCIDR: 10.244.0.0/16,fd00::/48\n");
    assert!(warning(&dual, Family::Ipv4).contains("every IPv6 address"));
}

#[test]
fn a_family_of_the_node_without_a_network_of_pods_is_told() {
    let told = |fields: &str, families: &[Family], pod_cidrs: &[&str]| {
        let pod_cidrs: Vec<_> = pod_cidrs.iter().map(|text| text.parse().unwrap()).collect();
        let effective = of_file(fields).unwrap();
        effective.resolve().without_local(families, &pod_cidrs)
    };
    let v4 = "clusterCIDR: 10.244.0.0/16\n";
    let [warning] = &told(v4, &Family::ALL, &[])[..] else {
        panic!("one line");
    };
    assert!(
        warning.contains("clusterCIDR has no IPv6 network"),
        "{warning}"
    );
    let none: [String; 0] = [];
    assert_eq!(told(v4, &[Family::Ipv4], &[]), none);
    let both = "clusterCIDR: 10.244.0.0/16,fd00::/48\n";
    assert_eq!(told(both, &Family::ALL, &[]), none);
    let by_node = "detectLocalMode: NodeCIDR\n";
    let [warning] = &told(by_node, &Family::ALL, &["fd00::/64"])[..] else {
        panic!("one line");
    };
    assert!(
        warning.contains("spec.podCIDRs has no IPv4 network"),
        "{warning}"
    );
    let dual = ["10.244.0.0/24", "fd00::/64"];
    assert_eq!(told(by_node, &Family::ALL, &dual), none);
    let by_name = "detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: cni}\n";
    assert_eq!(told(by_name, &Family::ALL, &["fd00::/64"]), none);
}

#[test]
fn only_a_regular_file_of_some_length_is_followed() {
    let place = Place::new("");
    let path = place.path("config.conf");
    let load = || {
        let flags = place.flags("");
        let regular = Effective::load_regular(&flags).unwrap_err().to_string();
        (regular, place.load("").unwrap_err().to_string())
    };
    std::fs::write(&path, format!("{HEAD}#{}", " ".repeat(1 << 20))).unwrap();
    let (followed, once) = load();
    let long = "config.conf: is longer than 1 MiB, the most that is read of one file";
    assert!(followed.ends_with(long), "{followed}");
    assert_eq!(followed, once);

    std::fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (followed, once) = load();
    assert!(
        followed.ends_with("config.conf: is a pipe; only regular files are read"),
        "{followed}"
    );
    assert!(
        once.ends_with("is a pipe, and nothing came through it: see what writes to it"),
        "{once}"
    );

    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let (followed, _) = load();
    assert!(followed.contains("is a folder"), "{followed}");

    std::fs::remove_dir(&path).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    let (followed, once) = load();
    assert!(followed.contains("is a device"), "{followed}");
    assert!(once.contains("is longer than 1 MiB"), "{once}");
}
