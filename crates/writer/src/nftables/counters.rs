//! What elements count.

use std::collections::BTreeMap;

use netlink_batch::{Errno, Socket, retry_stale};
use nfnetlink::Family;
use nfnetlink::nftables::native::{elements, sets};
use viprule_dataplane::nftables::{Element, ElementContent, Set, SetName, decode};

use super::observe::{reading, table};
use crate::{WriteError, socket};

/// How often sets that change while they are read are read again.
const ATTEMPTS: u32 = 10;

/// What an element counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// What the element says.
    pub content: ElementContent,
    /// Packets that found it: one for each connection, as far as it leads somewhere, else each try.
    pub packets: u64,
}

/// Reads what elements count, with a socket of its own: a list for each set that has any.
#[derive(Debug)]
pub struct Counters {
    socket: Socket,
}

impl Counters {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open() -> Result<Self, WriteError> {
        Ok(Self {
            socket: socket::netfilter()?,
        })
    }

    /// All elements of ours that count, each once. Nothing where there is no table of ours.
    pub fn read(&mut self) -> Result<BTreeMap<Element, Count>, WriteError> {
        let mut all = BTreeMap::new();
        for family in Family::ALL {
            for set in self.counting(family)? {
                let (socket, spec) = (&mut self.socket, set.spec());
                let read = retry_stale(ATTEMPTS, || {
                    elements(socket, table(family), &spec, |listed| {
                        let packets = listed.counters.map_or(0, |counters| counters.packets);
                        if let Some((element, content)) = decode(set, &listed.element) {
                            all.insert(element, Count { content, packets });
                        }
                    })
                });
                read.map_err(reading)?;
            }
        }
        Ok(all)
    }

    /// The sets of ours that count and have elements.
    fn counting(&mut self, family: Family) -> Result<Vec<Set>, WriteError> {
        let socket = &mut self.socket;
        let found = retry_stale(ATTEMPTS, || {
            let mut found = Vec::new();
            sets(socket, table(family), |listed| {
                let name = SetName::parse(&listed.set.name).filter(SetName::counts);
                let set = name.map(|name| Set { family, name });
                found.extend(set.filter(|set| listed.count != Some(0) && set.spec() == listed.set));
            })?;
            Ok(found)
        });
        match found {
            Ok(found) => Ok(found),
            Err(error) if error.errno() == Some(Errno::NOENT) => Ok(Vec::new()),
            Err(error) => Err(reading(error)),
        }
    }
}
