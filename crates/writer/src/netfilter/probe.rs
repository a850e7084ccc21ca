//! What this kernel has.

use std::path::Path;
use std::time::Duration;

use netlink_batch::Socket;
use nfnetlink::nfacct;
use viprule_dataplane::netfilter::counter;

use crate::{WriteError, clock, files, socket, sysctl};

/// How long the kernel may take to free removed rules; usually 8 to 16 ms.
const FREED_WITHIN: Duration = Duration::from_millis(500);

/// Parts that change which rules are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Support {
    /// IPv6 is there and not switched off (contract 10).
    pub ipv6: bool,
    /// nfacct counters (contract 2.11).
    pub nfacct: bool,
    /// `net.netfilter.nf_conntrack_tcp_be_liberal` is set: packets that conntrack finds invalid
    /// are let through (contract 2.4).
    pub be_liberal: bool,
}

/// Looks at the kernel. With `make_counters` the counters that rules refer to are made; without
/// it nothing is changed.
pub fn probe(make_counters: bool) -> Result<Support, WriteError> {
    let mut socket = socket::netfilter()?;
    Ok(Support {
        ipv6: ipv6(),
        nfacct: counters(&mut socket, make_counters)?,
        be_liberal: be_liberal(),
    })
}

impl Support {
    /// The same, with kernel settings read again.
    #[must_use]
    pub fn read_again(self) -> Self {
        Self {
            be_liberal: be_liberal(),
            ..self
        }
    }
}

fn be_liberal() -> bool {
    sysctl::read("net/netfilter/nf_conntrack_tcp_be_liberal").is_some_and(|value| value != "0")
}

/// IPv6 is there and not switched off.
pub(crate) fn ipv6() -> bool {
    // The file is the namespace's own only below the reading thread.
    files::exists(Path::new("/proc/thread-self/net/if_inet6"))
        && sysctl::read("net/ipv6/conf/all/disable_ipv6").is_none_or(|value| value != "1")
}

fn counters(socket: &mut Socket, make: bool) -> Result<bool, WriteError> {
    for name in counter::ALL {
        let result = if make {
            nfacct::ensure(socket, name)
        } else {
            nfacct::get(socket, name).map(|_| ())
        };
        match result {
            Ok(()) => {}
            Err(nfacct::Error::NotSupported) => return Ok(false),
            Err(nfacct::Error::Netlink { source, .. }) => {
                return Err(WriteError::netlink("asking for an nfacct counter", source));
            }
            Err(error) => {
                return Err(WriteError::failed("asking for an nfacct counter", error));
            }
        }
    }
    Ok(true)
}

/// Removes the counters that rules referred to. One that somebody's rule still uses stays.
///
/// Takes up to half a second: the kernel frees removed rules, and what they use, a moment after
/// it has told that they are gone.
pub fn remove_counters() {
    let Ok(mut socket) = socket::netfilter() else {
        return;
    };
    let deadline = clock::now() + FREED_WITHIN;
    for name in counter::ALL {
        let outcome = loop {
            match nfacct::delete(&mut socket, name) {
                Err(nfacct::Error::Busy { .. }) if clock::now() < deadline => {
                    clock::sleep(FREED_WITHIN / 100);
                }
                outcome => break outcome,
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(name, %error, "counter stays");
        }
    }
}
