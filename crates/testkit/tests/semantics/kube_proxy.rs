//! The chains that real kube-proxy wrote for the golden cluster, against the same statement: what
//! we take for Kubernetes' semantics is what kube-proxy does.

use std::path::PathBuf;

use nfnetlink::Family;
use viprule_dataplane::netfilter::{Desired, parse_save};
use viprule_dataplane::ownership::Layout;
use viprule_service::model::Event;
use viprule_source::manifest::Manifests;
use viprule_testkit::semantics::{Cluster, Detector};
use viprule_testkit::strategy::{NODE, every_packet};

use crate::agreement::Node;
use crate::world;

fn golden(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/golden")
        .join(file)
}

pub(crate) fn golden_cluster() -> Cluster {
    let mut manifests = Manifests::new([golden("cluster/cluster.yaml")], Some(NODE.to_owned()));
    let load = manifests.load();
    assert!(load.problems.is_empty(), "{:?}", load.problems);
    let mut cluster = world::empty_cluster();
    for event in load.events {
        match event {
            Event::ServiceApplied(service) => cluster.services.push(service),
            Event::SliceApplied(slice) => cluster.slices.push(slice),
            Event::NodeApplied(node) => cluster.node = Some(node),
            other => panic!("a first load says {other:?}"),
        }
    }
    cluster
}

#[test]
fn kube_proxys_own_chains_mean_the_same() {
    let cluster = golden_cluster();
    let mut settings = world::settings();
    settings.detectors = ["10.244.0.0/16", "fd00:10:244::/48"]
        .map(|net| Some(Detector::Source(net.parse().expect("a network"))));
    let ours = Node::new(&cluster, &settings);

    let save = |file, family| -> Desired {
        let text = std::fs::read_to_string(golden(file)).expect("a golden file");
        parse_save(Layout::Iptables, family, &text).expect("iptables-save output")
    };
    let theirs = save("cluster/iptables-save.txt", Family::Ipv4)
        .merged(save("cluster/ip6tables-save.txt", Family::Ipv6));
    let theirs = ours.walkers_of(&theirs).expect("what the kernel had");
    let walkers = ours.walkers();

    let packets = every_packet(&cluster);
    assert!(packets.len() > 1000, "only {} packets", packets.len());
    for packet in packets {
        for memories in [vec![], world::memories(&cluster, &packet, 1)] {
            theirs
                .agree(&packet, &memories)
                .expect("kube-proxy's chains");
            walkers.agree(&packet, &memories).expect("our chains");
        }
    }
}
