//! Which endpoints get connections, and how many.

use crate::support::golden::Golden;
use crate::support::{CLUSTER_CIDR, PATIENCE, Place, at, even, shared, timed_out};
use viprule_testkit::Mode;
use viprule_testkit::Protocol::Tcp;
use viprule_testkit::client::Client;
use viprule_testkit::golden::MANIFEST;

const MANY: u32 = 2_000;
/// Enough to see that nobody else is ever chosen: a share of 5 % would be missed once in 28,000.
const SOME: u32 = 200;

const NGINX: [&str; 3] = ["10.244.0.5:80", "10.244.1.3:80", "10.244.2.4:80"];
const EDGE: [&str; 2] = ["10.244.0.40:8443", "10.244.1.40:8443"];
const EDGE_LOCAL: [&str; 1] = ["10.244.0.40:8443"];

fn applied() -> Golden {
    let golden = Golden::new(shared());
    golden.stage.apply(CLUSTER_CIDR);
    golden
}

/// A client outside that uses one of its other addresses.
fn outside<'g>(golden: &'g Golden, source: &str) -> Client<'g> {
    let client = golden.stage.world.outside();
    client.from_address(source.parse().unwrap())
}

#[test]
fn a_cluster_ip_spreads_evenly_over_the_ready_endpoints() {
    let golden = applied();
    for place in Place::ALL {
        for (target, backends) in [("10.1.20.144:8080", &NGINX[..]), ("10.1.0.40:443", &EDGE)] {
            let client = golden.stage.client(place, at(target));
            even(
                client,
                (Tcp, at(target), MANY),
                backends,
                &format!("{place:?}"),
            );
        }
    }
}

#[test]
fn an_endpoint_that_is_not_ready_gets_no_connection() {
    let golden = Golden::new(shared());
    let ready = "[10.244.1.3], conditions: {ready: true, serving: true";
    assert!(MANIFEST.contains(ready));
    let not_ready = "[10.244.1.3], conditions: {ready: false, serving: true";
    golden
        .stage
        .write("cluster.yaml", &MANIFEST.replace(ready, not_ready));
    golden.stage.apply(CLUSTER_CIDR);
    for target in ["10.1.20.144:8080", "192.168.77.2:32697"].map(at) {
        let client = golden.stage.world.outside();
        even(
            client,
            (Tcp, target, MANY),
            &[NGINX[0], NGINX[2]],
            "outside",
        );
    }
}

#[test]
fn an_endpoint_is_a_client_as_any_other() {
    let golden = applied();
    let client = golden.stage.world.in_pod("10.244.0.5").unwrap();
    even(
        client,
        (Tcp, at("10.1.20.144:8080"), MANY),
        &NGINX,
        "an endpoint itself",
    );
}

#[test]
fn a_node_port_spreads_evenly_over_the_ready_endpoints() {
    let golden = applied();
    for place in Place::ALL {
        let client = golden.stage.client(place, at("192.168.77.2:32697"));
        even(
            client,
            (Tcp, at("192.168.77.2:32697"), MANY),
            &NGINX,
            &format!("{place:?}"),
        );
        let client = golden.stage.client(place, at("192.168.77.2:30041"));
        let proxied = ["10.244.1.41:8080"];
        even(
            client,
            (Tcp, at("192.168.77.2:30041"), SOME),
            &proxied,
            &format!("{place:?}"),
        );
    }
    // The node's address on its pods' links is local as well. In IPVS mode node ports are on the
    // addresses of the manifests' Node, which doesn't have it, and in nftables mode on the primary ones.
    if Mode::of_this_run() != Mode::Iptables {
        return;
    }
    let client = golden.stage.client(Place::Pod, at("10.244.0.1:32697"));
    even(
        client,
        (Tcp, at("10.244.0.1:32697"), MANY),
        &NGINX,
        "gateway",
    );
}

#[test]
fn zone_hints_keep_connections_in_the_zone() {
    let golden = applied();
    for place in Place::ALL {
        let client = golden.stage.client(place, at("10.1.0.70:80"));
        even(
            client,
            (Tcp, at("10.1.0.70:80"), SOME),
            &["10.244.0.70:8080"],
            &format!("{place:?}"),
        );
    }
    let elsewhere = MANIFEST.replace(
        "topology.kubernetes.io/zone: zone-a",
        "topology.kubernetes.io/zone: zone-b",
    );
    golden.stage.write("cluster.yaml", &elsewhere);
    golden.stage.apply(CLUSTER_CIDR);
    let client = golden.stage.world.outside();
    even(
        client,
        (Tcp, at("10.1.0.70:80"), SOME),
        &["10.244.1.70:8080"],
        "in zone-b",
    );
}

#[test]
fn without_ready_endpoints_those_that_still_serve_are_used() {
    let golden = applied();
    for place in Place::ALL {
        let client = golden.stage.client(place, at("10.1.0.60:80"));
        even(
            client,
            (Tcp, at("10.1.0.60:80"), SOME),
            &["10.244.0.60:8080"],
            &format!("{place:?}"),
        );
    }
}

#[test]
fn local_policy_keeps_outside_connections_on_the_node() {
    let golden = applied();
    let (node_port, external) = (at("192.168.77.2:30443"), at("198.51.100.40:443"));
    for target in [node_port, external] {
        // Node ports and external IPs know no source ranges.
        even(
            golden.stage.world.outside(),
            (Tcp, target, SOME),
            &EDGE_LOCAL,
            "outside",
        );
        even(
            outside(&golden, "192.0.2.200"),
            (Tcp, target, SOME),
            &EDGE_LOCAL,
            "outside",
        );
        // The policy is about outside only; a virtual server has one set of destinations for
        // everybody (contract 3.4).
        let inside = match Mode::of_this_run() {
            Mode::Iptables | Mode::Nftables => &EDGE[..],
            Mode::Ipvs => &EDGE_LOCAL,
        };
        for place in [Place::Node, Place::Pod] {
            let client = golden.stage.client(place, target);
            even(client, (Tcp, target, MANY), inside, &format!("{place:?}"));
        }
    }
}

#[test]
fn a_load_balancer_ip_takes_only_its_source_ranges() {
    let golden = applied();
    let target = at("203.0.113.40:443");
    // Whoever gets past the node unnoticed is answered there: a drop is told from a lost packet.
    let _stranger = golden.stage.stranger("10.244.0.10", Tcp, target);

    for allowed in ["203.0.113.9", "192.0.2.5"] {
        even(
            outside(&golden, allowed),
            (Tcp, target, SOME),
            &EDGE_LOCAL,
            allowed,
        );
    }
    let refused = [
        outside(&golden, "192.0.2.200"),
        golden.stage.world.outside(),
        golden.stage.world.on_node(),
        golden.stage.client(Place::Pod, target),
    ];
    for client in refused {
        let attempt = client.timeout(PATIENCE).tcp(target).unwrap();
        timed_out(&attempt, &format!("{client:?}"));
    }
    golden.stage.cleanup();
    for client in refused {
        let answer = client.tcp(target).unwrap().result.unwrap();
        assert_eq!(answer.backend, target, "without rules the stranger answers");
    }
}

#[test]
fn a_load_balancer_ip_of_mode_proxy_is_left_alone() {
    let golden = applied();
    even(
        golden.stage.world.outside(),
        (Tcp, at("10.1.0.41:80"), SOME),
        &["10.244.1.41:8080"],
        "",
    );
    let target = at("203.0.113.41:80");
    // The balancer is behind the node.
    let _balancer = golden.stage.stranger("10.244.0.10", Tcp, target);
    for place in Place::ALL {
        let client = golden.stage.client(place, target);
        even(
            client,
            (Tcp, target, 20),
            &["203.0.113.41:80"],
            &format!("{place:?}"),
        );
    }
}

#[test]
fn both_families_of_a_service_spread_evenly() {
    let golden = applied();
    let v4 = ["10.244.0.80:8080", "10.244.1.80:8080"];
    let v6 = ["[fd00:10:244::80]:8080", "[fd00:10:244:1::80]:8080"];
    let targets = [
        ("10.1.0.80:80", &v4),
        ("192.168.77.2:30080", &v4),
        ("[fd00:10:1::80]:80", &v6),
        ("[fd00:77::2]:30080", &v6),
    ];
    for (target, backends) in targets {
        for place in Place::ALL {
            let client = golden.stage.client(place, at(target));
            even(
                client,
                (Tcp, at(target), MANY),
                backends,
                &format!("{place:?}"),
            );
        }
    }
}
