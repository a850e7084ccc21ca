//! Manifests of all sorts of brokenness.

use std::fmt::Write as _;

use viprule_testkit::LIMIT;

use crate::support::{Place, good};

fn service(name: &str, spec: &str) -> String {
    let head = "apiVersion: v1\nkind: Service\nmetadata:";
    format!("{head} {{name: {name}, namespace: shop}}\nspec: {spec}\n")
}

/// File, its text, and what has to be said about it.
fn broken() -> Vec<(&'static str, String, &'static [&'static str])> {
    let long = "x".repeat(300);
    vec![
        (
            "syntax.yaml",
            "apiVersion: v1\nkind: Service\nmetadata: {name: a".to_owned(),
            &["document 1, line 3: is not YAML"],
        ),
        (
            "type.yaml",
            service("typed", "{clusterIP: 10.1.0.1, ports: [{port: eighty}]}"),
            &[
                "document 1, line 4: Service shop/typed: spec.ports[0].port: ",
                "\"eighty\"",
            ],
        ),
        (
            "address.yaml",
            format!(
                "{}---\n{}",
                good("before", "10.1.0.40"),
                service("lost", "{clusterIP: 10.1.0.300, ports: [{port: 80}]}")
            ),
            &["document 3, line 16: Service shop/lost: spec.clusterIP: \"10.1.0.300\" is not"],
        ),
        (
            "port.yaml",
            service(
                "big",
                "{clusterIP: 10.1.0.2, ports: [{port: 80}, {name: x, port: 70000}]}",
            ),
            &["document 1, line 4: Service shop/big: spec.ports[1].port: 70000 is not a port"],
        ),
        (
            "name.yaml",
            service(&long, "{clusterIP: 10.1.0.3, ports: [{port: 80}]}"),
            &[
                "document 1, line 3: Service shop/xxx",
                "metadata.name: has 300 characters",
            ],
        ),
    ]
}

/// Endpoints that take fifty slices, all good.
fn crowd() -> String {
    let mut text = service(
        "crowd",
        "{clusterIP: 10.1.0.4, ports: [{name: http, port: 80}]}",
    );
    for slice in 0..50 {
        let _ = writeln!(
            text,
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: \
             crowd-{slice}, namespace: shop, labels: {{kubernetes.io/service-name: crowd}}}}\n\
             addressType: IPv4\nports: [{{name: http, port: 8080}}]\nendpoints:"
        );
        for endpoint in 1..=100 {
            let _ = writeln!(text, "- addresses: [10.200.{slice}.{endpoint}]");
        }
    }
    text
}

const LONELY: &str = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: lonely-a, \
                      namespace: shop, labels: {kubernetes.io/service-name: lonely}}\n\
                      addressType: IPv4\nports: [{name: http, port: 8080}]\n\
                      endpoints: [{addresses: [10.244.0.5]}]\n";

#[test]
fn every_error_is_told_with_its_place_and_nothing_is_touched() {
    for (file, text, said) in broken() {
        let place = Place::new();
        place.write("good.yaml", &good("fine", "10.1.0.10"));
        let path = place.write(file, &text).display().to_string();
        for verb in ["render", "diff", "apply"] {
            let answer = place.viprule(&format!("{verb} --node node-0 --manifests {{}}"));
            let count = "viprule: 1 error in the manifests, nothing was touched:";
            answer.says(&[&[count, path.as_str()], said].concat());
            assert_eq!(answer.err.lines().count(), 2, "{}", answer.err);
        }
        assert_eq!(place.ruleset(), "", "{file}");
    }
}

#[test]
fn all_errors_are_told_together() {
    let place = Place::new();
    for (file, text, _) in broken() {
        place.write(file, &text);
    }
    let answer = place.viprule("render --node node-0 --manifests {}");
    answer.says(&["viprule: 5 errors in the manifests"]);
    for (_, _, said) in broken() {
        answer.says(said);
    }
}

#[test]
fn a_slice_of_an_absent_service_is_a_warning() {
    let place = Place::new();
    place.write("lonely.yaml", LONELY);
    let answer = place.viprule("render --node node-0 --manifests {} --ip-family ipv4");
    assert_eq!(answer.code, 0);
    assert!(
        answer.err.starts_with("viprule: warning: "),
        "{}",
        answer.err
    );
    assert!(
        answer.err.contains("EndpointSlice shop/lonely-a"),
        "{}",
        answer.err
    );
    assert!(
        answer.err.contains("Service shop/lonely is not among"),
        "{}",
        answer.err
    );
    assert!(!answer.out.contains("lonely"));
}

#[test]
fn two_services_with_one_cluster_ip_are_an_error() {
    let place = Place::new();
    place.write("1.yaml", &good("one", "10.1.0.9"));
    let second = place
        .write("2.yaml", &good("two", "10.1.0.9"))
        .display()
        .to_string();
    for verb in ["render", "diff", "apply"] {
        let answer = place.viprule(&format!("{verb} --node node-0 --manifests {{}}"));
        answer.says(&[
            &second,
            "document 1, line 1: Service shop/two: spec.clusterIP: ",
            "10.1.0.9:80/tcp",
            "belongs to shop/one",
        ]);
    }
    assert_eq!(place.ruleset(), "");
}

#[test]
fn the_agent_programs_what_is_right_and_tells_the_rest() {
    let place = Place::new();
    place.write("good.yaml", &good("fine", "10.1.0.10"));
    place.write("crowd.yaml", &crowd());
    place.write("lonely.yaml", LONELY);
    place.write("1.yaml", &good("one", "10.1.0.9"));
    place.write("2.yaml", &good("two", "10.1.0.9"));
    for (file, text, _) in broken() {
        place.write(file, &text);
    }
    let mut agent = place.run();
    agent.wait_for_line("first sync", LIMIT).unwrap();
    for (file, _, said) in broken() {
        let line = agent.wait_for_line(file, LIMIT).unwrap();
        assert!(
            line.contains("ERROR") && said.iter().all(|it| line.contains(it)),
            "{line}"
        );
    }
    let line = agent.wait_for_line("belongs to shop/one", LIMIT).unwrap();
    assert!(line.contains("ERROR") && line.contains("2.yaml"), "{line}");
    agent
        .wait_for_line("Service shop/lonely is not among", LIMIT)
        .unwrap();

    let nat = place.program("iptables-nft-save", "-t nat").out;
    for service in ["fine", "before", "one", "crowd"] {
        let rule = format!("\"shop/{service}:http cluster IP\"");
        assert!(nat.contains(&rule), "{rule}");
    }
    assert!(!nat.contains("shop/two"));
    let endpoints = nat
        .lines()
        .filter(|line| line.contains("DNAT --to-destination 10.200."));
    assert_eq!(endpoints.count(), 5000);
    assert!(agent.terminate(LIMIT).unwrap().success());
}

#[test]
fn what_is_no_manifest_is_told() {
    let place = Place::new();
    place
        .viprule("render --node n --manifests {}/absent.yaml")
        .says(&["absent.yaml"]);
    place.write("list.yaml", "- a\n- b\n");
    let answer = place.viprule("render --node n --manifests {}");
    answer.says(&["list.yaml: document 1", "is not an object"]);
    for (name, text) in [
        ("binary.yaml", "\0\u{1}\u{2}".to_owned()),
        ("deep.yaml", "[".repeat(100_000)),
        ("deep.json", "{\"a\":".repeat(100_000)),
        ("anchors.yaml", bomb()),
        ("truncated.json", "{\"kind\": \"Service\"".to_owned()),
        ("number.json", "17".to_owned()),
    ] {
        let place = Place::new();
        place.write(name, &text);
        place
            .viprule("render --node n --manifests {}")
            .says(&[name, "document 1"]);
    }
}

/// A list of lists of lists …, each ten times the one before.
fn bomb() -> String {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}, ", level - 1).repeat(10);
        let _ = writeln!(
            text,
            "a{level}: &a{level} [{}]",
            before.trim_end_matches(", ")
        );
    }
    text
}

#[test]
fn standard_input_is_read_as_well() {
    let place = Place::new();
    let program = viprule_testkit::agent::viprule_binary().unwrap();
    let run = |text: &str| {
        let command = place.namespace.command(&program.to_string_lossy());
        let args = [
            "render",
            "--node",
            "n",
            "--manifests",
            "-",
            "--ip-family",
            "ipv4",
        ];
        command.args(args).input(text).output().unwrap()
    };
    let output = run(&good("fine", "10.1.0.10"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("shop/fine:http cluster IP"));
    let output = run("kind: [");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("document 1, line 1"));
}
