//! Targets without a fuzzer: all seeds, and mutations of them that follow from a number.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::mutate::{Chance, mutated};
use crate::{LONGEST, Target};

/// When to end.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After so many mutations.
    Count(u32),
    /// After this time.
    Elapsed(Duration),
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Inputs given to the target.
    pub executions: u64,
    /// The input that it panicked at, if it did.
    pub finding: Option<PathBuf>,
}

/// Gives a target its seeds and then mutations of them, until the first that it panics at.
///
/// Each input is written below `folder` before, so that it is there whatever becomes of the process.
pub fn explore(target: &Target, seed: u64, until: Until, folder: &Path) -> io::Result<Outcome> {
    fs::create_dir_all(folder)?;
    let path = folder.join(target.name);
    let kept = File::create(&path)?;
    let seeds = target.seeds();
    let mut chance = Chance::of(seed);
    let begin = Instant::now();
    let mut executions = 0;
    let mut run = |input: &[u8]| {
        executions += 1;
        // Never emptied: file systems make sure that a file which is written anew is on the disk.
        kept.write_all_at(input, 0)?;
        kept.set_len(input.len() as u64)?;
        io::Result::Ok(catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_ok())
    };
    for input in &seeds {
        if !run(input)? {
            return Ok(failed(executions, path));
        }
    }
    for made in 0_u32.. {
        let ended = match until {
            Until::Count(count) => made >= count,
            Until::Elapsed(time) => begin.elapsed() >= time,
        };
        if ended {
            break;
        }
        if !run(&mutated(&mut chance, &seeds, LONGEST))? {
            return Ok(failed(executions, path));
        }
    }
    fs::remove_file(&path)?;
    Ok(Outcome {
        executions,
        finding: None,
    })
}

const fn failed(executions: u64, path: PathBuf) -> Outcome {
    Outcome {
        executions,
        finding: Some(path),
    }
}
