//! What kube-proxy left behind in other modes, or we did: the tables of either's nftables mode, and
//! IPVS mode's virtual servers, link and IP sets.
//!
//! All of it may go behind the first complete sync of a start, and behind a cleanup: our own rules
//! then serve every Service already, and the rules that use the IP sets are gone, as those count as
//! ours (`dataplane::ownership`). [`crate::ipvs::Former`] has what IPVS mode left.
//!
//! Virtual servers are known to be IPVS mode's by its sets and its link. Others stay.

use std::fmt;

use netlink_batch::{Socket, retry_stale, socket::NETFILTER};
use nfnetlink::Family;
use nfnetlink::nftables::{self, Transaction};
use viprule_dataplane::nftables::TABLE;
use viprule_dataplane::ownership::leftovers::{IPVS_LINK, NFT_TABLE};

use crate::WriteError;
use crate::error::chain;

/// How often a listing that changes while it is read is read again.
const ATTEMPTS: u32 = 10;

/// Whose nftables mode a table is of. Each has a name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableOf {
    /// kube-proxy's.
    KubeProxy,
    /// Ours.
    Viprule,
}

impl TableOf {
    /// Both.
    pub const ALL: [Self; 2] = [Self::KubeProxy, Self::Viprule];

    const fn name(self) -> &'static str {
        match self {
            Self::KubeProxy => NFT_TABLE,
            Self::Viprule => TABLE,
        }
    }
}

/// Something that was left behind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leftover {
    /// Nftables mode's table of one family, with all that is in it.
    Table(Family, TableOf),
    /// One of IPVS mode's IP sets.
    Set(String),
    /// IPVS mode's link with the virtual IPs.
    Link,
    /// IPVS mode's virtual servers, so many.
    VirtualServers(usize),
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(family, of) => write!(f, "nftables table {family} {}", of.name()),
            Self::Set(name) => write!(f, "IP set {name}"),
            Self::Link => write!(f, "link {IPVS_LINK}"),
            Self::VirtualServers(1) => write!(f, "1 IPVS virtual server"),
            Self::VirtualServers(count) => write!(f, "{count} IPVS virtual servers"),
        }
    }
}

/// What a removal did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removal {
    /// What is gone.
    pub removed: Vec<Leftover>,
    /// What is still there, and why.
    pub left: Vec<(Leftover, String)>,
}

/// The tables of these nftables modes.
pub fn tables(of: &[TableOf]) -> Result<Vec<Leftover>, WriteError> {
    find(&mut open()?, of)
}

/// Removes the tables of these nftables modes.
pub fn remove_tables(of: &[TableOf]) -> Result<Removal, WriteError> {
    let mut removal = Removal::default();
    let mut socket = open()?;
    for leftover in find(&mut socket, of)? {
        let Leftover::Table(family, of) = leftover else {
            continue;
        };
        match remove_table(&mut socket, family, of) {
            Ok(()) => removal.removed.push(leftover),
            Err(why) => removal.left.push((leftover, why)),
        }
    }
    Ok(removal)
}

fn find(socket: &mut Socket, of: &[TableOf]) -> Result<Vec<Leftover>, WriteError> {
    let mut found = Vec::new();
    for of in of {
        for family in Family::ALL {
            if has_table(socket, family, *of)? {
                found.push(Leftover::Table(family, *of));
            }
        }
    }
    Ok(found)
}

fn open() -> Result<Socket, WriteError> {
    Socket::open(NETFILTER).map_err(|error| WriteError::netlink("opening a netlink socket", error))
}

fn has_table(socket: &mut Socket, family: Family, of: TableOf) -> Result<bool, WriteError> {
    retry_stale(ATTEMPTS, || {
        let mut found = false;
        nftables::tables(socket, family, |table| found |= table.name == of.name())?;
        Ok(found)
    })
    .map_err(|error| WriteError::netlink("listing nftables tables", error))
}

fn remove_table(socket: &mut Socket, family: Family, of: TableOf) -> Result<(), String> {
    let mut transaction = Transaction::<()>::new();
    transaction.begin(None);
    transaction.delete_table(family, of.name());
    match transaction.commit(socket) {
        Ok(_) => Ok(()),
        Err(error) => match has_table(socket, family, of) {
            Ok(false) => Ok(()),
            _ => Err(chain(&error)),
        },
    }
}
