//! Runs histories: `cargo test --test simulate -- N [--seed S] [--trace]`.

use std::process::ExitCode;
use std::time::Instant;

use viprule_simulation::simulate;

/// Histories that went wrong once, and why.
const NAMED: &[(u64, &str)] = &[];
/// How many are run where nobody says.
const USUAL: u64 = 300;

#[expect(clippy::print_stdout, reason = "it is a program for people")]
fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (mut count, mut first, mut only) = (USUAL, 1, false);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seed" => {
                only = true;
                first = words.next().and_then(|seed| seed.parse().ok()).unwrap_or(1);
            }
            "--from" => {
                first = words.next().and_then(|seed| seed.parse().ok()).unwrap_or(1);
            }
            number => {
                if let Ok(number) = number.parse() {
                    count = number;
                }
            }
        }
    }
    let seeds: Vec<u64> = if only {
        vec![first]
    } else {
        let named = NAMED.iter().map(|(seed, _)| *seed);
        named.chain(first..first + count).collect()
    };
    let began = Instant::now();
    let mut failed = 0;
    for seed in &seeds {
        let Err(failure) = simulate(*seed, only) else {
            continue;
        };
        failed += 1;
        println!("{}seed {}: {}", failure.trace, failure.seed, failure.what);
    }
    let took = began.elapsed().as_secs_f64();
    println!(
        "{} histories in {took:.1} s, {failed} went wrong",
        seeds.len()
    );
    ExitCode::from(u8::from(failed > 0))
}
