//! Somebody who commits to a table of their own, again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use netlink_batch::{Socket, socket::NETFILTER};
use nfnetlink::Family;
use nfnetlink::nftables::{ChainId, Transaction};

use crate::error::{Error, Result};
use crate::netns::Namespace;

/// The table, of IPv4.
pub const TABLE: &str = "foreign";
/// The chain that comes and goes.
const CHAIN: ChainId<'_> = ChainId {
    family: Family::Ipv4,
    table: TABLE,
    name: "comes-and-goes",
};

/// A program that commits to a table of nobody else's; dropping it ends it.
///
/// Each commit makes or removes a chain. The kernel counts chains of all tables while it lists
/// them, so that this gets in the way of whoever reads.
#[derive(Debug)]
pub struct Rival {
    stop: Arc<AtomicBool>,
    commits: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl Rival {
    /// Starts one that waits so long between two commits.
    pub fn start(namespace: &Namespace, pause: Duration) -> Result<Self> {
        let socket = namespace.run(|| Socket::open(NETFILTER))?;
        let mut socket = socket.map_err(refused)?;
        let mut first = Transaction::<()>::new();
        first.new_table(Family::Ipv4, TABLE);
        first.commit(&mut socket).map_err(refused)?;
        let (stop, commits) = (Arc::default(), Arc::default());
        let (stopped, committed) = (Arc::clone(&stop), Arc::clone(&commits));
        let run = move || go_on(&mut socket, pause, &stopped, &committed);
        let thread = thread::Builder::new()
            .name("rival".to_owned())
            .spawn(run)
            .map_err(Error::io("starting a thread"))?;
        Ok(Self {
            stop,
            commits,
            thread: Some(thread),
        })
    }

    /// How often it has committed.
    pub fn commits(&self) -> u32 {
        self.commits.load(Ordering::Relaxed)
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn go_on(socket: &mut Socket, pause: Duration, stop: &AtomicBool, commits: &AtomicU32) {
    let mut transaction = Transaction::<()>::new();
    let mut is_there = false;
    while !stop.load(Ordering::Relaxed) {
        if is_there {
            transaction.delete_chain(CHAIN);
        } else {
            transaction.new_chain(CHAIN);
        }
        if transaction.commit(socket).is_ok() {
            is_there = !is_there;
            commits.fetch_add(1, Ordering::Relaxed);
        }
        thread::sleep(pause);
    }
}

fn refused(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::io("committing to a table of its own")(std::io::Error::other(error))
}
