//! Shows viprule on one node with real packets and checks every claim it prints; see
//! `scripts/demo`, which builds and starts it.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the demo is what it prints"
)]

mod foreign;
mod repair;
mod screen;
mod stage;
mod steps;
mod switch;

use anyhow::Context as _;
use screen::Screen;
use stage::Stage;
use std::process::ExitCode;
use std::time::Instant;
use viprule_testkit::netns::require_privileges;

const USAGE: &str = "\
usage: demo [--shell]
  --shell  before the cleanup, open a shell on the node, to try everything by hand";

fn main() -> ExitCode {
    demo().unwrap_or_else(|error| {
        eprintln!("demo: {error:#}");
        ExitCode::FAILURE
    })
}

fn demo() -> anyhow::Result<ExitCode> {
    let mut shell = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--shell" => shell = true,
            "-h" | "--help" => {
                println!("{USAGE}");
                return Ok(ExitCode::SUCCESS);
            }
            other => anyhow::bail!("unknown argument {other:?}\n{USAGE}"),
        }
    }
    require_privileges().context("start the demo with scripts/demo")?;

    let begin = Instant::now();
    let mut screen = Screen::new();
    let stage = Stage::build()?;
    steps::introduce();
    let before = foreign::administrators_rule(&mut screen, &stage)?;
    let mut agent = steps::first_sync(&mut screen, &stage)?;
    steps::connections(&mut screen, &stage)?;
    steps::endpoint_leaves(&mut screen, &stage, &mut agent)?;
    repair::step(&mut screen, &stage, &mut agent)?;
    let agent = switch::step(&mut screen, &stage, agent)?;
    if shell {
        stage.shell()?;
    }
    foreign::cleanup(&mut screen, &stage, agent, &before)?;
    Ok(screen.conclude(begin.elapsed()))
}
