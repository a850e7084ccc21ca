//! Manifests as a reader of YAML sees them.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;
use viprule_testkit::manifests::{
    Bulk, ManifestFolder, Node, ProjectedVolume, endpoint, join, service, slice,
};

fn read(text: &impl ToString) -> Value {
    serde_saphyr::from_str(&text.to_string()).unwrap()
}

#[test]
fn a_service_has_what_it_was_given() {
    let edge = service("shop/edge")
        .cluster_ip("10.1.0.40")
        .cluster_ip("fd00:10:1::40")
        .tcp("https", 443, 8443)
        .node_port(30443)
        .udp("", 53, 5353)
        .load_balancer("203.0.113.40")
        .source_range("203.0.113.0/24")
        .external_local()
        .health_check(32040)
        .affinity(600)
        .label("service.kubernetes.io/service-proxy-name", "other");
    let expected = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "namespace": "shop", "name": "edge",
            "labels": {"service.kubernetes.io/service-proxy-name": "other"},
        },
        "spec": {
            "type": "LoadBalancer",
            "clusterIP": "10.1.0.40", "clusterIPs": ["10.1.0.40", "fd00:10:1::40"],
            "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack",
            "ports": [
                {"name": "https", "port": 443, "targetPort": 8443, "protocol": "TCP",
                 "nodePort": 30443},
                {"port": 53, "targetPort": 5353, "protocol": "UDP"},
            ],
            "loadBalancerSourceRanges": ["203.0.113.0/24"],
            "externalTrafficPolicy": "Local", "healthCheckNodePort": 32040,
            "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}},
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.40", "ipMode": "VIP"}]}},
    });
    assert_eq!(read(&edge), expected);
    let simple = service("web")
        .cluster_ip("10.1.0.1")
        .tcp("", 80, 8080)
        .node_port(30080);
    assert_eq!(simple.json()["spec"]["type"], "NodePort");
    assert_eq!(simple.json()["metadata"]["namespace"], "default");
}

#[test]
fn a_slice_has_what_it_was_given() {
    let edge = slice("shop/edge-a", "edge")
        .tcp("https", 8443)
        .ready("fd00:10:244::40", "node-0")
        .endpoint(
            endpoint("fd00:10:244:1::40")
                .node("node-1")
                .zone("b")
                .terminating(true),
        )
        .endpoint(
            endpoint("fd00:10:244:1::41")
                .not_ready()
                .hint_zone("b")
                .hint_node("node-1"),
        );
    let read = read(&edge);
    assert_eq!(read["addressType"], "IPv6");
    assert_eq!(
        read["metadata"]["labels"]["kubernetes.io/service-name"],
        "edge"
    );
    assert_eq!(
        read["ports"],
        json!([{"name": "https", "port": 8443, "protocol": "TCP"}])
    );
    assert_eq!(
        read["endpoints"],
        json!([
            {"addresses": ["fd00:10:244::40"], "nodeName": "node-0",
             "conditions": {"ready": true, "serving": true, "terminating": false}},
            {"addresses": ["fd00:10:244:1::40"], "nodeName": "node-1", "zone": "b",
             "conditions": {"ready": false, "serving": true, "terminating": true}},
            {"addresses": ["fd00:10:244:1::41"],
             "hints": {"forZones": [{"name": "b"}], "forNodes": [{"name": "node-1"}]},
             "conditions": {"ready": false, "serving": false, "terminating": false}},
        ])
    );
}

#[test]
fn the_node_is_the_golden_one() {
    let node = read(&Node::under_test().zone("zone-a"));
    assert_eq!(node["spec"]["podCIDR"], "10.244.0.0/24");
    assert_eq!(node["spec"]["podCIDRs"][1], "fd00:10:244::/64");
    assert_eq!(node["status"]["addresses"][1]["address"], "192.168.77.2");
    assert_eq!(
        node["metadata"]["labels"]["topology.kubernetes.io/zone"],
        "zone-a"
    );
}

#[test]
fn a_folder_holds_whole_files_only() {
    let place = tempfile::tempdir().unwrap();
    let folder = ManifestFolder::new(place.path().join("manifests")).unwrap();
    let (one, two) = (service("one").cluster_ip("10.1.0.1"), service("two"));
    folder.write("a.yaml", &join([&one, &two])).unwrap();
    let inode = |name: &str| {
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(folder.path().join(name)).unwrap())
    };
    let before = inode("a.yaml");
    folder.write("a.yaml", &two).unwrap();
    assert_ne!(before, inode("a.yaml"), "replaced, not overwritten");
    assert_eq!(
        fs::read_to_string(folder.path().join("a.yaml")).unwrap(),
        two.to_string()
    );
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing left behind"
    );
    folder.remove("a.yaml").unwrap();
    folder.remove("a.yaml").unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_projected_volume_changes_by_one_link() {
    let place = tempfile::tempdir().unwrap();
    let mut volume = ProjectedVolume::new(place.path()).unwrap();
    volume.publish([("a.yaml", "1"), ("b.yaml", "1")]).unwrap();
    let data = fs::read_link(place.path().join("..data")).unwrap();
    volume.publish([("a.yaml", "2"), ("c.yaml", "2")]).unwrap();
    assert_ne!(data, fs::read_link(place.path().join("..data")).unwrap());
    assert_eq!(
        fs::read_link(place.path().join("c.yaml")).unwrap().to_str(),
        Some("..data/c.yaml")
    );
    for name in ["a.yaml", "c.yaml"] {
        assert_eq!(fs::read_to_string(place.path().join(name)).unwrap(), "2");
    }
    let names: BTreeSet<_> = fs::read_dir(place.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let expected = ["..data", "..revision_2", "a.yaml", "c.yaml"];
    assert_eq!(names, expected.map(str::to_owned).into());
}

#[test]
fn bulk_data_is_distinct_readable_and_fast() {
    let bulk = Bulk::new(60, 120);
    let mut text = Vec::new();
    let start = Instant::now();
    bulk.write_to(&mut text).unwrap();
    eprintln!("{} bytes in {:?}", text.len(), start.elapsed());
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&String::from_utf8(text).unwrap()).unwrap();
    // A Service and two slices each: 120 endpoints don't fit into one.
    assert_eq!(documents.len(), 60 * 3);
    let mut addresses = BTreeSet::new();
    for document in &documents {
        for endpoint in document["endpoints"].as_array().into_iter().flatten() {
            addresses.insert(endpoint["addresses"][0].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(addresses.len(), 60 * 120);
    assert_eq!(documents[0]["spec"]["clusterIP"], "10.96.0.10");
    assert_eq!(
        documents[1]["metadata"]["labels"]["kubernetes.io/service-name"],
        "svc-0"
    );

    let (old, new, newer) = (
        bulk.endpoint(7, 0, 0),
        bulk.endpoint(7, 0, 1),
        bulk.endpoint(7, 0, 2),
    );
    assert!(old != new && new != newer && !addresses.contains(&new.to_string()));
    assert_eq!(bulk.endpoint(7, 1, 1), bulk.endpoint(7, 1, 0));
    let mut moved = Vec::new();
    bulk.write_slices(7, 1, &mut moved).unwrap();
    let moved = String::from_utf8(moved).unwrap();
    assert!(moved.contains(&new.to_string()) && !moved.contains(&format!("[{old}]")));

    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("bulk.yaml");
    Bulk::new(3, 2).write_file(&path).unwrap();
    assert_eq!(
        fs::read_to_string(path)
            .unwrap()
            .matches("kind: Service\n")
            .count(),
        3
    );
}

#[test]
fn the_largest_numbers_stay_in_their_ranges() {
    let bulk = Bulk::new(1_000_000, 8);
    assert_eq!(bulk.cluster_ip(999_999).octets()[..2], [10, 111]);
    assert_eq!(bulk.endpoint(999_999, 7, 0).octets()[..2], [10, 250]);
    for revision in [1, 2, 1000] {
        assert!(bulk.endpoint(999_999, 0, revision).octets()[1] >= 250);
    }
}
