//! Odd files: what is in them, what they are, and how they are given.

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use viprule_testkit::LIMIT;
use viprule_testkit::agent::viprule_binary;

use crate::support::{Answer, Place, good};

/// As people write it by hand for what is outside of the cluster.
const BY_HAND: &str = "\
apiVersion: v1
kind: Service
metadata: {name: outside}
spec: {type: ClusterIP, clusterIP: 10.96.1.24, ports: [{name: http, protocol: TCP, port: 80, targetPort: 80, nodePort: 0}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: outside}
subsets:
- addresses: [{ip: 198.18.0.254}]
  ports: [{name: http, port: 80}]
";

/// As a byte order mark and `kubectl -o json` have it.
const MARKED: &str = "\u{feff}{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [
{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"svc\", \"namespace\": \"default\"},
 \"spec\": {\"clusterIP\": \"10.96.1.20\", \"ports\": [{\"name\": \"http\", \"port\": 80, \"targetPort\": 8080}]}},
{\"apiVersion\": \"discovery.k8s.io/v1\", \"kind\": \"EndpointSlice\",
 \"metadata\": {\"name\": \"svc-a\", \"namespace\": \"default\", \"labels\": {\"kubernetes.io/service-name\": \"svc\"}},
 \"addressType\": \"IPv4\", \"ports\": [{\"name\": \"http\", \"port\": 8080, \"protocol\": \"TCP\"}],
 \"endpoints\": [{\"addresses\": [\"10.24.1.9\"]}]}]}";

const RENDER: &str = "render --node node-0 --ip-family ipv4 --manifests";

/// Runs a script of a shell that has process substitution; `$V` is the program.
fn shell(place: &Place, script: &str, input: &str) -> Answer {
    let command = place.namespace.command("bash");
    let command = command.args(["-c", script]).input(input);
    let program = viprule_binary().unwrap();
    Answer::of(command.env("V", program).env("D", place.directory.path()))
}

#[test]
fn endpoints_of_a_service_without_selector_are_served() {
    let place = Place::new();
    place.write("m.yaml", BY_HAND);
    let out = place.viprule(&format!("{RENDER} {{}}")).clean(0);
    assert!(out.contains("--to-destination 198.18.0.254:80"), "{out}");
    assert!(!out.contains("has no endpoints"), "{out}");
    let mut agent = place.run();
    agent.wait_for_line("first sync", LIMIT).unwrap();
    assert!(place.ruleset().contains("198.18.0.254"));
    let (service, endpoints) = BY_HAND.split_once("---\n").unwrap();
    place.write("endpoints.yaml", &endpoints.replace(".254", ".253"));
    place.write("m.yaml", service);
    let serves = |ip: &str| {
        let all = ["198.18.0.253", "198.18.0.254", "10.244.0.5"];
        let rules = place.ruleset();
        all.iter().all(|one| rules.contains(one) == (*one == ip))
    };
    let moved = || serves("198.18.0.253");
    agent
        .wait_until("Endpoints in another file", LIMIT, moved)
        .unwrap();
    place.write(
        "slice.yaml",
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {name: outside-a, labels: {kubernetes.io/service-name: outside}}\n\
         addressType: IPv4\nports: [{name: http, port: 80}]\nendpoints: [{addresses: [10.244.0.5]}]\n",
    );
    let sliced = || serves("10.244.0.5");
    agent
        .wait_until("the Service's own slice", LIMIT, sliced)
        .unwrap();
}

#[test]
fn endpoints_that_are_not_mirrored_are_told() {
    let place = Place::new();
    place.write(
        "m.yaml",
        &BY_HAND.replace("spec: {", "spec: {selector: {app: x}, "),
    );
    let answer = place.viprule(&format!("{RENDER} {{}}"));
    assert_eq!(answer.code, 0);
    let told = "m.yaml: document 2, line 6: Endpoints default/outside: are not mirrored to \
                EndpointSlices, as Service default/outside has a selector";
    assert!(answer.err.contains(told), "{}", answer.err);
    assert!(
        answer.err.contains("kubectl get endpointslices -n default"),
        "{}",
        answer.err
    );
    assert_eq!(answer.err.lines().count(), 1, "{}", answer.err);
    assert!(answer.out.contains("has no endpoints"), "{}", answer.out);
}

#[test]
fn a_byte_order_mark_does_not_matter() {
    let place = Place::new();
    for name in ["m.json", "m.yaml"] {
        let path = place.write(name, MARKED);
        let out = place
            .viprule(&format!("{RENDER} {}", path.display()))
            .clean(0);
        assert!(out.contains("--to-destination 10.24.1.9:8080"), "{out}");
    }
}

#[test]
fn what_an_object_is_has_to_be_text() {
    let service = |namespace: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: s1, namespace: {namespace}}}\n\
             spec: {{clusterIP: 10.96.0.1, ports: [{{port: 80}}]}}\n"
        )
    };
    let place = Place::new();
    for (namespace, said) in [
        ("no", "is the boolean false, and must be a string"),
        ("123", "is the number 123, and must be a string"),
        ("1.5", "is the number 1.5, and must be a string"),
        ("[a]", "is a list, and must be a string"),
        ("{a: b}", "is an object, and must be a string"),
    ] {
        let answer = shell(&place, &format!("$V {RENDER} -"), &service(namespace));
        answer.says(&[
            "-: document 1, line 3: Service ?/s1: metadata.namespace: ",
            said,
        ]);
    }
    for (namespace, name) in [
        ("shop", "shop"),
        ("'123'", "123"),
        ("null", "default"),
        ("''", "default"),
    ] {
        let out = shell(&place, &format!("$V {RENDER} -"), &service(namespace)).clean(0);
        assert!(out.contains(&format!("\"{name}/s1 ")), "{out}");
    }
}

#[test]
fn input_of_verbs_that_end_may_come_through_pipes() {
    let place = Place::new();
    let path = place.write("m.yaml", &good("fine", "10.1.0.10"));
    place.write(
        "config.conf",
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n",
    );
    let expected = place
        .viprule(&format!("{RENDER} {}", path.display()))
        .clean(0);
    for script in [
        "$V {} - < $D/m.yaml",
        "cat $D/m.yaml | $V {} -",
        "cat $D/m.yaml | $V {} /dev/stdin",
        "$V {} /dev/stdin < $D/m.yaml",
        "$V {} <(sleep 0.2; cat $D/m.yaml)",
        "$V {} <(head -n 5 $D/m.yaml) --manifests <(tail -n +6 $D/m.yaml)",
        "$V {} $D/m.yaml --config <(cat $D/config.conf)",
        "mkfifo $D/p; cat $D/m.yaml > $D/p & sleep 0.2; $V {} $D/p",
    ] {
        let out = shell(&place, &script.replace("{}", RENDER), "").clean(0);
        assert_eq!(out, expected, "{script}");
    }
}

#[test]
fn input_without_an_end_is_an_error() {
    let place = Place::new();
    for (script, file) in [
        ("yes | $V {} -", "-"),
        ("yes a: | $V {} /dev/stdin", "/dev/stdin"),
        ("$V {} /dev/zero", "/dev/zero"),
    ] {
        let answer = shell(&place, &script.replace("{}", RENDER), "");
        let said = format!("  {file}: is longer than 256 MiB, the most that is read of one file");
        answer.says(&["1 error in the manifests, nothing was touched:", &said]);
    }
    let answer = place.viprule("run --config /dev/zero");
    answer.says(&["/dev/zero: is a device; only regular files are read"]);
}

#[test]
fn the_agent_reads_no_pipes() {
    let place = Place::new();
    let pipe = place.directory.path().join("pipe.yaml");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    let path = pipe.display();
    let said = format!("{path}");
    for flag in ["config", "kubeconfig"] {
        let answer = place.viprule(&format!("run --node node-0 --{flag} {path}"));
        answer.says(&[&said, "is a pipe; only regular files are read"]);
    }
    place.write("good.yaml", &good("fine", "10.1.0.10"));
    let mut agent = place.run();
    agent.wait_for_line("pipe.yaml: is a pipe", LIMIT).unwrap();
    agent.wait_for_line("first sync", LIMIT).unwrap();
}
