//! Prints what encoding, decoding, parsing and printing a rule of kube-proxy costs.
//!
//! Run with `cargo run --release -p nfnetlink --example xtables_cost`.

#![allow(clippy::print_stdout, reason = "the numbers are the point")]

use std::hint::black_box;
use std::time::Instant;

use netlink_batch::{AttrWriter, Attrs};
use nfnetlink::Family;
use nfnetlink::xtables::{ParseError, Rule};

const SAVE: &str = include_str!("../tests/data/iptables-save.txt");
const ROUNDS: usize = 2000;

fn main() -> Result<(), ParseError> {
    let texts: Vec<&str> = SAVE
        .lines()
        .filter_map(|line| line.strip_prefix("-A ")?.split_once(' '))
        .map(|(_chain, text)| text)
        .collect();
    let rules: Vec<Rule> = texts
        .iter()
        .map(|text| Rule::parse(Family::Ipv4, text))
        .collect::<Result<_, _>>()?;
    let mut buffer = Vec::new();
    let ends: Vec<usize> = rules
        .iter()
        .map(|rule| {
            rule.encode(&mut AttrWriter::new(&mut buffer));
            buffer.len()
        })
        .collect();
    let encoded = buffer.clone();
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let spans: Vec<&[u8]> = starts
        .zip(&ends)
        .filter_map(|(start, end)| encoded.get(start..*end))
        .collect();
    println!(
        "{} rules, {} bytes a rule",
        rules.len(),
        encoded.len() / rules.len()
    );

    measure("encode", rules.len(), || {
        buffer.clear();
        for rule in &rules {
            rule.encode(&mut AttrWriter::new(&mut buffer));
        }
        black_box(&buffer);
    });
    measure("decode", rules.len(), || {
        for span in &spans {
            let _ = black_box(Rule::decode(Family::Ipv4, Attrs::new(span)));
        }
    });
    measure("compare", rules.len(), || {
        black_box(black_box(&rules) == black_box(&rules));
    });
    measure("parse", rules.len(), || {
        for text in &texts {
            let _ = black_box(Rule::parse(Family::Ipv4, text));
        }
    });
    measure("print", rules.len(), || {
        for rule in &rules {
            black_box(rule.to_string());
        }
    });
    Ok(())
}

fn measure(what: &str, rules: usize, mut one_round: impl FnMut()) {
    // The best of several runs: the machine does other things as well.
    let best = (0..10)
        .map(|_| {
            let begin = Instant::now();
            for _ in 0..ROUNDS / 10 {
                one_round();
            }
            begin.elapsed()
        })
        .min()
        .unwrap_or_default();
    let times = (ROUNDS / 10 * rules) as u128;
    println!("{what:8} {:5} ns/rule", best.as_nanos() / times);
}
