//! Runs histories: `cargo test --test simulate -- [N] [--from S] [--seed S] [--mode M]`.

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use viprule_simulation::{ModeName, simulate};

/// Histories that went wrong once, or do where what they are about is taken away.
const NAMED: &[(u64, ModeName, &str)] = &[
    (
        7,
        ModeName::Iptables,
        "an answer that is no list empties nothing",
    ),
    (
        32,
        ModeName::Ipvs,
        "a first list of few Services is doubted",
    ),
    (
        29,
        ModeName::Iptables,
        "most Services go only when two lists agree",
    ),
    (
        5,
        ModeName::Iptables,
        "repairs do not wait for commits to other tables",
    ),
    (
        10,
        ModeName::Ipvs,
        "changes do not wait for commits to other tables",
    ),
    (
        99,
        ModeName::Iptables,
        "a field that nobody needs may be null",
    ),
    (164, ModeName::Ipvs, "a field that nobody needs may be null"),
    (
        2035,
        ModeName::Ipvs,
        "what another program took away in silence was not the agent's doing",
    ),
];
/// How many are run where nobody says.
const USUAL: u64 = 2_000;

#[expect(clippy::print_stdout, reason = "it is a program for people")]
fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (mut count, mut first, mut only, mut mode) = (USUAL, 1, false, None);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seed" => {
                only = true;
                first = words.next().and_then(|seed| seed.parse().ok()).unwrap_or(1);
            }
            "--from" => {
                first = words.next().and_then(|seed| seed.parse().ok()).unwrap_or(1);
            }
            "--mode" => {
                let name = words.next().unwrap_or_default();
                mode = ModeName::ALL.into_iter().find(|it| it.as_str() == name);
            }
            number => {
                if let Ok(number) = number.parse() {
                    count = number;
                }
            }
        }
    }
    let seeds: Vec<(u64, Option<ModeName>)> = if only {
        vec![(first, mode)]
    } else {
        let named = NAMED.iter().map(|(seed, mode, _)| (*seed, Some(*mode)));
        let named = named.filter(|(_, it)| mode.is_none() || mode == *it);
        let others = (first..first + count).map(|seed| (seed, mode));
        named.chain(others).collect()
    };
    let began = Instant::now();
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while let Some((seed, mode)) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Err(failure) = simulate(*seed, *mode, only) else {
                continue;
            };
            failed.fetch_add(1, Ordering::Relaxed);
            println!(
                "{}seed {} in {} mode: {}",
                failure.trace,
                failure.seed,
                failure.mode.as_str(),
                failure.what
            );
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner();
    let took = began.elapsed().as_secs_f64();
    println!(
        "{} histories in {took:.1} s, {failed} went wrong",
        seeds.len()
    );
    ExitCode::from(u8::from(failed > 0))
}
