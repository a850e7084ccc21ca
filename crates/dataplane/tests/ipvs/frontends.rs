//! Where a Service answers (contract 3.3 to 3.5).

use viprule_dataplane::iptables::{self, Iptables};
use viprule_dataplane::ipvs::{Ipvs, Settings};
use viprule_dataplane::{CommonSettings, Dataplane as _};
use viprule_service::model::{Protocol, Service};
use viprule_service::plan::{NodeFacts, NodePortAddresses};

use crate::world::{NOT_READY, READY, about, facts, ip, plan, plan_with, render, service, texts};

fn rendered(service: &Service) -> std::collections::BTreeSet<String> {
    render(service, Settings::default())
}

#[test]
fn a_cluster_ip_is_an_element_a_server_with_destinations_and_an_address() {
    let found: Vec<String> = rendered(&service()).into_iter().collect();
    assert_eq!(
        found,
        [
            "-A -t 10.1.0.1:80 -s rr",
            "-a -t 10.1.0.1:80 -r 10.2.0.5:8080 -m -w 1",
            "-a -t 10.1.0.1:80 -r 10.2.1.5:8080 -m -w 1",
            "add KUBE-CLUSTER-IP 10.1.0.1,tcp:80",
            "add KUBE-IPVS-IPS 10.1.0.1",
            "add KUBE-LOOP-BACK 10.2.0.5,tcp:8080,10.2.0.5",
            "inet 10.1.0.1/32",
        ]
    );
}

#[test]
fn a_server_without_endpoints_is_there_all_the_same() {
    let plan = plan_with(&service(), &[], &facts());
    let found = texts(&Ipvs::new(Settings::default(), &facts()).service(&plan));
    assert_eq!(about(&found, &["-A "]), ["-A -t 10.1.0.1:80 -s rr"]);
    assert_eq!(about(&found, &["-a "]), [""; 0]);
}

#[test]
fn virtual_addresses_of_the_node_itself_are_not_bound() {
    let mut service = service();
    service.external_ips = [ip("192.0.2.1"), ip("198.51.100.1")].into();
    service.load_balancer_ips = [ip("203.0.113.1")].into();
    let found = rendered(&service);
    for (address, bound) in [
        ("192.0.2.1", false),
        ("198.51.100.1", true),
        ("203.0.113.1", true),
    ] {
        let server = format!("-A -t {address}:80 -s rr");
        assert!(found.contains(&server), "{server}");
        assert_eq!(found.contains(&format!("inet {address}/32")), bound);
        assert_eq!(
            found.contains(&format!("add KUBE-IPVS-IPS {address}")),
            bound
        );
    }
}

/// Bound, the API server's address would be the node's own with all of its ports.
#[test]
fn addresses_of_the_api_server_are_not_served_unless_they_are_the_nodes() {
    let mut service = service();
    service.external_ips = [ip("192.0.2.1"), ip("198.51.100.1")].into();
    service.load_balancer_ips = [ip("203.0.113.1"), ip("203.0.113.2")].into();
    let api_server = [
        "10.1.0.1:80",
        "192.0.2.1:6443",
        "198.51.100.1:6443",
        "203.0.113.2:80",
    ];
    let facts = NodeFacts {
        api_server: api_server.map(|it| it.parse().unwrap()).into(),
        ..facts()
    };
    let dataplane = Ipvs::new(Settings::default(), &facts);
    let plan = plan_with(&service, &[("10.2.0.5", "here", READY)], &facts);
    let found = texts(&dataplane.service(&plan));
    for (address, served, bound) in [
        ("10.1.0.1", true, true),
        ("192.0.2.1", true, false),
        ("198.51.100.1", false, false),
        ("203.0.113.1", true, true),
        ("203.0.113.2", false, false),
    ] {
        let server = format!("-A -t {address}:80 -s rr");
        assert_eq!(found.contains(&server), served, "{server}");
        let lines = [
            format!("inet {address}/32"),
            format!("add KUBE-IPVS-IPS {address}"),
        ];
        assert!(
            lines.iter().all(|line| found.contains(line) == bound),
            "{address}"
        );
    }
    let objections = dataplane.objections(&plan);
    let starts = [
        "203.0.113.2:80 is where this node",
        "198.51.100.1 is an address of the API",
    ];
    assert_eq!(objections.len(), starts.len(), "{objections:?}");
    for (objection, start) in objections.iter().zip(starts) {
        assert!(objection.starts_with(start), "{objection}");
    }
    // In another mode only the very port matters.
    let iptables = Iptables::new(iptables::Settings::default(), &facts);
    assert_eq!(iptables.objections(&plan), objections[..1]);
}

#[test]
fn a_cluster_ip_of_the_node_itself_is_refused_and_the_rest_goes_on() {
    let mut service = service();
    service.cluster_ips = [ip("192.0.2.1")].into();
    service.external_ips = [ip("198.51.100.1")].into();
    let dataplane = Ipvs::new(Settings::default(), &facts());
    let plan = plan(&service);
    let found = texts(&dataplane.service(&plan));
    assert_eq!(about(&found, &["192.0.2.1"]), [""; 0]);
    assert!(found.contains("-A -t 198.51.100.1:80 -s rr"));
    let objections = dataplane.objections(&plan);
    assert_eq!(objections.len(), 1);
    assert!(objections[0].starts_with("cluster IP 192.0.2.1 is an address of this node"));
    service.cluster_ips = [ip("10.1.0.1")].into();
    assert_eq!(dataplane.objections(&crate::world::plan(&service)), [""; 0]);
}

#[test]
fn sets_tell_the_external_policies_apart() {
    let mut service = service();
    service.external_ips = [ip("198.51.100.1")].into();
    service.load_balancer_ips = [ip("203.0.113.1")].into();
    let in_sets = |service: &Service| {
        let found = rendered(service);
        let [external, load_balancer] = ["198.51.100.1,tcp:80", "203.0.113.1,tcp:80"];
        let name = |text: &String| text.split(' ').nth(1).unwrap().to_owned();
        [external, load_balancer]
            .iter()
            .flat_map(|at| about(&found, &["add ", at]))
            .map(|text| name(&text))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        in_sets(&service),
        ["KUBE-EXTERNAL-IP", "KUBE-LOAD-BALANCER"]
    );
    service.external_policy_local = true;
    assert_eq!(
        in_sets(&service),
        [
            "KUBE-EXTERNAL-IP-LOCAL",
            "KUBE-LOAD-BALANCER",
            "KUBE-LOAD-BALANCER-LOCAL"
        ]
    );
}

#[test]
fn without_local_endpoints_the_others_serve() {
    let mut service = service();
    service.external_ips = [ip("198.51.100.1")].into();
    service.external_policy_local = true;
    let dataplane = Ipvs::new(Settings::default(), &facts());
    let to = |service: &Service, endpoints: &[_], server: &str| {
        let plan = plan_with(service, endpoints, &facts());
        about(&texts(&dataplane.service(&plan)), &["-a ", server]).len()
    };
    let both = [("10.2.0.5", "here", READY), ("10.2.1.5", "there", READY)];
    let remote = &both[1..];
    assert_eq!(to(&service, &both, "198.51.100.1:80"), 1);
    assert_eq!(to(&service, &both, "10.1.0.1:80"), 2);
    assert_eq!(to(&service, remote, "198.51.100.1:80"), 1);

    // Nothing falls back where no traffic goes by the Cluster policy.
    service.external_policy_local = false;
    service.internal_policy_local = true;
    service.external_ips = [].into();
    assert_eq!(to(&service, &both, "10.1.0.1:80"), 1);
    assert_eq!(to(&service, remote, "10.1.0.1:80"), 0);
    service.external_ips = [ip("198.51.100.1")].into();
    assert_eq!(to(&service, remote, "10.1.0.1:80"), 1);
}

#[test]
fn every_local_endpoint_may_reach_itself() {
    let endpoints = [
        ("10.2.0.5", "here", READY),
        ("10.2.0.6", "here", NOT_READY),
        ("10.2.1.5", "there", READY),
        ("10.2.1.6", "there", NOT_READY),
    ];
    let plan = plan_with(&service(), &endpoints, &facts());
    let found = texts(&Ipvs::new(Settings::default(), &facts()).service(&plan));
    assert_eq!(
        about(&found, &["KUBE-LOOP-BACK"]),
        [
            "add KUBE-LOOP-BACK 10.2.0.5,tcp:8080,10.2.0.5",
            "add KUBE-LOOP-BACK 10.2.0.6,tcp:8080,10.2.0.6"
        ]
    );
    assert_eq!(about(&found, &["-a ", "10.2.0.6"]), [""; 0]);
}

#[test]
fn source_ranges_without_the_node_keep_the_node_off() {
    let mut service = service();
    service.load_balancer_ips = [ip("203.0.113.1")].into();
    service.source_ranges = ["198.18.0.0/15".parse().unwrap()].into();
    let found = rendered(&service);
    let cidr = "add KUBE-LOAD-BALANCER-SOURCE-CIDR 203.0.113.1,tcp:80,198.18.0.0/15";
    assert!(found.contains(cidr));
    assert!(found.contains("add KUBE-LOAD-BALANCER-FW 203.0.113.1,tcp:80"));
    assert_eq!(about(&found, &["SOURCE-IP"]), [""; 0]);
    assert_eq!(
        about(&found, &["KUBE-IPVS-OUT-FILTER"]),
        [
            "KUBE-IPVS-OUT-FILTER -s 203.0.113.1/32 -m ipvs --vproto 6 --vaddr 203.0.113.1 --vport 80 -j DROP"
        ]
    );

    service.source_ranges = ["192.0.2.0/24".parse().unwrap()].into();
    let found = rendered(&service);
    assert!(found.contains("add KUBE-LOAD-BALANCER-SOURCE-IP 203.0.113.1,tcp:80,203.0.113.1"));
    assert_eq!(about(&found, &["KUBE-IPVS-OUT-FILTER"]), [""; 0]);
}

fn with_node_port(protocol: Protocol) -> Service {
    let mut service = service();
    service.ports[0].node_port = 30_080;
    service.ports[0].protocol = protocol;
    service.external_policy_local = true;
    service.health_check_node_port = 32_000;
    service
}

#[test]
fn node_ports_answer_on_the_nodes_addresses_only() {
    let found = rendered(&with_node_port(Protocol::Tcp));
    assert_eq!(
        about(&found, &["-A", "30080"]),
        ["-A -t 192.0.2.1:30080 -s rr"]
    );
    assert_eq!(
        about(&found, &["-a", "30080"]),
        ["-a -t 192.0.2.1:30080 -r 10.2.0.5:8080 -m -w 1"]
    );
    assert_eq!(about(&found, &["inet 192.0.2.1"]), [""; 0]);
    let entries = |found, port| about(found, &["add ", port]);
    assert_eq!(
        entries(&found, "30080"),
        [
            "add KUBE-NODE-PORT-LOCAL-TCP 30080",
            "add KUBE-NODE-PORT-TCP 30080"
        ]
    );
    assert_eq!(
        entries(&found, "32000"),
        ["add KUBE-HEALTH-CHECK-NODE-PORT 32000"]
    );
    let udp = rendered(&with_node_port(Protocol::Udp));
    assert_eq!(
        entries(&udp, "30080"),
        [
            "add KUBE-NODE-PORT-LOCAL-UDP 30080",
            "add KUBE-NODE-PORT-UDP 30080"
        ]
    );
    let sctp = rendered(&with_node_port(Protocol::Sctp));
    assert_eq!(
        entries(&sctp, "30080"),
        [
            "add KUBE-NODE-PORT-LOCAL-SCTP-HASH 192.0.2.1,sctp:30080",
            "add KUBE-NODE-PORT-SCTP-HASH 192.0.2.1,sctp:30080"
        ]
    );
}

#[test]
fn chosen_node_port_addresses_are_all_but_loopback() {
    let networks = |texts: &[&str]| {
        NodePortAddresses::Networks(texts.iter().map(|text| text.parse().unwrap()).collect())
    };
    let facts = NodeFacts {
        local_addresses: ["127.0.0.1", "192.0.2.1", "192.0.2.9", "198.18.0.1"]
            .map(ip)
            .into(),
        ..facts()
    };
    let servers = |node_port_addresses| {
        let settings = Settings {
            common: CommonSettings {
                node_port_addresses,
                ..CommonSettings::default()
            },
            ..Settings::default()
        };
        let plan = plan_with(&with_node_port(Protocol::Tcp), &[], &facts);
        let found = texts(&Ipvs::new(settings, &facts).service(&plan));
        let servers = about(&found, &["-A ", ":30080"]);
        (servers, about(&found, &["32000"]).len())
    };
    let (found, checks) = servers(networks(&["127.0.0.0/8", "192.0.2.0/29", "198.18.0.0/15"]));
    assert_eq!(
        found,
        [
            "-A -t 192.0.2.1:30080 -s rr",
            "-A -t 198.18.0.1:30080 -s rr"
        ]
    );
    assert_eq!(checks, 1);
    // Without an address there are neither node ports nor their health check.
    let (found, checks) = servers(networks(&["127.0.0.0/8"]));
    assert_eq!((found.len(), checks), (0, 0));
}

#[test]
fn health_checks_need_node_addresses_only_where_there_is_a_node_port() {
    let mut service = with_node_port(Protocol::Tcp);
    service.ports[0].node_port = 0;
    let facts = NodeFacts::default();
    let plan = plan_with(&service, &[], &facts);
    let found = texts(&Ipvs::new(Settings::default(), &facts).service(&plan));
    assert_eq!(
        about(&found, &["32000"]),
        ["add KUBE-HEALTH-CHECK-NODE-PORT 32000"]
    );
}
