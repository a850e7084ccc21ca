//! The agent follows its manifests.

use std::fs::rename;

use nix::sys::signal::Signal;
use viprule_testkit::manifests::{ManifestFolder, Node, ProjectedVolume};

use crate::support::{LIMIT, Place, endpoints_of, numbered};

#[test]
fn changed_removed_and_new_files_are_followed() {
    let place = Place::small();
    let mut agent = place.run(&[]);
    let has = |text: &str| {
        let rules = place.rules("nat", "KUBE-SERVICES");
        rules.iter().any(|rule| rule.contains(text))
    };
    assert!(has("shop/c:http"));
    place.folder.remove("c.yaml").unwrap();
    agent
        .wait_until("c to go", LIMIT, || !has("shop/c:http"))
        .unwrap();
    place.write("new", 77, &["10.244.0.6"]);
    agent
        .wait_until("new to come", LIMIT, || has("shop/new:http"))
        .unwrap();
    place.write("a", 1, &[]);
    agent
        .wait_until("a to lose its endpoints", LIMIT, || !has("shop/a:http"))
        .unwrap();
    place.assert_in_sync();
}

#[test]
fn a_folder_without_a_service_takes_nothing_away() {
    let place = Place::small();
    // One by one, files would be followed one by one.
    let other = ManifestFolder::new(place.directory().join("other")).unwrap();
    other.write("node.yaml", &Node::under_test()).unwrap();
    let mut agent = place.run(&[]);
    let before = place.dump();
    let manifests = place.folder.path();
    rename(manifests, place.directory().join("away")).unwrap();
    rename(other.path(), manifests).unwrap();
    agent.wait_for_line("no Service is there", LIMIT).unwrap();
    assert_eq!(place.dump(), before);
    place.write("a", 1, &["10.244.0.5", "10.244.1.7"]);
    place.write("b", 2, &["10.244.0.5", "10.244.1.7"]);
    place.write("new", 77, &["10.244.0.6"]);
    let has = |text: &str| {
        let rules = place.rules("nat", "KUBE-SERVICES");
        rules.iter().any(|rule| rule.contains(text))
    };
    agent
        .wait_until("new to come", LIMIT, || has("shop/new:http"))
        .unwrap();
    agent
        .wait_until("others to go", LIMIT, || !has("shop/c:http"))
        .unwrap();
    place.assert_in_sync();
    drop(agent);

    let mut agent = place.run(&["--allow-empty"]);
    for name in ["a", "b", "new"] {
        place.folder.remove(&format!("{name}.yaml")).unwrap();
    }
    agent
        .wait_until("all to go", LIMIT, || {
            place.rules("nat", "KUBE-SERVICES").len() == 1
        })
        .unwrap();
    place.wait_for_sync();
    let nat = &place.dump()[0].tables["nat"].chains;
    assert!(!nat.keys().any(|name| name.starts_with("KUBE-SVC-")));
}

#[test]
fn a_broken_file_keeps_what_it_said_and_others_are_followed() {
    let place = Place::small();
    let mut agent = place.run(&[]);
    let before = place.rules("nat", "KUBE-NODEPORTS");
    place
        .folder
        .write("b.yaml", "kind: Service\nspec: [")
        .unwrap();
    agent.wait_for_line("b.yaml", LIMIT).unwrap();
    assert_eq!(place.rules("nat", "KUBE-NODEPORTS"), before);
    place.write("d", 4, &["10.244.9.9"]);
    agent
        .wait_for_line("changed: service shop/d", LIMIT)
        .unwrap();
    place.write("b", 2, &["10.244.9.9"]);
    agent
        .wait_for_line("changed: service shop/b", LIMIT)
        .unwrap();
    place.assert_in_sync();
}

#[test]
fn sighup_reads_again_and_sigterm_leaves_the_rules() {
    let place = Place::small();
    let mut agent = place.run(&[]);
    let (before, generation) = (place.dump(), place.generation());
    agent.signal(Signal::SIGHUP).unwrap();
    agent
        .wait_for_line("SIGHUP: reading configuration and input again", LIMIT)
        .unwrap();
    place.write("b", 2, &["10.244.9.9"]);
    agent.signal(Signal::SIGHUP).unwrap();
    agent
        .wait_for_line("changed: service shop/b", LIMIT)
        .unwrap();
    assert_eq!(place.generation(), generation + 1);
    let after = place.dump();
    assert_ne!(after, before);
    let status = agent.terminate(LIMIT).unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(place.dump(), after);
    assert_eq!(place.generation(), generation + 1);
}

#[test]
fn a_restart_writes_nothing() {
    for ending in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGKILL] {
        let place = Place::small();
        let mut agent = place.run(&[]);
        agent.signal(ending).unwrap();
        agent.wait(LIMIT).unwrap();
        let generation = place.generation();
        let mut agent = place.start(&[]);
        agent
            .wait_for_line("first sync: nothing to write", LIMIT)
            .unwrap();
        assert_eq!(place.generation(), generation);
    }
}

#[test]
fn changes_made_while_the_agent_was_away_are_one_transaction() {
    let place = Place::small();
    let mut agent = place.run(&[]);
    agent.terminate(LIMIT).unwrap();
    place.folder.remove("c.yaml").unwrap();
    place.write("b", 2, &["10.244.9.9"]);
    place.write("f", 6, &["10.244.9.9"]);
    place.tool("iptables-nft -t nat -F KUBE-MARK-MASQ");
    let generation = place.generation();
    let _agent = place.run(&[]);
    place.assert_in_sync();
    assert_eq!(place.generation(), generation + 1);
}

#[test]
fn a_projected_volume_is_swapped_as_a_whole() {
    let place = Place::empty();
    let mut volume = ProjectedVolume::new(place.directory().join("volume")).unwrap();
    let file = |name: &str, number, endpoints: &[&str]| {
        let text = format!(
            "{}---\n{}",
            numbered(name, number),
            endpoints_of(name, endpoints)
        );
        (format!("{name}.yaml"), text)
    };
    let node = ("node.yaml".to_owned(), Node::under_test().to_string());
    let first = [
        node.clone(),
        file("a", 1, &["10.244.0.5"]),
        file("b", 2, &["10.244.0.6"]),
    ];
    volume.publish(first).unwrap();
    let path = volume.path().display().to_string();
    let mut agent = place.run(&["--manifests", &path]);
    let generation = place.generation();
    volume
        .publish([
            node,
            file("b", 2, &["10.244.0.7"]),
            file("c", 3, &["10.244.0.8"]),
        ])
        .unwrap();
    agent
        .wait_for_line("service shop/a, service shop/b, service shop/c", LIMIT)
        .unwrap();
    assert_eq!(
        place.generation(),
        generation + 1,
        "one sync for the whole swap"
    );
    assert_eq!(place.viprule("diff", &["--manifests", &path]).code, 0);
}

#[test]
fn an_empty_folder_is_a_cluster_without_services() {
    let place = Place::empty();
    let mut agent = place.run(&["--allow-empty"]);
    place.wait_for_sync();
    let node = Node::under_test().to_string();
    place.folder.write("node.yaml", &node).unwrap();
    place.write("a", 1, &["10.244.0.5"]);
    agent
        .wait_for_line("changed: service shop/a", LIMIT)
        .unwrap();
    place.assert_in_sync();
}
