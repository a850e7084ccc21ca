//! The cases: `NAME.rules` is what `viprule render` prints for IPv4 on node-0 in the mode of that
//! name, compared with what it prints for no Services: lines that the case adds, and behind `- `
//! lines that it lacks. The case `nothing` has that text whole. `UPDATE_GOLDEN=1` writes what comes
//! out now.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use similar::TextDiff;
use viprule_testkit::agent::viprule_binary;
use viprule_testkit::golden::folder;

use crate::mode::Mode;

/// The case that the others are compared with.
const NOTHING: &str = "nothing";
/// What a reviewer reads at a glance, lines.
const LIMIT: usize = 40;

/// What `viprule render` prints for a case.
pub(crate) fn render<M: Mode>(case: &Path) -> String {
    let flags = fs::read_to_string(case.join("flags")).unwrap_or_default();
    let mut command = Command::new(viprule_binary().unwrap());
    command.args(["render", "--proxy-mode", M::NAME]);
    command.args(["--node", "node-0", "--manifests"]);
    command.arg(case).args(flags.split_whitespace());
    if !flags.contains("--ip-family") {
        command.args(["--ip-family", "ipv4"]);
    }
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", case.display());
    assert_eq!(errors, "", "{}", case.display());
    String::from_utf8(output.stdout).unwrap()
}

/// A text's sections and tables, in order: the name and the lines.
fn tables(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut tables: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in text.lines().filter(|line| *line != "COMMIT") {
        if line.starts_with(['*', '#']) {
            tables.push((line, Vec::new()));
        } else {
            tables.last_mut().unwrap().1.push(line);
        }
    }
    tables
}

/// What a text has that the other one lacks and the other way round, table by table. The
/// declarations of chains say nothing that their rules don't.
fn besides(nothing: &str, text: &str) -> String {
    let mut out = String::new();
    let nothing: BTreeMap<&str, Vec<&str>> = tables(nothing).into_iter().collect();
    let tables = tables(text);
    let missing = |name: &&&str| !tables.iter().any(|(other, _)| *other == **name);
    assert_eq!(nothing.keys().find(missing), None);
    for (name, lines) in tables {
        let base = nothing.get(name).into_iter().flatten();
        let base: BTreeSet<&str> = base.copied().collect();
        let has: BTreeSet<&str> = lines.iter().copied().collect();
        let lost = base.difference(&has).map(|line| format!("- {line}\n"));
        let new = lines.iter().filter(|line| !base.contains(**line));
        let new = new.filter(|line| !line.starts_with(':'));
        let both: String = lost.chain(new.map(|line| format!("{line}\n"))).collect();
        if !both.is_empty() {
            let _ = writeln!(out, "{name}\n{}", both.trim_end());
        }
    }
    out
}

/// The folders of all cases. kube-proxy's cluster is none: there our text is compared with its.
fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> = entries
        .filter(|path| path.is_dir() && !path.ends_with("cluster"))
        .collect();
    cases.sort();
    cases
}

/// What a case comes to in a mode.
fn expectation<M: Mode>(case: &Path) -> PathBuf {
    case.join(format!("{}.rules", M::NAME))
}

pub(crate) fn every_case_prints_what_it_should<M: Mode>() {
    let update = env::var_os("UPDATE_GOLDEN").is_some();
    let nothing = render::<M>(&folder().join(NOTHING));
    let mut failures = String::new();
    let mut compared = 0;
    for case in cases() {
        let file = expectation::<M>(&case);
        let found = if case.ends_with(NOTHING) {
            nothing.clone()
        } else {
            besides(&nothing, &render::<M>(&case))
        };
        if update {
            fs::write(&file, &found).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_else(|error| {
            panic!("{}: {error}; UPDATE_GOLDEN=1 writes it", file.display())
        });
        compared += 1;
        if found != expected {
            let diff = TextDiff::from_lines(&expected, &found);
            let diff = diff.unified_diff().context_radius(1).to_string();
            let _ = writeln!(failures, "{}\n{diff}", file.display());
        }
    }
    assert!(compared >= 14, "only {compared} cases");
    assert!(
        failures.is_empty(),
        "as expected -, as it is now +:\n{failures}"
    );
}

pub(crate) fn cases_can_be_reviewed<M: Mode>() {
    for case in cases().iter().filter(|case| !case.ends_with(NOTHING)) {
        let file = expectation::<M>(case);
        // Whether it is there is asked above.
        if let Ok(text) = fs::read_to_string(&file) {
            let lines = text.lines().count();
            assert!(lines <= LIMIT, "{} has {lines} lines", file.display());
        }
    }
}
