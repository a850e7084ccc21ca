//! `tests/golden/CASE/`: manifests, perhaps `flags`, and what comes out.
//!
//! `iptables.rules` is what `viprule render` prints for IPv4 on node-0, compared with what it
//! prints for no Services: lines that the case adds, and behind `- ` lines that it lacks. The case
//! `nothing` has that text whole. `UPDATE_GOLDEN=1` writes what comes out now.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod kube_proxy;

use std::collections::BTreeSet;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use similar::TextDiff;
use viprule_testkit::agent::viprule_binary;

/// The case that the others are compared with.
const NOTHING: &str = "nothing";
const EXPECTED: &str = "iptables.rules";
/// What a reviewer reads at a glance, lines.
const LIMIT: usize = 40;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// What `viprule render` prints for a case.
fn render(case: &Path) -> String {
    let flags = fs::read_to_string(case.join("flags")).unwrap_or_default();
    let mut command = Command::new(viprule_binary().unwrap());
    command.args(["render", "--node", "node-0", "--manifests"]);
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

/// A text's tables, in order: the name and the lines.
fn tables(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut tables: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in text.lines().filter(|line| *line != "COMMIT") {
        if line.starts_with('*') {
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
    for ((name, base), (same_name, lines)) in tables(nothing).into_iter().zip(tables(text)) {
        assert_eq!(name, same_name);
        let base: BTreeSet<&str> = base.into_iter().collect();
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

fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    cases.sort();
    cases
}

#[test]
fn every_case_prints_what_it_should() {
    let update = env::var_os("UPDATE_GOLDEN").is_some();
    let nothing = render(&folder().join(NOTHING));
    let mut failures = String::new();
    let mut compared = 0;
    for case in cases() {
        let file = case.join(EXPECTED);
        let of_kube_proxy = case.join("iptables-save.txt").exists();
        if of_kube_proxy {
            continue;
        }
        let found = if case.ends_with(NOTHING) {
            nothing.clone()
        } else {
            besides(&nothing, &render(&case))
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
    assert!(compared >= 13, "only {compared} cases");
    assert!(
        failures.is_empty(),
        "as expected -, as it is now +:\n{failures}"
    );
}

#[test]
fn cases_can_be_reviewed() {
    for case in cases().iter().filter(|case| !case.ends_with(NOTHING)) {
        if let Ok(text) = fs::read_to_string(case.join(EXPECTED)) {
            let lines = text.lines().count();
            assert!(lines <= LIMIT, "{} has {lines} lines", case.display());
        }
    }
}
