//! Lists of all sorts, and sizes that must not matter.

mod common;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use common::{Folder, events, problems};
use viprule_source::manifest::Manifests;

const SERVICE_IN_LIST: &str = r#"{"metadata": {"name": "a", "namespace": "shop"},
    "spec": {"clusterIP": "10.1.0.1", "ports": [{"port": 80}]}}"#;

#[test]
fn a_typed_list_names_its_items() {
    let folder = Folder::new();
    let raw =
        format!(r#"{{"kind": "ServiceList", "apiVersion": "v1", "items": [{SERVICE_IN_LIST}]}}"#);
    let sorted =
        format!(r#"{{"apiVersion": "v1", "items": [{SERVICE_IN_LIST}], "kind": "ServiceList"}}"#);
    for text in [raw, sorted] {
        for name in ["list.json", "list.yaml", "list"] {
            let path = folder.write(name, &text);
            let load = Manifests::new([path], None).load();
            assert_eq!(events(&load), ["+shop/a [10.1.0.1]"], "{name}: {text}");
            assert_eq!(load.problems, [], "{name}: {text}");
        }
    }
}

#[test]
fn lists_may_be_empty_nested_or_of_other_things() {
    let folder = Folder::new();
    folder.write("a.yaml", "apiVersion: v1\nkind: List\nitems: []\n");
    folder.write("b.yaml", "apiVersion: v1\nkind: List\nitems:\n");
    folder.write(
        "c.yaml",
        "apiVersion: v1\nkind: PodList\nitems: [{metadata: {name: p}}]\n",
    );
    folder.write(
        "d.yaml",
        "apiVersion: x.io/v1\nkind: Menu\nitems: [{kind: Service}]\n",
    );
    folder.write(
        "e.json",
        &format!(
            r#"{{"apiVersion": "v1", "kind": "List", "items": [
                {{"apiVersion": "v1", "kind": "ServiceList", "items": [{SERVICE_IN_LIST}]}}]}}"#
        ),
    );
    let load = folder.manifests().load();
    assert_eq!(problems(&load, &folder), [] as [&str; 0]);
    assert_eq!(events(&load), ["+shop/a [10.1.0.1]"]);
    assert_eq!(load.other_kinds, 2);
}

#[test]
fn what_a_file_holds_decides_how_it_is_read_and_not_its_name() {
    let folder = Folder::new();
    let json = |name: &str, ip: &str| {
        format!(
            r#"{{"apiVersion": "v1", "kind": "Service", "metadata": {{"name": "{name}"}},
                "spec": {{"clusterIP": "{ip}", "ports": [{{"port": 80}}]}}}}"#
        )
    };
    let (a, b) = (json("a", "10.1.0.1"), json("b", "10.1.0.2"));
    let yaml = common::service("b", "10.1.0.2");
    let flow = "{apiVersion: v1, kind: Service, metadata: {name: a}, \
                spec: {clusterIP: 10.1.0.1, ports: [{port: 80}]}}";
    let quoted = r#"{"apiVersion": v1, "kind": Service, "metadata": {"name": a}, # a note
                "spec": {"clusterIP": 10.1.0.1, ports: [{port: 80}]}}"#;
    let mark = "\u{feff}";
    for text in [
        format!("{mark}{a}{b}"),
        format!("{mark}\r\n\t {a}\n{mark}{b}\n{mark}"),
        format!("{a}\n---\n{b}"),
        format!("---\n{a}\n{b}\n...\n"),
        format!("{mark}--- {a}\n---\n{yaml}"),
        format!("{mark}# {{\n{a}\n---\n{yaml}"),
        format!("{flow}\n---\n{b}"),
        format!("{quoted}\n---\n{yaml}"),
        format!("{mark}{{\"kind\": \"List\", \"apiVersion\": \"v1\", \"items\": [{a}, {b}]}}"),
    ] {
        // Short documents are read from memory, long ones are not.
        for space in [0, 1 << 20] {
            let text = text.replacen("\"kind\": ", &format!("\"kind\":{} ", " ".repeat(space)), 1);
            for name in ["x.json", "x.yaml", "x"] {
                let path = folder.write(name, &text);
                let load = Manifests::new([path], None).load();
                assert_eq!(
                    problems(&load, &folder),
                    [] as [&str; 0],
                    "{name}: {text:.200}"
                );
                assert_eq!(
                    events(&load),
                    ["+default/a [10.1.0.1]", "+default/b [10.1.0.2]"],
                    "{name}: {text:.200}"
                );
            }
        }
    }
}

#[test]
fn utf16_is_read_as_kubectl_reads_it() {
    let folder = Folder::new();
    let text = format!("\u{feff}{}", common::service("a", "10.1.0.1"));
    for unit in [u16::to_le_bytes, u16::to_be_bytes] {
        let bytes: Vec<u8> = text.encode_utf16().flat_map(unit).collect();
        std::fs::write(folder.path().join("a.yaml"), &bytes).unwrap();
        let load = folder.manifests().load();
        assert_eq!(events(&load), ["+default/a [10.1.0.1]"]);
        std::fs::write(folder.path().join("a.yaml"), &bytes[..bytes.len() - 1]).unwrap();
        let load = folder.manifests().load();
        assert_eq!(
            problems(&load, &folder),
            ["a.yaml: can't be read: it is no unicode text"]
        );
    }
}

#[test]
fn json_documents_have_their_own_lines_and_mistakes() {
    let folder = Folder::new();
    let good = r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"},
        "spec": {"clusterIP": "10.1.0.1", "ports": [{"port": 80}]}}"#;
    let bad = good.replace("80", "70000").replace("\"a\"", "\"b\"");
    for name in ["x.json", "x.yaml"] {
        for space in [0, 2 << 20] {
            let text = format!(
                "\u{feff}\n{good}\n{bad}\n{{\"a\": 1}}{}\n{{\"a\" 1}}\n",
                " ".repeat(space)
            );
            let load = Manifests::new([folder.write(name, &text)], None).load();
            assert_eq!(events(&load), ["+default/a [10.1.0.1]"]);
            assert_eq!(
                problems(&load, &folder),
                [
                    format!(
                        "{name}: document 2, line 5: Service default/b: spec.ports[0].port: 70000 is not a port, 1 to 65535 are"
                    ),
                    format!("{name}: document 3, line 6: kind: is missing"),
                    format!("{name}: document 4, line 7: is not JSON: expected `:`"),
                ]
            );
        }
    }
}

#[test]
fn a_file_that_is_none_of_ours_is_told_with_a_bounded_number_of_problems() {
    let folder = Folder::new();
    for (name, text) in [
        ("many.json", "{\"a\":\"b\"}".repeat(20_000)),
        ("many.yaml", "---\na: b\n".repeat(20_000)),
        (
            "list.json",
            format!(
                "{{\"kind\": \"List\", \"items\": [1{}]}}",
                ", {}".repeat(19_999)
            ),
        ),
    ] {
        let load = Manifests::new([folder.write(name, &text)], None).load();
        let problems = problems(&load, &folder);
        assert_eq!(problems.len(), 1001, "{name}");
        let told = format!("{name}: has 19000 more problems; the first 1000 are told");
        assert!(problems.contains(&told), "{name}");
    }
}

#[test]
fn json_documents_may_follow_each_other() {
    let folder = Folder::new();
    let service = |name: &str| {
        format!(
            "{{\"apiVersion\": \"v1\",\n\"kind\": \"Service\", \"metadata\": {{\"name\": \"{name}\"}},\n\
             \"spec\": {{\"clusterIP\": \"10.1.0.{name}\"}}}}\n"
        )
    };
    folder.write(
        "a.json",
        &format!("{}{}{}", service("1"), service("999"), service("2")),
    );
    let load = folder.manifests().load();
    assert_eq!(
        events(&load),
        ["+default/1 [10.1.0.1]", "+default/2 [10.1.0.2]"]
    );
    assert_eq!(
        problems(&load, &folder),
        [
            "a.json: document 2, line 6: Service default/999: spec.clusterIP: \"10.1.0.999\" is not \
          an IP address"
        ]
    );
}

/// A list of more than the size up to which documents are kept in memory.
fn long_list() -> String {
    let mut text = "apiVersion: v1\nitems:\n".to_owned();
    for index in 0..3000 {
        let port = if index == 2500 { 70_000 } else { 80 };
        let _ = writeln!(
            text,
            "- apiVersion: v1\n  kind: Service\n  metadata:\n    name: svc-{index}\n    annotations:\n      \
             filler: {}\n  spec:\n    clusterIP: 10.1.{}.{}\n    ports:\n    - port: {port}",
            "x".repeat(300),
            index / 256,
            index % 256,
        );
    }
    text.push_str("kind: List\n");
    text
}

#[test]
fn long_lists_are_streamed() {
    let folder = Folder::new();
    let list = long_list();
    assert!(list.len() > 1 << 20);
    // Something before and after it, to see that they stay apart.
    let text = format!(
        "{}---\n{list}---\n{}",
        common::service("first", "10.2.0.1"),
        common::service("last", "10.2.0.2")
    );
    folder.write("list.yaml", &text);
    let load = folder.manifests().load();
    let events = events(&load);
    assert_eq!(events.len(), 2999 + 2);
    assert_eq!(events[0], "+default/first [10.2.0.1]");
    assert_eq!(events[1], "+default/svc-0 [10.1.0.0]");
    assert_eq!(events[3000], "+default/last [10.2.0.2]");
    let line = text
        .lines()
        .position(|line| line.ends_with("port: 70000"))
        .unwrap()
        + 1;
    assert_eq!(
        problems(&load, &folder),
        [format!(
            "list.yaml: document 2, line {line}: Service default/svc-2500: spec.ports[0].port: \
             70000 is not a port, 1 to 65535 are"
        )]
    );
}

#[test]
fn a_cut_off_long_list_counts_for_nothing() {
    let folder = Folder::new();
    let list = long_list();
    let cut = list.rfind("clusterIP").unwrap();
    let text = format!(
        "{}spec: [\n---\n{}",
        &list[..cut],
        common::service("last", "10.2.0.2")
    );
    folder.write("list.yaml", &text);
    let load = folder.manifests().load();
    assert_eq!(events(&load), ["+default/last [10.2.0.2]"]);
    assert_eq!(load.problems.len(), 1);
}

#[test]
fn files_are_read_in_order_and_once() {
    let folder = Folder::new();
    folder.write("b.yaml", &common::service("b", "10.1.0.2"));
    folder.write("a/z.yml", &common::service("z", "10.1.0.1"));
    folder.write(
        "c.json",
        &format!(
            "{{\"kind\": \"Service\", \"apiVersion\": \"v1\", {}",
            &SERVICE_IN_LIST[1..]
        ),
    );
    folder.write(".hidden.yaml", &common::service("hidden", "10.1.0.9"));
    folder.write("..2026_01/b.yaml", &common::service("data", "10.1.0.9"));
    folder.write("notes.txt", "no manifest");
    let paths = [folder.path().to_owned(), folder.path().join("b.yaml")];
    let load = Manifests::new(paths, None).load();
    assert_eq!(
        events(&load),
        [
            "+default/z [10.1.0.1]",
            "+default/b [10.1.0.2]",
            "+shop/a [10.1.0.1]"
        ]
    );
    assert_eq!(load.problems, []);
}

/// What the child of [`standard_input_is_a_path`] runs; does nothing for itself.
#[test]
fn standard_input_child() {
    if std::env::var_os("VIPRULE_TEST_STDIN").is_none() {
        return;
    }
    let mut manifests = Manifests::new(["-".into()], None);
    let load = manifests.load();
    // The test runner may have begun a line.
    println!();
    for line in events(&load)
        .into_iter()
        .chain(load.problems.iter().map(ToString::to_string))
    {
        println!("told: {line}");
    }
    assert!(manifests.load().events.is_empty(), "it is read once");
}

#[test]
fn standard_input_is_a_path() {
    let yaml = format!(
        "{}---\n{}",
        common::service("a", "10.1.0.1"),
        common::service("b", "10.1.0.256")
    );
    let json = format!(
        "{{\n\"kind\": \"ServiceList\", \"apiVersion\": \"v1\", \"items\": [{SERVICE_IN_LIST}]}}"
    );
    let cases = [
        (
            yaml,
            vec![
                "told: +default/a [10.1.0.1]",
                "told: -: document 2, line 9: Service default/b: spec.clusterIP: \"10.1.0.256\" \
                 is not an IP address",
            ],
        ),
        (json, vec!["told: +shop/a [10.1.0.1]"]),
    ];
    for (input, expected) in cases {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "standard_input_child", "--nocapture"])
            .env("VIPRULE_TEST_STDIN", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let output = String::from_utf8(output.stdout).unwrap();
        let told: Vec<_> = output
            .lines()
            .filter(|line| line.starts_with("told: "))
            .collect();
        assert_eq!(told, expected);
    }
}
