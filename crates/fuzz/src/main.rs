//! `viprule-fuzz`: targets by hand.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use viprule_fuzz::explore::{Until, explore};
use viprule_fuzz::{TARGETS, Target};

/// Gives targets inputs without a fuzzer; scripts/fuzz finds more
#[derive(Debug, Parser)]
enum Verb {
    /// Print the names of all targets
    List,
    /// Write a target's seeds into a folder
    Seeds { target: String, folder: PathBuf },
    /// Run a target on these files
    Run { target: String, files: Vec<PathBuf> },
    /// Run a target on its seeds and on mutations of them
    Explore {
        target: String,
        /// For so long
        #[arg(long)]
        seconds: u64,
        /// What the mutations follow from
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Where the input is kept that a target panics at
        #[arg(long)]
        folder: PathBuf,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Verb::parse() {
        Verb::List => {
            for target in TARGETS {
                writeln!(io::stdout(), "{}", target.name)?;
            }
        }
        Verb::Seeds { target, folder } => write_seeds(named(&target)?, &folder)?,
        Verb::Run { target, files } => {
            let target = named(&target)?;
            for file in files {
                let input = fs::read(&file).with_context(|| file.display().to_string())?;
                (target.run)(&input);
            }
        }
        Verb::Explore {
            target,
            seconds,
            seed,
            folder,
        } => {
            let time = Until::Elapsed(Duration::from_secs(seconds));
            let outcome = explore(named(&target)?, seed, time, &folder)?;
            let (executions, rate) = (outcome.executions, outcome.executions / seconds.max(1));
            writeln!(io::stdout(), "{executions} executions, {rate} in a second")?;
            if let Some(path) = outcome.finding {
                writeln!(io::stdout(), "fails at {}", path.display())?;
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn named(name: &str) -> anyhow::Result<&'static Target> {
    Target::named(name).with_context(|| format!("there is no target {name}; `list` prints all"))
}

fn write_seeds(target: &Target, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    for (number, seed) in target.seeds().iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:03}")), seed)?;
    }
    Ok(())
}
