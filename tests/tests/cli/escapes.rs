//! What comes from outside moves no terminal and begins no line.

use viprule_testkit::agent::viprule_binary;

use crate::support::{Place, good};

/// `viprule:` at the beginning of a line, red.
const EVIL: &str = "evil\nviprule: all good \u{1b}[31m\u{202e}";
const SHOWN: &str = r"evil\nviprule: all good \u{1b}[31m\u{202e}";

fn is_safe(text: &str) -> bool {
    text.chars()
        .all(|c| c == '\n' || !c.is_control() && c != '\u{202e}')
}

#[test]
fn comments_in_the_kernel_are_one_line_each() {
    let place = Place::new();
    place.write("good.yaml", &good("web", "10.96.0.1"));
    place.viprule("apply --node node-0 --manifests {}").clean(0);
    let rule = ["-t", "nat", "-A", "KUBE-SERVICES", "-m", "comment"];
    let command = place.namespace.command("iptables");
    let added = command
        .args(rule)
        .args(["--comment", EVIL, "-j", "RETURN"])
        .output();
    assert!(added.unwrap().status.success());
    let diff = |output| {
        let args = format!("diff --node node-0 --manifests {{}} --output {output}");
        place.viprule(&args).clean(1)
    };
    let text = diff("text");
    let line = format!("--A KUBE-SERVICES -m comment --comment \"{SHOWN}\" -j RETURN\n");
    assert!(text.contains(&line) && is_safe(&text), "{text}");
    // Who reads JSON gets the text as it is.
    let document = diff("json");
    assert!(is_safe(&document), "{document}");
    let value: serde_json::Value = serde_json::from_str(&document).unwrap();
    let lines = value["chains"][0]["lines"].as_array().unwrap();
    let is_evil = |line: &serde_json::Value| line["text"].as_str().unwrap().contains(EVIL);
    assert!(lines.iter().any(is_evil), "{document}");
}

#[test]
fn names_of_files_and_what_is_in_them_stay_in_their_line() {
    let place = Place::new();
    let name = EVIL.replace(' ', "_");
    let shown = SHOWN.replace(' ', "_");
    let dump = place.write(&name, "*nat\n");
    let program = viprule_binary().unwrap().display().to_string();
    let answer = place.namespace.command(&program);
    let args = ["diff", "--node", "node-0", "--manifests"];
    let answer = answer
        .args(args)
        .arg(place.directory.path())
        .arg("--against")
        .arg(&dump)
        .output()
        .unwrap();
    let told = String::from_utf8(answer.stderr).unwrap();
    assert!(told.contains(&shown) && is_safe(&told), "{told}");

    std::fs::remove_file(dump).unwrap();
    let port = |name: &str| {
        let name = serde_json::to_string(name).unwrap();
        good("web", "10.96.0.1")
            .replace("name: http, port: 80}", &format!("name: {name}, port: x}}"))
    };
    place.write("a.yaml", &port(EVIL));
    place.write("b.yaml", &port(EVIL));
    let answer = place.viprule("render --node node-0 --manifests {}");
    assert!(is_safe(&answer.err), "{}", answer.err);
    let lines: Vec<&str> = answer.err.lines().collect();
    let (head, each) = lines.split_first().unwrap();
    assert!(
        head.ends_with("errors in the manifests, nothing was touched:"),
        "{head}"
    );
    assert!(
        each.len() > 1 && each.iter().all(|line| line.starts_with("  ")),
        "{}",
        answer.err
    );
}

#[test]
fn a_password_in_the_servers_url_is_not_shown() {
    let place = Place::new();
    let answer = place.viprule("render --node node-0 --master ftp://user:secret@192.0.2.1");
    answer.says(&["--master ftp://192.0.2.1: is not an http or https URL"]);
    let url = "--master http://user:secret@192.0.2.10:1";
    let answer = place.viprule(&format!("render --node node-0 {url}"));
    assert_eq!(answer.code, 2, "{}", answer.err);
    assert!(!answer.err.contains("secret"), "{}", answer.err);
}
