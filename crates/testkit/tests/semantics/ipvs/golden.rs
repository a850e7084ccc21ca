//! What real kube-proxy wrote for the golden cluster, against the same statement.

use std::path::PathBuf;

use viprule_dataplane::ipvs::Saves;
use viprule_testkit::semantics::Detector;
use viprule_testkit::strategy::every_packet;

use super::agreement::{Node, known_clients};
use crate::kube_proxy::golden_cluster;
use crate::world;

#[test]
fn kube_proxys_own_objects_mean_the_same() {
    let mut cluster = golden_cluster();
    // The node of the dumps had one address of each family.
    cluster.local_addresses = ["127.0.0.1", "192.168.77.2", "::1", "fd00:77::2"]
        .map(world::ip)
        .into();
    let mut settings = world::settings();
    settings.detectors = ["10.244.0.0/16", "fd00:10:244::/48"]
        .map(|net| Some(Detector::Source(net.parse().expect("a network"))));
    let node = Node::new(&cluster, &settings);

    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/cluster/ipvs");
    let mut saves = Saves::new();
    for file in [
        "ipset-save.txt",
        "ipvsadm-Sn.txt",
        "addresses.txt",
        "iptables-save.txt",
        "ip6tables-save.txt",
    ] {
        let text = std::fs::read_to_string(folder.join(file)).expect("a golden file");
        saves.read(&text, None).expect(file);
    }
    let observed = saves.finish().state;
    let theirs = node.walkers_of(&observed);
    let ours = node.walkers_of(&node.state);

    let packets = every_packet(&node.seen);
    assert!(packets.len() > 1000, "only {} packets", packets.len());
    for packet in packets {
        for memories in [vec![], known_clients(&cluster, &packet)] {
            node.agree(&theirs, &packet, &memories)
                .expect("kube-proxy's objects");
            node.agree(&ours, &packet, &memories).expect("our objects");
        }
    }
}
