//! The static chains (contract 3.6).

use nfnetlink::Family;
use viprule_dataplane::ipvs::{Section, Settings, sections};
use viprule_dataplane::{CommonSettings, DetectLocal};
use viprule_service::model::{Protocol, Service};

use crate::world::{ip, service, with_services};

/// The rules of a chain, IPv4.
fn chain(settings: Settings, services: &[Service], chain: &str) -> Vec<String> {
    let desired = with_services(settings, services);
    let text = &sections(&desired)[&Section::Rules(Family::Ipv4)];
    let start = format!("-A {chain} ");
    text.lines()
        .filter_map(|line| line.strip_prefix(&start))
        .map(str::to_owned)
        .collect()
}

fn masquerading(settings: Settings) -> Vec<String> {
    let rules = chain(settings, &[service()], "KUBE-SERVICES");
    let marks = rules.into_iter().filter(|rule| rule.contains("MARK-MASQ"));
    marks.collect()
}

#[test]
fn which_cluster_ip_traffic_is_masqueraded_depends_on_the_settings() {
    const COMMENT: &str = "-m comment --comment \
         \"Kubernetes service cluster ip + port for masquerade purpose\"";
    let rule = |before: &str, dirs: &str| {
        format!("{before}{COMMENT} -m set --match-set KUBE-CLUSTER-IP {dirs} -j KUBE-MARK-MASQ")
    };
    assert_eq!(masquerading(Settings::default()), [rule("", "src,dst")]);
    let pods = DetectLocal::ClusterCidr(vec!["10.2.0.0/16".parse().unwrap()]);
    let mut settings = Settings {
        common: CommonSettings {
            detect_local: pods,
            ..CommonSettings::default()
        },
        ..Settings::default()
    };
    assert_eq!(
        masquerading(settings.clone()),
        [rule("! -s 10.2.0.0/16 ", "dst,dst")]
    );
    settings.common.masquerade_all = true;
    assert_eq!(masquerading(settings), [rule("", "dst,dst")]);
    let bridge = Settings {
        common: CommonSettings {
            detect_local: DetectLocal::BridgeInterface("cni0".to_owned()),
            ..CommonSettings::default()
        },
        ..Settings::default()
    };
    assert_eq!(masquerading(bridge), [rule("! -i cni0 ", "dst,dst")]);
}

#[test]
fn the_mark_is_the_configured_bit() {
    let settings = Settings {
        common: CommonSettings {
            masquerade_bit: 15,
            ..CommonSettings::default()
        },
        ..Settings::default()
    };
    assert_eq!(
        chain(settings, &[], "KUBE-MARK-MASQ"),
        ["-j MARK --set-xmark 0x8000/0x8000"]
    );
}

#[test]
fn without_elements_there_are_no_rules_about_sets_but_those_that_always_are() {
    let none = |name| chain(Settings::default(), &[], name);
    assert_eq!(
        none("KUBE-SERVICES"),
        [
            "-s 127.0.0.0/8 -j RETURN",
            "-m addrtype --dst-type LOCAL -j KUBE-NODE-PORT"
        ]
    );
    assert_eq!(none("KUBE-POSTROUTING").len(), 3);
    assert_eq!(none("KUBE-LOAD-BALANCER"), ["-j KUBE-MARK-MASQ"]);
    assert_eq!(none("KUBE-PROXY-FIREWALL"), [""; 0]);
    assert_eq!(none("KUBE-SOURCE-RANGES-FIREWALL"), ["-j DROP"]);
    assert_eq!(none("KUBE-IPVS-FILTER").len(), 6);
    // Health checks are let in whether there are some or not; node ports are in the other table.
    assert_eq!(none("KUBE-NODE-PORT").len(), 1);
}

#[test]
fn local_node_ports_return_before_the_others_are_marked() {
    let on_nodes = |protocol, local| {
        let mut service = service();
        service.ports[0].node_port = 30_080;
        service.ports[0].protocol = protocol;
        service.external_policy_local = local;
        service
    };
    let services: Vec<Service> = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
        .map(|protocol| on_nodes(protocol, true))
        .into();
    let found: Vec<String> = chain(Settings::default(), &services, "KUBE-NODE-PORT")
        .into_iter()
        .filter(|rule| rule.starts_with("-p"))
        .map(|rule| {
            let words: Vec<&str> = rule.split(' ').collect();
            let set = words
                .iter()
                .position(|word| *word == "--match-set")
                .unwrap();
            let about = [words[1], words[set + 1], words[set + 2], words[set + 4]];
            about.join(" ")
        })
        .collect();
    assert_eq!(
        found,
        [
            "tcp KUBE-NODE-PORT-LOCAL-TCP dst RETURN",
            "tcp KUBE-NODE-PORT-TCP dst KUBE-MARK-MASQ",
            "udp KUBE-NODE-PORT-LOCAL-UDP dst RETURN",
            "udp KUBE-NODE-PORT-UDP dst KUBE-MARK-MASQ",
            "sctp KUBE-NODE-PORT-LOCAL-SCTP-HASH dst,dst RETURN",
            "sctp KUBE-NODE-PORT-SCTP-HASH dst,dst KUBE-MARK-MASQ",
        ]
    );
}

#[test]
fn external_addresses_are_accepted_from_elsewhere_and_masqueraded_where_not_local() {
    let mut service = service();
    service.external_ips = [ip("198.51.100.1")].into();
    let rules = |service: &Service| -> Vec<String> {
        chain(
            Settings::default(),
            std::slice::from_ref(service),
            "KUBE-SERVICES",
        )
        .into_iter()
        .filter_map(|rule| Some(rule.split_once("KUBE-EXTERNAL-IP")?.1.to_owned()))
        .collect()
    };
    let elsewhere = "dst,dst -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT";
    let here = "dst,dst -m addrtype --dst-type LOCAL -j ACCEPT";
    assert_eq!(
        rules(&service),
        [
            " dst,dst -j KUBE-MARK-MASQ".to_owned(),
            format!(" {elsewhere}"),
            format!(" {here}")
        ]
    );
    service.external_policy_local = true;
    assert_eq!(
        rules(&service),
        [format!("-LOCAL {elsewhere}"), format!("-LOCAL {here}")]
    );
}
