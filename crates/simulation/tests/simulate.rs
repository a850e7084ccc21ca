//! Runs histories: `cargo test --test simulate -- [N] [--from S] [--seed S] [--mode M]`.

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use clap::Parser;
use viprule_simulation::{ModeName, simulate};

/// Histories that go wrong where what keeps a Service in them is taken away, and some that once went
/// wrong. Those beyond what is run anyway are run as well. Whoever changes what a seed means looks for
/// others.
const NAMED: &[(u64, ModeName, &str)] = &[
    (43, ModeName::Iptables, "an answer that is no list"),
    (28, ModeName::Ipvs, "an answer that is no list"),
    (7, ModeName::Iptables, "a list that lacks most Services"),
    (32, ModeName::Ipvs, "a list that lacks most Services"),
    (55, ModeName::Iptables, "a first list of few Services"),
    (30, ModeName::Ipvs, "a first list of few Services"),
    (33, ModeName::Iptables, "a foreign commit beside ours"),
    (17, ModeName::Iptables, "commits to other tables"),
    (80, ModeName::Ipvs, "commits to other tables"),
    (39, ModeName::Iptables, "an interrupted dump"),
    (104, ModeName::Ipvs, "an interrupted dump"),
    (99, ModeName::Iptables, "a time that is null"),
    (14, ModeName::Ipvs, "a time that is null"),
    (433, ModeName::Iptables, "a slice that is not known"),
    (11_233, ModeName::Iptables, "a slice that is not known"),
    (14_356, ModeName::Ipvs, "a slice that is not known"),
    (3_384, ModeName::Ipvs, "what a refused Service has"),
    (13_630, ModeName::Ipvs, "what a refused Service has"),
    (15_376, ModeName::Ipvs, "what a refused Service has"),
    (19_896, ModeName::Ipvs, "what a refused Service has"),
    (11_710, ModeName::Ipvs, "an address that stays"),
    (186, ModeName::Ipvs, "a server whose slice is unknown"),
    (16_420, ModeName::Ipvs, "no sign of ours"),
    (18_917, ModeName::Iptables, "endpoints that others took"),
];

/// Histories that go wrong, and why is not known yet. They are run and told, and fail nothing.
const OPEN: &[(u64, ModeName, &str)] = &[
    (
        364,
        ModeName::Ipvs,
        "a virtual server goes whose Service becomes readable again, from one that had its address",
    ),
    (
        1_544,
        ModeName::Ipvs,
        "two lists in a row lack the same slices, and both are wrong",
    ),
];

/// How many are run where nobody says.
const USUAL: u64 = 1_600;

/// Histories of the whole agent from seeds.
#[derive(Debug, Parser)]
struct Options {
    /// How many [default: 1600]. A word is a filter of tests' names, which cargo hands to all: none
    count: Option<String>,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// This seed alone, and what happened if it goes wrong
    #[arg(long)]
    seed: Option<u64>,
    /// In this mode: iptables, ipvs or nftables; else every ninth seed is of nftables mode, and odd ones of the
    /// others are of iptables mode
    #[arg(long, value_parser = mode)]
    mode: Option<ModeName>,
}

fn mode(name: &str) -> Result<ModeName, String> {
    let mut modes = ModeName::ALL.into_iter();
    let found = modes.find(|it| it.as_str() == name);
    found.ok_or_else(|| "iptables, ipvs or nftables".to_owned())
}

impl Options {
    fn seeds(&self) -> Vec<(u64, Option<ModeName>)> {
        if let Some(seed) = self.seed {
            return vec![(seed, self.mode)];
        }
        let count = match &self.count {
            None => USUAL,
            Some(count) => match count.parse() {
                Ok(count) => count,
                Err(_) => return Vec::new(),
            },
        };
        let all = self.from..self.from.saturating_add(count);
        let named = NAMED.iter().map(|(seed, mode, _)| (*seed, *mode));
        let named = named.filter(|(seed, mode)| {
            let runs_anyway =
                all.contains(seed) && self.mode.unwrap_or(ModeName::of(*seed)) == *mode;
            !runs_anyway && self.mode.is_none_or(|chosen| chosen == *mode)
        });
        let named: Vec<_> = named.map(|(seed, mode)| (seed, Some(mode))).collect();
        let others = all.map(|seed| (seed, self.mode));
        named.into_iter().chain(others).collect()
    }
}

/// Why a seed that goes wrong fails nothing.
fn open(seed: u64, mode: Option<ModeName>) -> Option<&'static str> {
    let mode = mode.unwrap_or(ModeName::of(seed));
    let mut all = OPEN.iter();
    all.find(|(open, of, _)| (*open, *of) == (seed, mode))
        .map(|(_, _, why)| *why)
}

/// What went wrong, in words.
fn failure(seed: u64, mode: Option<ModeName>, traced: bool) -> Option<String> {
    match catch_unwind(|| simulate(seed, mode, traced)) {
        Ok(Ok(())) => None,
        Ok(Err(it)) => {
            let mode = it.mode.as_str();
            Some(format!(
                "{}seed {seed} in {mode} mode: {}",
                it.trace, it.what
            ))
        }
        Err(_) => Some(format!("seed {seed}: the simulation panicked")),
    }
}

#[expect(clippy::print_stdout, reason = "it is a program for people")]
fn main() -> ExitCode {
    let options = Options::parse();
    let seeds = options.seeds();
    let began = Instant::now();
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while let Some((seed, mode)) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Some(failure) = failure(*seed, *mode, options.seed.is_some()) {
                println!("{failure}");
                match open(*seed, *mode) {
                    Some(why) => println!("seed {seed} is open: {why}"),
                    None => drop(failed.fetch_add(1, Ordering::Relaxed)),
                }
            }
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
