//! `tests/golden/CASE/`: manifests, perhaps `flags`, and what comes out.
//!
//! `iptables.rules` and `ipvs.rules` are what `viprule render` prints for IPv4 on node-0 in either
//! mode, compared with what it prints for no Services: lines that the case adds, and behind `- `
//! lines that it lacks. The case `nothing` has that text whole. `UPDATE_GOLDEN=1` writes what comes
//! out now.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod ipvs;
mod kube_proxy;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use similar::TextDiff;
use viprule_testkit::agent::viprule_binary;

/// The case that the others are compared with.
const NOTHING: &str = "nothing";
/// What a reviewer reads at a glance, lines.
const LIMIT: usize = 40;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// A mode and the files that have what it comes to.
const MODES: [(&str, &str); 2] = [("iptables", "iptables.rules"), ("ipvs", "ipvs.rules")];

/// What `viprule render` prints for a case.
fn render(case: &Path, mode: &str) -> String {
    let flags = fs::read_to_string(case.join("flags")).unwrap_or_default();
    let mut command = Command::new(viprule_binary().unwrap());
    command.args(["render", "--proxy-mode", mode]);
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
    let nothing = MODES.map(|(mode, _)| render(&folder().join(NOTHING), mode));
    let mut failures = String::new();
    let mut compared = 0;
    let modes = MODES.iter().zip(&nothing);
    let all = cases()
        .into_iter()
        .flat_map(|case| modes.clone().map(move |mode| (case.clone(), mode)));
    for (case, ((mode, file), nothing)) in all {
        let file = case.join(file);
        let of_kube_proxy = case.join("iptables-save.txt").exists();
        if of_kube_proxy {
            continue;
        }
        let found = if case.ends_with(NOTHING) {
            nothing.clone()
        } else {
            besides(nothing, &render(&case, mode))
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
    assert!(compared >= 2 * 14, "only {compared} cases");
    assert!(
        failures.is_empty(),
        "as expected -, as it is now +:\n{failures}"
    );
}

#[test]
fn cases_can_be_reviewed() {
    for case in cases().iter().filter(|case| !case.ends_with(NOTHING)) {
        for (mode, file) in MODES {
            if let Ok(text) = fs::read_to_string(case.join(file)) {
                let lines = text.lines().count();
                assert!(
                    lines <= LIMIT,
                    "{} {mode} has {lines} lines",
                    case.display()
                );
            }
        }
    }
}
