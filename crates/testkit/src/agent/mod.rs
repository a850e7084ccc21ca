//! The real program as a process in a namespace.

mod binary;
mod confinement;
mod lines;
mod memory;

pub use binary::viprule_binary;
pub use confinement::Confinement;
pub use memory::Memory;

use crate::LIMIT;
use crate::error::{Error, Result};
use crate::netns::Namespace;
use lines::Lines;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// A running program whose output is kept. It is killed on drop.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    lines: Lines,
}

impl Agent {
    /// Starts viprule in `namespace`, with arguments as on the command line.
    pub fn start<S: AsRef<OsStr>>(
        namespace: &Namespace,
        args: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        Self::start_program(namespace, &viprule_binary()?, args)
    }

    /// Starts any program the same way.
    pub fn start_program<S: AsRef<OsStr>>(
        namespace: &Namespace,
        program: &Path,
        args: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let command = namespace.command(&program.to_string_lossy()).args(args);
        let mut child = command.env("RUST_BACKTRACE", "1").spawn()?;
        let mut lines = Lines::default();
        if let Some(stdout) = child.stdout.take() {
            lines.follow("stdout", stdout)?;
        }
        if let Some(stderr) = child.stderr.take() {
            lines.follow("stderr", stderr)?;
        }
        Ok(Self { child, lines })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it wrote so far, both streams in order of arrival.
    pub fn lines(&self) -> Vec<String> {
        self.lines.all()
    }

    /// Waits until a line contains `part`, counting from the start of the program; the line. Fails
    /// at once if the program ends without it.
    pub fn wait_for_line(&mut self, part: &str, patience: Duration) -> Result<String> {
        self.wait_for_line_after(0, part, patience)
            .map(|(_, line)| line)
    }

    /// Same for lines from number `from` (0 is the first) on; the line's number and text.
    pub fn wait_for_line_after(
        &mut self,
        from: usize,
        part: &str,
        patience: Duration,
    ) -> Result<(usize, String)> {
        let start = Instant::now();
        loop {
            // Asked before reading, so that the last lines of a program that ends are seen.
            let ended = self.has_ended()?;
            if let Some(found) = self.lines.find(from, part, Duration::from_millis(20)) {
                return Ok(found);
            }
            if start.elapsed() >= patience || (ended && self.lines.is_complete()) {
                let what = format!("a line with {part:?} from process {}", self.pid());
                return Err(self.in_vain(what, start.elapsed()));
            }
        }
    }

    /// Asks `condition` every 5 ms until it is true. Fails at once if the program ends.
    pub fn wait_until(
        &mut self,
        what: &str,
        patience: Duration,
        mut condition: impl FnMut() -> bool,
    ) -> Result<Duration> {
        let start = Instant::now();
        loop {
            if condition() {
                return Ok(start.elapsed());
            }
            if start.elapsed() >= patience || self.has_ended()? {
                return Err(self.in_vain(what.to_owned(), start.elapsed()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid()).map_err(|_| Error::Malformed {
            what: format!("process id {}", self.pid()),
            why: "it is no Linux process id".to_owned(),
        })?;
        kill(Pid::from_raw(pid), signal)
            .map_err(Error::errno(format!("sending {signal} to process {pid}")))
    }

    /// SIGTERM, then waits for the end.
    pub fn terminate(&mut self, patience: Duration) -> Result<ExitStatus> {
        if self
            .child
            .try_wait()
            .map_err(Error::io("asking for an exit status"))?
            .is_none()
        {
            self.signal(Signal::SIGTERM)?;
        }
        self.wait(patience)
    }

    /// SIGKILL, then waits for the end.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.child
            .kill()
            .map_err(Error::io(format!("killing process {}", self.pid())))?;
        self.wait(LIMIT)
    }

    /// Waits for the program to end by itself, its last lines included.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            let status = self
                .child
                .try_wait()
                .map_err(Error::io("asking for an exit status"))?;
            if let Some(status) = status {
                self.lines.complete(LIMIT);
                return Ok(status);
            }
            if start.elapsed() >= patience {
                let what = format!("the end of process {}", self.pid());
                return Err(self.in_vain(what, start.elapsed()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// How much memory it has now and had at most.
    pub fn memory(&self) -> Result<Memory> {
        Memory::of(self.pid())
    }

    /// What each of its threads has given up.
    pub fn confinement(&self) -> Result<BTreeMap<u32, Confinement>> {
        Confinement::of(self.pid())
    }

    fn has_ended(&mut self) -> Result<bool> {
        let status = self
            .child
            .try_wait()
            .map_err(Error::io("asking for an exit status"))?;
        Ok(status.is_some())
    }

    fn in_vain(&mut self, what: String, waited: Duration) -> Error {
        const SHOWN: usize = 30;
        let lines = self.lines.all();
        let last = &lines[lines.len().saturating_sub(SHOWN)..];
        let state = match self.child.try_wait() {
            Ok(Some(status)) => format!("it ended with {status}"),
            _ => "it still runs".to_owned(),
        };
        let context = format!("; {state}; its last lines:\n{}", last.join("\n"));
        Error::Deadline {
            what,
            waited,
            context,
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Both fail only if it ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
