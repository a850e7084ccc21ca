//! The agent starts in front of rules, and is not told of everything that they are for.

use std::path::Path;

use viprule_testkit::agent::{Agent, viprule_binary};
use viprule_testkit::dump::Dump;
use viprule_testkit::manifests::Node;

use crate::support::{LIMIT, Place, ordered};

fn rules(place: &Place) -> [Dump; 2] {
    place.dump().map(ordered)
}

/// How many Services' chains there are.
fn services(place: &Place) -> usize {
    let dump = &rules(place)[0];
    let chains = dump.tables["nat"].chains.keys();
    chains.filter(|name| name.starts_with("KUBE-SVC-")).count()
}

#[test]
fn an_empty_folder_is_waited_for() {
    let place = Place::small();
    place.run(&[]).kill().unwrap();
    for name in ["node", "a", "b", "c", "d", "e"] {
        place.folder.remove(&format!("{name}.yaml")).unwrap();
    }
    let before = rules(&place);
    let mut agent = place.start(&[]);
    let line = agent.wait_for_line("no Service is there", LIMIT).unwrap();
    assert!(line.contains("--allow-empty"), "{line}");
    place
        .folder
        .write("node.yaml", &Node::under_test())
        .unwrap();
    assert_eq!(rules(&place), before);
    place.write("b", 2, &["10.244.0.5", "10.244.1.7"]);
    agent.wait_for_line("first sync", LIMIT).unwrap();
    place.wait_for_sync();
    assert_eq!(services(&place), 1);
    agent.kill().unwrap();

    place.folder.remove("b.yaml").unwrap();
    let mut agent = place.run(&["--allow-empty"]);
    assert_eq!(services(&place), 0);
    agent.kill().unwrap();
}

#[test]
fn a_folder_that_is_filled_in_part_is_waited_for() {
    let place = Place::small();
    let more = ["f", "g", "h", "i", "j"];
    for (number, name) in (6..).zip(more) {
        place.write(name, number, &["10.244.0.5"]);
    }
    place.run(&[]).kill().unwrap();
    let remove = |names: &[&str]| {
        for name in names {
            place.folder.remove(&format!("{name}.yaml")).unwrap();
        }
    };
    remove(&more);
    remove(&["e"]);
    let mut agent = place.start(&[]);
    // Only then it is believed.
    let doubt = "4 Services, and the kernel serves 10";
    agent.wait_for_line(doubt, LIMIT).unwrap();
    agent.wait_for_line("first sync", LIMIT).unwrap();
    place.wait_for_sync();
    assert_eq!(services(&place), 4);
    agent.kill().unwrap();
}

#[test]
fn standard_input_without_a_service_is_an_error() {
    let place = Place::small();
    place.run(&[]).kill().unwrap();
    let before = rules(&place);
    let program = viprule_binary().unwrap();
    let line = format!(
        "exec {} run --node n --manifests - </dev/null",
        program.display()
    );
    let shell = Path::new("/bin/sh");
    let mut agent = Agent::start_program(&place.namespace, shell, ["-c", &line]).unwrap();
    agent
        .wait_for_line("no Service came on standard input", LIMIT)
        .unwrap();
    assert_eq!(agent.wait(LIMIT).unwrap().code(), Some(2));
    assert_eq!(rules(&place), before);
}

#[test]
fn what_cant_be_used_keeps_its_rules() {
    let place = Place::small();
    place.run(&[]).kill().unwrap();
    let before = rules(&place);
    let good = std::fs::read_to_string(place.folder.path().join("b.yaml")).unwrap();
    let (service, slice) = good.split_once("---\n").unwrap();
    let bad_service = service.replace("port: 80", "port: eighty");
    let bad_slice = slice.replace("8080", "eighty");
    assert!(bad_service != service && bad_slice != slice, "{good}");
    for bad in [
        format!("{bad_service}---\n{slice}"),
        format!("{service}---\n{bad_slice}"),
        format!("{bad_service}---\n{bad_slice}"),
        "kind: [".to_owned(),
    ] {
        place.folder.write("b.yaml", &bad).unwrap();
        place.run(&[]).kill().unwrap();
        assert_eq!(rules(&place), before, "{bad}");
    }

    // Others are followed meanwhile.
    let mut agent = place.run(&[]);
    place.write("a", 1, &["10.244.0.9"]);
    agent
        .wait_for_line("changed: service shop/a", LIMIT)
        .unwrap();
    let nat = place.tool("iptables-nft-save -t nat");
    assert!(nat.contains("10.244.0.9:8080") && nat.contains("shop/b:http"));
    place.folder.write("b.yaml", &good).unwrap();
    place.wait_for_sync();
}
