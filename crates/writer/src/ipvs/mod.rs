//! IPVS mode: virtual servers over generic netlink, IP sets over nfnetlink, addresses over
//! rtnetlink, and chains as in iptables mode.
//!
//! There is no transaction over all of them: each object takes effect as it is written. So the
//! order is what keeps traffic right at every step:
//!
//! 1. The link and the sets, which the rest needs.
//! 2. Elements of sets. From then on the virtual servers that they stand for are known to be ours,
//!    whatever happens to this process.
//! 3. Virtual servers, each with its destinations behind it. No packet reaches one yet, as its
//!    address is not the node's; only node ports are served from here on, the first connections
//!    by the first destinations.
//! 4. Addresses: a new Service is complete when packets find it.
//! 5. Chains and rules, old and new ones in one transaction. New chains find filled sets, and
//!    where another mode's chains go in the same transaction IPVS is ready to take over. Where none
//!    are replaced and none go, they come before the addresses: the first connection is masqueraded
//!    where it must be.
//! 6. Destinations that go. Those that take their place serve already (3). They get no new
//!    connections, and are deleted when those that they have are over.
//! 7. Addresses that go: no packet finds their virtual servers any more.
//! 8. Virtual servers that go, and only then the elements that say whose they are. One that has
//!    connections stays with its address and those elements until they are over ([`retired`]).
//! 9. Sets that go. No rule uses them since (5); the kernel frees rules a moment later, so this
//!    waits a little. A set that somebody else's rule uses stays and is told; the rest goes on.
//!
//! Many objects of steps 1 to 3 are sent before all is staged, to save memory: no packet reaches new
//! ones yet, and changes of those that are there take effect at once anyway.
//!
//! An object that the kernel refuses keeps the rest of its tag from being written, and all later
//! steps from being done, so that what was there before stays; whoever staged it comes again without
//! it. An object that can't be removed keeps nothing else.

mod addresses;
mod commit;
mod counters;
mod drain;
mod dummy;
mod former;
pub mod host;
mod observe;
mod outcome;
mod pipeline;
mod probe;
mod retired;
mod servers;
mod sets;
mod stage;
mod watch;
mod way;

pub use counters::Counters;
pub use former::{Former, Progress};
pub use probe::{load_module, probe};
pub use way::clear_way;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

use nfnetlink::Family;
use viprule_dataplane::ipvs::{Key, Object, Piece};
use viprule_dataplane::ownership::Layout;
use viprule_dataplane::{Diff, Feature, Scope, State};

use crate::backend::{Backend, HostWriter};
use crate::clock;
use crate::{ApplyError, ForeignChanges, Tag, WriteError, Writer, Written};
use addresses::Addresses;
use drain::Drain;
use outcome::Outcome;
use retired::Retired;
use servers::Servers;
use sets::Sets;
use stage::Staged;

/// When to try again what the kernel would not let go.
const AGAIN: Duration = Duration::from_secs(1);
/// Elements, virtual servers and destinations that are held back until there are so many.
const PART: usize = 8192;

/// Writes IPVS mode's objects in the network namespace of the thread that made it.
#[derive(Debug)]
pub struct IpvsWriter {
    addresses: Addresses,
    sets: Sets,
    servers: Servers,
    retired: Retired,
    /// Nothing waits for the end of connections.
    at_once: bool,
    netfilter: HostWriter,
    staged: Staged,
    /// What came of the parts that were sent already.
    outcome: Outcome,
}

impl IpvsWriter {
    /// Opens the sockets, for chains in this backend. Other families than these are neither read
    /// nor written. The error says what is missing; see [`probe`] too.
    pub fn open(backend: Backend, families: &[Family]) -> Result<Self, WriteError> {
        let servers = Servers::new(probe::open()?, Drain::new(None));
        let netfilter = HostWriter::open(backend, families)?.with_layout(Layout::Ipvs);
        Ok(Self {
            addresses: Addresses::open()?,
            sets: Sets::open(families)?,
            servers,
            retired: Retired::default(),
            at_once: false,
            netfilter,
            staged: Staged::default(),
            outcome: Outcome::default(),
        })
    }

    /// Lets a destination that nobody wants any more have so long for its connections to end;
    /// without end where `limit` is `None`. For one that drains already since an earlier start the
    /// time begins with this one.
    pub fn set_drain_timeout(&mut self, limit: Option<Duration>) {
        self.servers.drain.set_limit(limit, clock::now());
    }

    /// The API server is there: such an address stays for nobody's connections.
    pub fn set_api_server(&mut self, api_server: &[SocketAddr]) {
        self.retired.bar(api_server);
    }

    /// How many destinations drain.
    pub fn draining(&self) -> usize {
        self.servers.drain.len()
    }
}

impl Writer for IpvsWriter {
    type Key = Key;
    type Object = Object;

    fn observe<V: From<(Key, Object)>>(
        &mut self,
        scope: &Scope<Piece>,
    ) -> Result<State<Key, V>, WriteError> {
        self.read(scope)
    }

    fn stage<A>(
        &mut self,
        tag: Tag,
        diff: &Diff<'_, Key, A, Object>,
    ) -> Result<(), ApplyError<Piece>> {
        self.staged.add(tag, diff);
        if self.staged.len() < PART {
            return Ok(());
        }
        let result = self.send_part();
        if result.is_err() {
            self.staged = Staged::default();
            self.outcome = Outcome::default();
        }
        result
    }

    fn commit(&mut self) -> Result<Written, ApplyError<Piece>> {
        self.send()
    }

    fn foreign_changes(&mut self) -> Result<ForeignChanges<Piece>, WriteError> {
        let ForeignChanges { scope, by } = self.netfilter.foreign_changes()?;
        let mut scope = commit::netfilter(scope);
        if self.addresses.watch().is_touched()? {
            scope.extend(Scope::Pieces(BTreeSet::from([Piece::Link])));
        }
        Ok(ForeignChanges { scope, by })
    }

    fn notifications(&self) -> Vec<BorrowedFd<'_>> {
        let mut all = self.netfilter.notifications();
        all.push(self.addresses.events().as_fd());
        all
    }

    fn unwatched(&self) -> Scope<Piece> {
        match self.netfilter {
            HostWriter::Nft(_) => Scope::Pieces(BTreeSet::from([Piece::Sets, Piece::Servers])),
            // Nobody tells of changes to legacy tables, and this mode has no canary in them.
            HostWriter::Legacy(_) => Scope::Everything,
        }
    }

    fn take_lacking(&mut self) -> BTreeSet<Feature> {
        let schedulers = std::mem::take(&mut self.servers.lacking).into_iter();
        schedulers.map(Feature::Scheduler).collect()
    }

    fn has(&mut self, Feature::Scheduler(scheduler): &Feature) -> Result<bool, WriteError> {
        probe::has_scheduler(self.servers.ipvs(), scheduler)
    }

    fn drain(&mut self) -> Result<Option<Duration>, WriteError> {
        self.tend_drains()?;
        self.end_retired()?;
        let rest = self.servers.drain.rest(clock::now());
        // Something else keeps them: look again.
        Ok(rest.or((!self.retired.is_empty()).then_some(AGAIN)))
    }
}
