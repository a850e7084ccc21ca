//! Results for programs.

use std::collections::BTreeSet;

use serde_json::Value;
use viprule_testkit::agent::viprule_binary;
use viprule_testkit::manifests::Bulk;

use crate::support::{Place, golden, good};

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

fn set<const N: usize>(keys: [&str; N]) -> BTreeSet<&str> {
    keys.into()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

#[test]
fn render_prints_chains() {
    let place = Place::new();
    let file = golden("cluster.yaml").display().to_string();
    let render = |output: &str| {
        let args = format!("render --node node-0 --manifests {file} --output {output}");
        place.viprule(&args).clean(0)
    };
    let value = json(&render("json"));
    let chains = value.as_array().unwrap();
    let mut rules = 0;
    for chain in chains {
        assert_eq!(keys(chain), set(["chain", "family", "rules", "table"]));
        assert!(["ipv4", "ipv6"].contains(&chain["family"].as_str().unwrap()));
        assert!(["mangle", "filter", "nat"].contains(&chain["table"].as_str().unwrap()));
        rules += chain["rules"].as_array().unwrap().len();
    }
    let text = render("text");
    let count = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!((chains.len(), rules), (count(":"), count("-A ")));
    let first = &chains[0]["rules"];
    assert!(first.is_array());
    assert!(text.contains(chains.last().unwrap()["rules"][0].as_str().unwrap()));
}

#[test]
fn render_prints_what_ipvs_mode_has() {
    let place = Place::new();
    let file = golden("cluster.yaml").display().to_string();
    let render = |output: &str| {
        let args =
            format!("render --proxy-mode ipvs --node node-0 --manifests {file} --output {output}");
        place.viprule(&args).clean(0)
    };
    let value = json(&render("json"));
    assert_eq!(
        keys(&value),
        set(["addresses", "chains", "servers", "sets"])
    );
    let text = render("text");
    for kind in ["addresses", "servers", "sets"] {
        let lines = value[kind].as_array().unwrap();
        assert!(lines.len() > 5, "{kind}: {lines:?}");
        for line in lines {
            let line = line.as_str().unwrap();
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
    }
    let chain = &value["chains"][0];
    assert_eq!(keys(chain), set(["chain", "family", "rules", "table"]));
}

#[test]
fn render_prints_what_nftables_mode_has() {
    let place = Place::new();
    let file = golden("cluster.yaml").display().to_string();
    let render = |output: &str| {
        let args = format!(
            "render --proxy-mode nftables --node node-0 --manifests {file} --output {output}"
        );
        place.viprule(&args).clean(0)
    };
    let value = json(&render("json"));
    assert_eq!(keys(&value), set(["chains", "sets"]));
    let text = render("text");
    let (mut elements, mut rules, mut bases) = (0, 0, 0);
    for one in value["sets"].as_array().unwrap() {
        let expected = ["elements", "family", "properties", "set", "table"];
        assert_eq!(keys(one), set(expected));
        let name = one["set"].as_str().unwrap();
        let head = ["set", "map"].map(|kind| format!("\t{kind} {name} {{\n"));
        assert!(head.iter().any(|head| text.contains(head)), "{name}");
        for line in one["properties"].as_array().unwrap() {
            let line = format!("\t\t{}\n", line.as_str().unwrap());
            assert!(text.contains(&line), "{line}\n{text}");
        }
        for element in one["elements"].as_array().unwrap() {
            assert!(
                text.contains(element.as_str().unwrap()),
                "{element}\n{text}"
            );
            elements += 1;
        }
    }
    for one in value["chains"].as_array().unwrap() {
        assert_eq!(one["table"], "viprule");
        bases += usize::from(one.get("base").is_some());
        for rule in one["rules"].as_array().unwrap() {
            let line = format!("\n\t\t{}\n", rule.as_str().unwrap());
            assert!(text.contains(&line), "{line}\n{text}");
            rules += 1;
        }
    }
    assert!(elements > 50 && rules > 100, "{elements} {rules}");
    let hooks = text.lines().filter(|line| line.starts_with("\t\ttype "));
    let hooks = hooks.filter(|line| line.contains(" hook ")).count();
    assert_eq!((bases, hooks), (16, 16));
}

#[test]
fn diff_apply_and_cleanup_print_reports() {
    let place = Place::new();
    place.write("good.yaml", &good("fine", "10.1.0.10"));
    let input = "--node node-0 --manifests {} -o json";

    let value = json(&place.viprule(&format!("diff {input}")).clean(1));
    assert_eq!(keys(&value), set(["chains", "in_sync", "mode"]));
    assert_eq!(
        (&value["mode"], &value["in_sync"]),
        (&"iptables".into(), &false.into())
    );
    let chain = &value["chains"][0];
    assert_eq!(keys(chain), set(["chain", "family", "lines", "table"]));
    assert_eq!(keys(&chain["lines"][0]), set(["op", "text"]));
    assert_eq!(chain["lines"][0]["op"], "add");

    let value = json(&place.viprule(&format!("apply {input}")).clean(0));
    let report = [
        "bytes",
        "created",
        "refused",
        "removed",
        "replaced",
        "touched",
        "transactions",
    ];
    assert_eq!(keys(&value), set(report));
    assert_eq!(
        (&value["transactions"], &value["refused"]),
        (&1.into(), &json("[]"))
    );
    assert_eq!(
        keys(&value["touched"][0]),
        set(["created", "removed", "replaced", "share"])
    );
    assert_eq!(value["touched"][1]["share"], "service shop/fine");

    let value = json(&place.viprule(&format!("diff {input}")).clean(0));
    assert_eq!(
        (&value["in_sync"], &value["chains"]),
        (&true.into(), &json("[]"))
    );

    let value = json(&place.viprule("cleanup --dry-run -o json").clean(0));
    assert_eq!(keys(&value), set(["chains", "in_sync", "mode"]));
    assert!(value["chains"].as_array().unwrap().len() > 10);
    let value = json(&place.viprule("cleanup -o json").clean(0));
    assert_eq!(keys(&value), set(report));
    assert_eq!(value["touched"][0]["share"], "leftovers");
}

#[test]
fn a_reader_who_has_had_enough_is_no_error() {
    let place = Place::new();
    Bulk::new(400, 3)
        .write_file(&place.directory.path().join("bulk.yaml"))
        .unwrap();
    let viprule = viprule_binary().unwrap().display().to_string();
    let folder = place.directory.path().display().to_string();
    for args in [
        format!("render --node node-0 --manifests {folder}"),
        format!("render --node node-0 --manifests {folder} -o json"),
        format!("diff --node node-0 --manifests {folder} -o json"),
        "completions zsh".to_owned(),
        "run --help".to_owned(),
    ] {
        // The reader ends before the first byte is written.
        let script = format!(
            "({viprule} {args}; echo $? >{folder}/code) 2>{folder}/err | true\n\
             ({viprule} {args}; echo $? >>{folder}/code) 2>>{folder}/err | head -n 1 >/dev/null"
        );
        let script = place.write("script", &script).display().to_string();
        place.program("sh", &script);
        let read = |file: &str| std::fs::read_to_string(place.directory.path().join(file)).unwrap();
        let codes: Vec<String> = read("code").lines().map(str::to_owned).collect();
        assert!(codes.iter().all(|code| code == "0"), "{args}: {codes:?}");
        assert_eq!((codes.len(), read("err").as_str()), (2, ""), "{args}");
    }
}
