//! The host's programs for legacy tables.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nfnetlink::Family;

use super::payload::Block;
use super::program::{self, Ended, Failure};
use super::tables::needs;
use crate::WriteError;
use viprule_dataplane::netfilter::Table;

/// How long the programs wait for the lock that all of them share, seconds (contract 2.9).
const LOCK_WAIT: &str = "5";
/// How long they may take: with the wait for the lock once for each table, and large tables on a busy
/// machine. A program that hangs must not hold up the sync loop for good.
const LIMIT: Duration = Duration::from_secs(60);
/// Exit status for a resource problem: the lock, for one (contract 2.9).
const BUSY: i32 = 4;

/// Why a restore did not run to its end.
#[derive(Debug)]
pub(super) enum Stopped {
    /// This line of the input failed, 1-based; what comes before its table was applied.
    Line(usize, String),
    /// It isn't known how far it came.
    Unknown(String),
    /// It can't work here, or not now, as it hangs or crashes or the lock is held elsewhere: that is
    /// taken for each table anew, so tables before may have been written.
    Failed(WriteError),
}

/// Where the programs of a family are.
#[derive(Debug, Clone)]
struct Programs {
    family: Family,
    restore: PathBuf,
    save: PathBuf,
}

/// The programs.
#[derive(Debug)]
pub(crate) struct Tools(Vec<Programs>);

impl Tools {
    /// Looks for the programs of these families in a folder, or in `PATH`.
    pub(crate) fn find(families: &[Family], folder: Option<&Path>) -> Result<Self, WriteError> {
        let all = families
            .iter()
            .map(|family| Programs::find(*family, folder));
        all.collect::<Result<_, _>>().map(Self)
    }

    /// A family that the programs were not looked up for can't be asked for.
    fn of(&self, family: Family) -> Result<&Programs, WriteError> {
        let found = self.0.iter().find(|programs| programs.family == family);
        found.ok_or_else(|| missing(prefix(family)))
    }

    /// What is in a table, or in all tables that exist.
    pub(crate) fn save(&self, family: Family, table: Option<Table>) -> Result<String, WriteError> {
        let program = &self.of(family)?.save;
        let mut command = Command::new(program);
        if let Some(table) = table {
            command.args(["-t", table.kind.name()]);
        }
        let ended = run(&mut command).map_err(|error| starting(program, error))?;
        let cut = ended.out.cut;
        if ended.status.success() && !cut {
            return Ok(String::from_utf8_lossy(&ended.out.bytes).into_owned());
        }
        let said = match no_exit(&ended) {
            Some(why) => why,
            None if ended.status.success() => {
                "it wrote more than 256 MiB, or did not end its output".to_owned()
            }
            None => said(&ended),
        };
        let operation = format!("running {}", program.display());
        Err(if said.contains("Permission denied") {
            denied(operation)
        } else if let (true, Some(table)) = (said.contains("insmod"), table) {
            WriteError::Missing {
                operation,
                part: needs(table),
            }
        } else {
            WriteError::failed(operation, said)
        })
    }

    /// Applies blocks in order.
    pub(super) fn restore(&self, family: Family, blocks: &[Block<'_>]) -> Result<(), Stopped> {
        let program = &self.of(family).map_err(Stopped::Failed)?.restore;
        let mut command = Command::new(program);
        command.args(["-w", LOCK_WAIT, "--noflush", "--counters"]);
        let feed = |pipe| {
            let mut pipe = io::BufWriter::new(pipe);
            blocks.iter().try_for_each(|block| block.write(&mut pipe))?;
            pipe.flush()
        };
        let ended = program::run(&mut command, LIMIT, feed).map_err(|failure| match failure {
            Failure::Start(error) => Stopped::Failed(starting(program, error)),
            Failure::Wait(error) => Stopped::Unknown(format!("{}: {error}", program.display())),
        })?;
        let running = || format!("running {}", program.display());
        let failed = |reason: String| Stopped::Failed(WriteError::failed(running(), reason));
        // It would go no better at once. The caller looks at what was written before the next try.
        if let Some(reason) = no_exit(&ended) {
            return Err(failed(reason));
        }
        let said = said(&ended);
        match ended.status.code() {
            Some(0) => match ended.fed {
                Ok(()) => Ok(()),
                Err(error) => Err(Stopped::Unknown(format!("feeding the rules: {error}"))),
            },
            _ if said.contains("Permission denied") => {
                Err(Stopped::Failed(denied(format!("{}: {said}", running()))))
            }
            _ if said.contains("lock file") => Err(failed(format!(
                "{said}; make /run/xtables.lock of the host writable here"
            ))),
            // Nothing of the table that waited for it was written. Looking would not help: it is for
            // the caller to come back later.
            Some(BUSY) if said.contains("xtables lock") => Err(failed(format!(
                "another program holds the xtables lock for more than {LOCK_WAIT} s; \
                 find it by /run/xtables.lock of the host: {said}"
            ))),
            None | Some(BUSY) => Err(Stopped::Unknown(format!(
                "{}: {}: {said}",
                program.display(),
                ended.status
            ))),
            Some(_) => Err(match line_number(&said) {
                Some(line) => Stopped::Line(line, said),
                None => failed(said),
            }),
        }
    }
}

impl Programs {
    fn find(family: Family, folder: Option<&Path>) -> Result<Self, WriteError> {
        let prefix = prefix(family);
        for name in [format!("{prefix}-legacy"), prefix.to_owned()] {
            let path = |what: &str| {
                let name = format!("{name}-{what}");
                folder.map_or_else(|| PathBuf::from(&name), |folder| folder.join(&name))
            };
            let (restore, save) = (path("restore"), path("save"));
            match run(Command::new(&restore).arg("--version")) {
                Ok(ended) if speaks_legacy(&ended) => {
                    return Ok(Self {
                        family,
                        restore,
                        save,
                    });
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(starting(&restore, error));
                }
                _ => {}
            }
        }
        Err(missing(prefix))
    }
}

const fn prefix(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "iptables",
        Family::Ipv6 => "ip6tables",
    }
}

/// Releases before 1.8 know nothing else and say nothing about it.
fn speaks_legacy(ended: &Ended) -> bool {
    ended.status.success() && !String::from_utf8_lossy(&ended.out.bytes).contains("nf_tables")
}

fn run(command: &mut Command) -> io::Result<Ended> {
    let nothing = |pipe| {
        drop(pipe);
        Ok(())
    };
    program::run(command, LIMIT, nothing).map_err(|failure| match failure {
        Failure::Start(error) | Failure::Wait(error) => error,
    })
}

/// Why a program did not end by itself, where it did not.
fn no_exit(ended: &Ended) -> Option<String> {
    if ended.too_slow {
        let seconds = LIMIT.as_secs();
        return Some(format!(
            "it did not end within {seconds} s and was killed; look for what it waits for"
        ));
    }
    ended.status.signal()?;
    let said = said(ended);
    let said = if said.is_empty() {
        String::new()
    } else {
        format!(": {said}")
    };
    Some(format!("it crashed or was killed: {}{said}", ended.status))
}

/// What a program said about its failure, in one line.
fn said(ended: &Ended) -> String {
    let text = String::from_utf8_lossy(&ended.err.bytes);
    let lines = text.lines().map(str::trim);
    let lines: Vec<&str> = lines
        .filter(|line| !line.is_empty() && !line.starts_with("Try `"))
        .collect();
    lines.join("; ")
}

/// The line that the restore programs complain about: `line 7 failed`, `line: 7`.
fn line_number(said: &str) -> Option<usize> {
    said.match_indices("line").find_map(|(at, word)| {
        let rest = said[at + word.len()..].trim_start_matches([':', ' ']);
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok())
    })
}

fn missing(prefix: &str) -> WriteError {
    WriteError::Missing {
        operation: "writing legacy tables".to_owned(),
        part: format!(
            "{prefix}-legacy-restore and {prefix}-legacy-save; install the package iptables"
        ),
    }
}

fn denied(operation: String) -> WriteError {
    WriteError::Permission {
        operation,
        capability: "CAP_NET_ADMIN and CAP_NET_RAW",
    }
}

fn starting(program: impl AsRef<OsStr>, error: io::Error) -> WriteError {
    WriteError::failed(format!("starting {}", program.as_ref().display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failed_line_is_found_in_what_the_programs_say() {
        for (said, line) in [
            ("iptables-restore: line 7 failed", Some(7)),
            (
                "iptables-restore v1.8.9 (legacy): Couldn't load target `X':No such file or directory; Error occurred at line: 3",
                Some(3),
            ),
            ("iptables-restore: line 12 failed: No chain.", Some(12)),
            ("iptables-restore: COMMIT expected at line 4", Some(4)),
            ("invalid option -- 'w'", None),
            ("a line", None),
        ] {
            assert_eq!(line_number(said), line, "{said}");
        }
    }
}
