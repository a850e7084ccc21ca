//! Input without any Service, or any endpoint, takes nothing away.

use crate::support::{Answer, Place, golden, good};

/// Objects, and no Service that is programmed.
const OTHERS: &str = "apiVersion: v1\nkind: Node\nmetadata: {name: node-0}\n---\n\
                      apiVersion: v1\nkind: Service\nmetadata: {name: headless}\n\
                      spec: {clusterIP: None, ports: [{port: 80}]}\n";

/// A line of a shell's, with the program's path and arguments in place of the verb.
fn shell(place: &Place, line: &str) -> Answer {
    let program = viprule_testkit::agent::viprule_binary().unwrap();
    let args = "--node node-0 --ip-family ipv4 --manifests";
    let line = ["APPLY", "DIFF"]
        .iter()
        .fold(line.to_owned(), |line, verb| {
            let command = format!("{} {} {args}", program.display(), verb.to_lowercase());
            line.replace(verb, &command)
        });
    Answer::of(place.namespace.command("sh").args(["-c", &line]))
}

#[test]
fn apply_refuses_what_has_no_service() {
    let place = Place::new();
    let cluster = golden("cluster.yaml").display().to_string();
    let answer = shell(&place, &format!("APPLY {cluster}"));
    assert_eq!(answer.code, 0, "{}", answer.err);
    let before = place.ruleset();
    assert!(before.contains("KUBE-SVC-"));

    let folder = place.directory.path().display();
    for line in [
        &format!("APPLY {folder}"),
        "true | APPLY -",
        "false | APPLY -",
        "APPLY - <&-",
        &format!("APPLY - <<'E'\n{OTHERS}E"),
    ] {
        let answer = shell(&place, line);
        answer.says(&[
            "the input has no Service",
            "nothing was touched",
            "--allow-empty",
        ]);
        assert_eq!(place.ruleset(), before, "{line}");
    }
    // As of a command that could list Services and nothing else.
    let both = good("web", "10.1.0.9");
    let (service, _slice) = both.split_once("---\n").unwrap();
    let answer = shell(&place, &format!("APPLY - <<'E'\n{service}E"));
    answer.says(&[
        "the input has no EndpointSlice",
        "nothing was touched",
        "--allow-empty",
    ]);
    assert_eq!(place.ruleset(), before);
    let answer = shell(&place, "true | DIFF -");
    assert_eq!(answer.code, 1);
    assert!(
        answer.err.contains("warning: the input has no Service"),
        "{}",
        answer.err
    );

    let answer = shell(&place, "APPLY - --allow-empty </dev/null");
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(!place.ruleset().contains("KUBE-SVC-"));
    let answer = shell(
        &place,
        &format!("APPLY - <<'E'\n{}E", good("web", "10.1.0.9")),
    );
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(place.ruleset().contains("KUBE-SVC-"));
}
