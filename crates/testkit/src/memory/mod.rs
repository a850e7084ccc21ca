//! The kernel in memory, at the level of netlink's bytes: what the agent's own code for sockets,
//! messages and writers runs on unchanged.
//!
//! A thread enters it with [`MemoryKernel::enter`]; whatever it opens sockets for then is answered
//! from here. `tests/memory` holds the answers against the real kernel's. What happens besides is
//! decided by [`Hooks`]: other programs that commit at any moment, messages that are refused,
//! answers that are lost. Nothing here reads a clock or starts a thread.

mod answer;
mod fields;
mod files;
mod hooks;
mod ipset;
mod ipvs;
mod listing;
mod nft;
mod other;
mod port;
mod program;
mod read;
mod route;
mod state;
mod views;

pub use hooks::{Fate, Hooks, Sent};
pub use nft::{Base, Chain, Element, Rule, Ruleset, Set, Table};
pub use program::Program;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use netlink_batch::Errno;
use netlink_batch::memory::{self, Entered, Ready};
use netlink_batch::socket::{GENERIC, NETFILTER, ROUTE};

use state::State;

/// A kernel in memory; clones are the same one.
#[derive(Clone)]
pub struct MemoryKernel(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    hooks: Mutex<Option<Box<dyn Hooks>>>,
    clock: Mutex<Box<Clock>>,
    slept: Mutex<Duration>,
}

type Clock = dyn Fn() -> Instant + Send;

/// Who is at the other end of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    name: Arc<str>,
    pid: u32,
    /// True for the agent under test.
    ours: bool,
}

/// Who sent a datagram.
#[derive(Debug, Clone)]
struct Sender {
    port: u32,
    protocol: isize,
    identity: Identity,
}

impl MemoryKernel {
    /// A kernel with nothing in it, whose clock stands.
    pub fn new() -> Self {
        let begin = Instant::now();
        Self(Arc::new(Shared {
            state: Mutex::default(),
            hooks: Mutex::new(None),
            clock: Mutex::new(Box::new(move || begin)),
            slept: Mutex::default(),
        }))
    }

    /// Makes the calling thread's sockets speak to this kernel as the agent's. The agent's commits
    /// are told to be those of a program `viprule` with process 1.
    pub fn enter(&self) -> Entered {
        let agent = Identity {
            name: "viprule".into(),
            pid: 1,
            ours: true,
        };
        self.enter_as(agent)
    }

    /// Another program beside the agent.
    pub fn program(&self, name: &str, pid: u32) -> Program {
        Program::new(self.clone(), name, pid)
    }

    /// Asks these from now on what is to happen, in place of those before. While they are called
    /// they are not asked, so that they can do as other programs what they like.
    pub fn set_hooks(&self, hooks: impl Hooks + 'static) {
        *lock(&self.0.hooks) = Some(Box::new(hooks));
    }

    /// Asks nobody any more.
    pub fn clear_hooks(&self) {
        *lock(&self.0.hooks) = None;
    }

    /// Takes the time from this clock. Where the agent waits within a call, the kernel's time is
    /// ahead of it from then on by [`Self::slept`].
    pub fn set_clock(&self, clock: impl Fn() -> Instant + Send + 'static) {
        *lock(&self.0.clock) = Box::new(clock);
    }

    /// How long the agent has waited within calls, all in all.
    pub fn slept(&self) -> Duration {
        *lock(&self.0.slept)
    }

    fn now(&self) -> Instant {
        let clock = lock(&self.0.clock);
        clock() + self.slept()
    }

    /// What `nf_tables` holds now. Takes no copy.
    pub fn ruleset(&self) -> Ruleset {
        self.state().nft.ruleset().clone()
    }

    /// Loses what waits for every listener of the agent, as where its queue was full: they get
    /// ENOBUFS.
    pub fn lose_notifications(&self) {
        self.state().ports.overrun_listeners();
    }

    /// Lets at most so many datagrams wait for each port of the agent, now and later; further
    /// ones are lost (ENOBUFS).
    pub fn limit_queues(&self, datagrams: usize) {
        self.state().ports.limit(datagrams);
    }

    /// From now on the first list of a set's elements behind a transaction that brought many of them
    /// tells one twice and another one not at all, as the kernel does while a table of hashes grows
    /// (`net/netfilter/nft_set_hash.c`).
    pub fn show_growth(&self) {
        self.state().nft.shows_growth = true;
    }

    /// The number of datagrams in the longest of the agent's queues.
    pub fn longest_queue(&self) -> usize {
        self.state().ports.longest()
    }

    fn enter_as(&self, identity: Identity) -> Entered {
        let kernel = self.clone();
        memory::enter(Arc::new(Entrance { kernel, identity }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    /// Calls the hooks, if there are any and they are not being called already.
    fn ask<T>(&self, ask: impl FnOnce(&mut dyn Hooks, &Self) -> T) -> Option<T> {
        let mut hooks = lock(&self.0.hooks).take()?;
        let answer = ask(hooks.as_mut(), self);
        lock(&self.0.hooks).get_or_insert(hooks);
        Some(answer)
    }

    fn send(&self, sender: &Sender, datagram: &[u8]) -> io::Result<()> {
        let fate = if sender.identity.ours {
            let sent = Sent::new(sender.protocol, datagram);
            self.ask(|hooks, kernel| hooks.before_send(kernel, &sent))
        } else {
            None
        };
        let fate = fate.unwrap_or_default();
        if let Fate::NotSent(errno) = fate {
            return Err(io::Error::from_raw_os_error(errno.raw()));
        }
        let mut lost = false;
        if sender.protocol == NETFILTER && nft::is_batch(datagram) {
            let mut deliveries = Vec::new();
            let mut state = self.state();
            let before = state.nft.ruleset().clone();
            state.batch(sender, datagram, &fate, &mut deliveries);
            lost |= state.deliver(sender, &fate, deliveries);
            let after = state.nft.ruleset().clone();
            drop(state);
            if sender.identity.ours && before.generation() != after.generation() {
                self.ask(|hooks, kernel| hooks.committed(kernel, &before, &after));
            }
        } else {
            for (number, request) in fields::messages(datagram).enumerate() {
                let mut deliveries = Vec::new();
                let mut state = self.state();
                let before = state.version();
                state.handle(sender, number, &request, &fate, &mut deliveries);
                lost |= state.deliver(sender, &fate, deliveries);
                let changed = before != state.version();
                drop(state);
                if sender.identity.ours && changed {
                    self.ask(|hooks, kernel| hooks.took_effect(kernel));
                }
            }
        }
        if lost {
            self.state().ports.overrun(sender.port);
        }
        Ok(())
    }

    fn receive(&self, port: u32, ours: bool) -> io::Result<Option<Vec<u8>>> {
        let mut state = self.state();
        let mut received = state.ports.receive(port)?;
        if received.is_none() && state.ports.is_dumping(port) {
            // What came before was lost.
            state.go_on_dumping(port);
            received = state.ports.receive(port)?;
        }
        if received.is_some() && state.ports.is_dumping(port) {
            drop(state);
            if ours {
                self.ask(|hooks, kernel| hooks.between_datagrams(kernel));
            }
            self.state().go_on_dumping(port);
        }
        Ok(received)
    }
}

impl Default for MemoryKernel {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryKernel").finish_non_exhaustive()
    }
}

/// The kernel as one program sees it.
struct Entrance {
    kernel: MemoryKernel,
    identity: Identity,
}

impl memory::Kernel for Entrance {
    fn open(&self, protocol: isize, ready: Ready) -> io::Result<u32> {
        if ![NETFILTER, GENERIC, ROUTE].contains(&protocol) {
            return Err(io::Error::from_raw_os_error(Errno::PROTONOSUPPORT.raw()));
        }
        let identity = self.identity.clone();
        Ok(self.kernel.state().ports.open(protocol, identity, ready))
    }

    fn close(&self, port: u32) {
        self.kernel.state().ports.close(port);
    }

    fn send(&self, port: u32, datagram: &[u8]) -> io::Result<()> {
        let sender = self.kernel.state().ports.sender(port);
        self.kernel.send(&sender?, datagram)
    }

    fn receive(&self, port: u32) -> io::Result<Option<Vec<u8>>> {
        self.kernel.receive(port, self.identity.ours)
    }

    fn allow_receive(&self, port: u32, bytes: usize) -> usize {
        self.kernel.state().ports.allow_receive(port, bytes)
    }

    fn read_file(&self, path: &str) -> io::Result<Vec<u8>> {
        if path == ipvs_netlink::proc::PATH {
            return Ok(self.kernel.state().ipvs.text().into_bytes());
        }
        self.kernel.state().files.read(path)
    }

    fn write_file(&self, path: &str, content: &[u8]) -> io::Result<()> {
        self.kernel.state().files.write(path, content)
    }

    fn now(&self) -> Instant {
        self.kernel.now()
    }

    fn sleep(&self, time: Duration) {
        *lock(&self.kernel.0.slept) += time;
    }

    fn join(&self, port: u32, group: u32) -> io::Result<()> {
        self.kernel.state().ports.join(port, group)
    }

    fn ignore(&self, port: u32, cause: u32) -> io::Result<()> {
        self.kernel.state().ports.ignore(port, cause)
    }

    fn leave(&self, port: u32, group: u32) -> io::Result<()> {
        self.kernel.state().ports.leave(port, group)
    }
}

/// What a thread that panicked left is read all the same: the test that panicked has failed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
