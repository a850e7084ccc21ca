//! What real kube-proxy wrote for the golden cluster, against the same statement: what we take for
//! Kubernetes' semantics is what kube-proxy does.

use viprule_service::model::Event;
use viprule_source::manifest::Manifests;
use viprule_testkit::golden;
use viprule_testkit::semantics::Cluster;
use viprule_testkit::strategy::every_packet;

use crate::agreement::{Node, Walkers};
use crate::mode::{Dumped, Mode};
use crate::world;

/// The golden cluster on the node of all tests.
pub(crate) fn cluster() -> Cluster {
    let mut manifests = Manifests::new([golden::manifest()], Some(golden::NODE.to_owned()));
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

pub(crate) fn what_kube_proxy_wrote_means_the_same<M: Dumped>() {
    let (cluster, settings) = (M::golden_cluster(), world::settings());
    let node = Node::<M>::new(&cluster, &settings);
    let theirs = M::kube_proxys();
    let walkers = node.walkers_of(&theirs).expect("what the kernel had");
    assert_agreement(&cluster, &node, &walkers);
}

pub(crate) fn what_we_want_there_means_the_same<M: Mode>() {
    let (cluster, settings) = (M::golden_cluster(), world::settings());
    let node = Node::<M>::new(&cluster, &settings);
    assert_agreement(&cluster, &node, &node.walkers());
}

fn assert_agreement<M: Mode>(cluster: &Cluster, node: &Node<'_, M>, walkers: &Walkers<'_, M>) {
    let packets = every_packet(&node.seen);
    assert!(packets.len() > 1000, "only {} packets", packets.len());
    for packet in packets {
        for memories in [vec![], M::memories(cluster, &packet, 1)] {
            walkers
                .agree(&packet, &memories)
                .expect("as Kubernetes says");
        }
    }
}
