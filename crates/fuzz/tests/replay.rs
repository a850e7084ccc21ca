//! Every target holds for all its seeds and for mutations of them. `scripts/fuzz` finds more.

#![allow(clippy::panic, reason = "tests")]

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use viprule_fuzz::TARGETS;
use viprule_fuzz::explore::{Until, explore};

/// So many times the usual number of mutations; `VIPRULE_FUZZ_TIMES` says otherwise.
const TIMES: u32 = 1;

#[test]
fn targets_hold_for_mutations_of_their_seeds() {
    let times = std::env::var("VIPRULE_FUZZ_TIMES").map(|times| times.parse());
    let times = times.map_or(TIMES, |times| times.expect("a number"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    let next = AtomicUsize::new(0);
    let findings = Mutex::new(Vec::new());
    let work = || {
        while let Some(target) = TARGETS.get(next.fetch_add(1, Ordering::Relaxed)) {
            let count = Until::Count(target.mutations.saturating_mul(times));
            let outcome = explore(target, 1, count, &folder).expect("inputs can be written");
            if let Some(path) = outcome.finding {
                let (name, path) = (target.name, path.display());
                let command = format!("cargo run -p viprule-fuzz -- run {name} {path}");
                findings.lock().expect("no panic").push(command);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let findings = findings.into_inner().expect("no panic");
    assert!(
        findings.is_empty(),
        "to see them again:\n{}",
        findings.join("\n")
    );
}

#[test]
fn every_target_has_seeds_and_a_name_of_its_own() {
    let mut names = Vec::new();
    for target in TARGETS {
        assert!(!target.seeds().is_empty(), "{} has no seeds", target.name);
        names.push(target.name);
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), TARGETS.len());
}
