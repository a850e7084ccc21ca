//! Programs inside a namespace.

use super::Namespace;
use crate::error::{Error, Result};
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::thread;

/// A [`Command`] that starts in a namespace.
#[derive(Debug)]
pub struct NamespaceCommand<'a> {
    namespace: &'a Namespace,
    command: Command,
    input: Option<String>,
    quiet: bool,
}

impl<'a> NamespaceCommand<'a> {
    pub(super) fn new(namespace: &'a Namespace, program: &str) -> Self {
        Self {
            namespace,
            command: Command::new(program),
            input: None,
            quiet: false,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Text for the program's standard input; without it standard input is empty.
    #[must_use]
    pub fn input(mut self, text: impl Into<String>) -> Self {
        self.input = Some(text.into());
        self
    }

    /// Throws the program's output away.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Makes the program the leader of a process group of its own, so that its children can be
    /// signalled with it.
    #[must_use]
    pub fn group_leader(mut self) -> Self {
        self.command.process_group(0);
        self
    }

    /// Starts the program with its output piped and leaves it running. The caller waits for it.
    pub fn spawn(mut self) -> Result<Child> {
        let stream = || {
            if self.quiet {
                Stdio::null()
            } else {
                Stdio::piped()
            }
        };
        self.command.stdout(stream()).stderr(stream());
        self.start()
    }

    /// Runs to the end, whatever the exit status.
    pub fn output(self) -> Result<Output> {
        let described = self.described();
        let child = self.spawn()?;
        child
            .wait_with_output()
            .map_err(Error::io(format!("waiting for `{described}`")))
    }

    /// Runs to the end; standard output on success, standard error in the error otherwise.
    pub fn text(self) -> Result<String> {
        let command = self.described();
        let namespace = self.namespace.name().to_owned();
        let output = self.output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Error::Command {
            command,
            namespace,
            status: output.status.to_string(),
            stderr: String::from_utf8_lossy(&output.stderr)
                .trim_end()
                .to_owned(),
        })
    }

    fn start(&mut self) -> Result<Child> {
        let stdin = if self.input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        self.command.stdin(stdin);
        let command = &mut self.command;
        let mut child = self
            .namespace
            .run(|| command.spawn())?
            .map_err(Error::io(format!(
                "starting `{command:?}`, is it installed?"
            )))?;
        if let (Some(text), Some(mut pipe)) = (self.input.take(), child.stdin.take()) {
            // A thread of its own: a program that answers while it reads would block both ends.
            let feed = move || match pipe.write_all(text.as_bytes()) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
                _ => Ok(()),
            };
            thread::Builder::new()
                .name("stdin".to_owned())
                .spawn(feed)
                .map_err(Error::io("starting a thread"))?;
        }
        Ok(child)
    }

    fn described(&self) -> String {
        let mut words = vec![self.command.get_program().to_string_lossy().into_owned()];
        words.extend(
            self.command
                .get_args()
                .map(|arg| arg.to_string_lossy().into_owned()),
        );
        words.join(" ")
    }
}
