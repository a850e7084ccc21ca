//! Network namespaces of a test's own.
//!
//! A namespace lives as long as its descriptor (and the sockets and processes made inside). Only
//! threads enter it: the calling thread never changes namespace.

mod command;

pub use command::NamespaceCommand;

use crate::error::{Error, Result};
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::thread;

/// A network namespace that is gone when this is dropped and nothing inside runs any more.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    handle: File,
}

impl Namespace {
    /// Makes an empty namespace with loopback up. `name` is for messages only; it needn't be
    /// unique and nothing is written under /run/netns.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let handle = unshared().map_err(|source| {
            if source.kind() == io::ErrorKind::PermissionDenied {
                Error::Privileges { source }
            } else {
                Error::Io {
                    what: format!("making network namespace {name}"),
                    source,
                }
            }
        })?;
        let namespace = Self { name, handle };
        namespace.ip(["link set lo up"])?;
        Ok(namespace)
    }

    /// The name it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A path that other programs can open while this process lives: `nsenter --net=PATH`,
    /// `ip link set DEV netns PATH`.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.handle.as_raw_fd()
        ))
    }

    /// Another handle on the same namespace.
    pub fn try_clone(&self) -> Result<Self> {
        let handle = self.handle.try_clone().map_err(Error::io(format!(
            "duplicating the descriptor of namespace {}",
            self.name
        )))?;
        Ok(Self {
            name: self.name.clone(),
            handle,
        })
    }

    /// Moves the calling thread into the namespace, for good.
    pub fn enter_thread(&self) -> Result<()> {
        setns(&self.handle, CloneFlags::CLONE_NEWNET)
            .map_err(Error::errno(format!("entering namespace {}", self.name)))
    }

    /// Runs `work` on a thread inside the namespace and waits for it. Sockets opened and programs
    /// started by `work` belong to the namespace, also after it returns. A panic inside goes on
    /// in the caller.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        thread::scope(|scope| {
            let inside = thread::Builder::new()
                .name(format!("in {}", self.name))
                .spawn_scoped(scope, || self.enter_thread().map(|()| work()))
                .map_err(Error::io("starting a thread"))?;
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A program to be run inside.
    pub fn command(&self, program: &str) -> NamespaceCommand<'_> {
        NamespaceCommand::new(self, program)
    }

    /// Feeds lines to `ip -batch`; stops at the first that fails.
    pub fn ip<L: AsRef<str>>(&self, lines: impl IntoIterator<Item = L>) -> Result<()> {
        let mut batch = String::new();
        for line in lines {
            batch.push_str(line.as_ref());
            batch.push('\n');
        }
        self.command("ip")
            .args(["-batch", "-"])
            .input(batch)
            .text()
            .map(drop)
    }

    /// Writes a sysctl; `key` is the path below /proc/sys, such as `net/ipv4/ip_forward`.
    pub fn set_sysctl(&self, key: &str, value: &str) -> Result<()> {
        self.set_sysctls(&[(key, value)])
    }

    /// Writes several sysctls in order, on one thread.
    pub fn set_sysctls(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.run(|| {
            for (key, value) in settings {
                fs::write(format!("/proc/sys/{key}"), value).map_err(Error::io(format!(
                    "setting sysctl {key}={value} in namespace {}",
                    self.name
                )))?;
            }
            Ok(())
        })?
    }

    /// Reads a sysctl, without the newline.
    pub fn sysctl(&self, key: &str) -> Result<String> {
        self.run(|| fs::read_to_string(format!("/proc/sys/{key}")))?
            .map(|text| text.trim_end().to_owned())
            .map_err(Error::io(format!(
                "reading sysctl {key} in namespace {}",
                self.name
            )))
    }
}

/// The descriptor of a new namespace, made by a thread that then ends.
fn unshared() -> io::Result<File> {
    let maker = thread::Builder::new()
        .name("new netns".to_owned())
        .spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        })?;
    maker
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the thread that unshares panicked")))
}

/// Fails with instructions unless namespaces can be made and configured here. Tests call it first:
/// a test that can't run must not pass.
pub fn require_privileges() -> Result<()> {
    let probe = Namespace::new("probe")?;
    match probe.set_sysctl("net/ipv4/ip_forward", "1") {
        Err(Error::Io { source, .. }) => Err(Error::Privileges { source }),
        other => other,
    }
}
