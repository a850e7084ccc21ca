//! What kube-proxy left behind in nftables or IPVS mode: tables, IP sets, a link.
//!
//! Call [`remove`] behind the first complete sync of a start, and behind a cleanup: our own rules
//! then serve every Service already, and the rules that use the IP sets are gone, as those count as
//! ours (`dataplane::ownership`). [`find`] alone changes nothing.
//!
//! IPVS virtual servers and the link that holds their addresses stay while there are any: established
//! connections go through them.

mod link;

use std::time::{Duration, Instant};
use std::{fmt, fs, thread};

use netlink_batch::{
    Socket, retry_stale,
    socket::{NETFILTER, ROUTE},
};
use nfnetlink::nftables::{self, Transaction};
use nfnetlink::{Family, ipset};
use viprule_dataplane::ownership::leavings::{IPVS_LINK, NFT_TABLE, is_ipvs_set};

use crate::WriteError;
use crate::error::chain;

/// How often a listing that changes while it is read is read again.
const ATTEMPTS: u32 = 10;
/// How long the kernel may take to free removed rules, which use sets; usually 8 to 16 ms.
const FREED_WITHIN: Duration = Duration::from_millis(500);
/// The kind of [`IPVS_LINK`]. A link of another kind is somebody else's.
const LINK_KIND: &str = "dummy";

/// Something that was left behind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leaving {
    /// Nftables mode's table of one family, with all that is in it.
    Table(Family),
    /// One of IPVS mode's IP sets.
    Set(String),
    /// IPVS mode's link with the virtual IPs.
    Link,
    /// IPVS virtual servers, so many. Whose they are can't be told.
    VirtualServers(usize),
}

impl fmt::Display for Leaving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(family) => write!(f, "nftables table {family} {NFT_TABLE}"),
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
    pub removed: Vec<Leaving>,
    /// What is still there, and why.
    pub left: Vec<(Leaving, String)>,
}

/// Looks for leavings in the network namespace of the calling thread, in the order of removal.
pub fn find() -> Result<Vec<Leaving>, WriteError> {
    let mut socket = open(NETFILTER)?;
    let mut found = Vec::new();
    for family in Family::ALL {
        if has_table(&mut socket, family)? {
            found.push(Leaving::Table(family));
        }
    }
    found.extend(sets(&mut socket)?.into_iter().map(Leaving::Set));
    let link = link::find(&mut open(ROUTE)?, IPVS_LINK, LINK_KIND);
    if link
        .map_err(|error| failed("looking for links", &error))?
        .is_some()
    {
        found.push(Leaving::Link);
    }
    let servers = virtual_servers();
    if servers > 0 {
        found.push(Leaving::VirtualServers(servers));
    }
    Ok(found)
}

/// Removes leavings as far as nobody needs them. What is gone already counts as removed.
///
/// Takes up to half a second where rules that used IP sets were removed right before.
pub fn remove(leavings: Vec<Leaving>) -> Result<Removal, WriteError> {
    let mut socket = open(NETFILTER)?;
    let deadline = Instant::now() + FREED_WITHIN;
    let mut removal = Removal::default();
    for leaving in leavings {
        let result = match &leaving {
            Leaving::Table(family) => remove_table(&mut socket, *family),
            Leaving::Set(name) => remove_set(&mut socket, name, deadline),
            Leaving::Link => remove_link(),
            Leaving::VirtualServers(_) => Err(
                "they may not be kube-proxy's, and established connections go through them; once \
                 none needs them remove them with `ipvsadm --clear`, then clean up again"
                    .to_owned(),
            ),
        };
        match result {
            Ok(()) => removal.removed.push(leaving),
            Err(why) => removal.left.push((leaving, why)),
        }
    }
    Ok(removal)
}

fn open(protocol: isize) -> Result<Socket, WriteError> {
    Socket::open(protocol).map_err(|error| failed("opening a netlink socket", &error))
}

fn failed(operation: &str, error: &netlink_batch::Error) -> WriteError {
    WriteError::netlink(operation, error)
}

fn has_table(socket: &mut Socket, family: Family) -> Result<bool, WriteError> {
    retry_stale(ATTEMPTS, || {
        let mut found = false;
        nftables::tables(socket, family, |table| found |= table.name == NFT_TABLE)?;
        Ok(found)
    })
    .map_err(|error| failed("listing nftables tables", &error))
}

fn sets(socket: &mut Socket) -> Result<Vec<String>, WriteError> {
    let mut found = Vec::new();
    let result = ipset::sets(socket, |set| {
        if is_ipvs_set(set.name, set.kind) {
            found.push(set.name.to_owned());
        }
    });
    match result {
        Ok(()) | Err(ipset::Error::NotSupported) => Ok(found),
        Err(error) => Err(WriteError::Failed {
            operation: "listing IP sets".to_owned(),
            reason: chain(&error),
        }),
    }
}

/// Lines of the kernel's table of virtual servers that begin with a protocol.
fn virtual_servers() -> usize {
    // The file is the namespace's own only below the reading thread.
    let table = fs::read_to_string("/proc/thread-self/net/ip_vs").unwrap_or_default();
    count_virtual_servers(&table)
}

fn count_virtual_servers(table: &str) -> usize {
    let is_server = |line: &&str| {
        ["TCP ", "UDP ", "SCTP ", "FWM "]
            .iter()
            .any(|p| line.starts_with(p))
    };
    table.lines().filter(is_server).count()
}

fn remove_table(socket: &mut Socket, family: Family) -> Result<(), String> {
    let mut transaction = Transaction::<()>::new();
    transaction.begin(None);
    transaction.delete_table(family, NFT_TABLE);
    match transaction.commit(socket) {
        Ok(_) => Ok(()),
        Err(error) => match has_table(socket, family) {
            Ok(false) => Ok(()),
            _ => Err(chain(&error)),
        },
    }
}

fn remove_set(socket: &mut Socket, name: &str, deadline: Instant) -> Result<(), String> {
    loop {
        match ipset::destroy(socket, name) {
            Ok(_) => return Ok(()),
            // The kernel frees removed rules, and what they use, a moment after it told so.
            Err(ipset::Error::Busy { .. }) if Instant::now() < deadline => {
                thread::sleep(FREED_WITHIN / 100);
            }
            Err(error) => return Err(chain(&error)),
        }
    }
}

fn remove_link() -> Result<(), String> {
    if virtual_servers() > 0 {
        return Err("IPVS virtual servers use its addresses".to_owned());
    }
    let mut socket = open(ROUTE).map_err(|error| chain(&error))?;
    link::remove(&mut socket, IPVS_LINK, LINK_KIND).map_err(|error| chain(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_servers_are_counted() {
        let table = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A010014:0050 rr
  -> 0AF40005:0050      Masq    1      0          0
UDP  0A010014:0035 rr
";
        assert_eq!(count_virtual_servers(table), 2);
        assert_eq!(count_virtual_servers(""), 0);
    }
}
