//! What there is in each of the two.

use std::collections::{BTreeMap, BTreeSet};

use netlink_batch::{Error, Socket, socket::NETFILTER};
use nfnetlink::Family;
use nfnetlink::nftables::{self, ChainId};
use viprule_dataplane::ownership::Chain;

use super::compat::{self, Compat};
use crate::WriteError;
use crate::netfilter::legacy::{tables, tool::Tools};
use crate::netfilter::probe;

/// Chains that kubelet makes where it finds the node's iptables to be.
const HINTS: [&str; 2] = ["KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY"];
/// The tables that iptables knows; others of nf_tables are not iptables'.
const TABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];
/// How often chains are listed where something is committed meanwhile.
const ATTEMPTS: usize = 10;

/// What one of the two holds.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// Kubelet's chain.
    pub(super) hint: Option<&'static str>,
    /// How many chains a service proxy owns, in families where there are any.
    pub(super) proxy_chains: BTreeMap<Family, usize>,
}

impl Evidence {
    /// Chains that a service proxy owns.
    pub(super) fn chains(&self) -> usize {
        self.proxy_chains.values().sum()
    }

    fn take(&mut self, family: Family, chain: &str) {
        let hint = HINTS.into_iter().find(|hint| *hint == chain);
        self.hint = self.hint.or(hint);
        // Kubelet makes the other one.
        if Chain::parse(chain).is_some_and(Chain::is_ours_alone) {
            *self.proxy_chains.entry(family).or_default() += 1;
        }
    }
}

/// iptables in nf_tables.
pub(super) struct Nft {
    socket: Socket,
    pub(super) evidence: Evidence,
    /// The tables that can't be made here, as the kernel option that they need.
    pub(super) lacks: Option<&'static str>,
    /// Chains of iptables' tables.
    chains: BTreeSet<(Family, String, String)>,
}

impl Nft {
    pub(super) fn read() -> Result<Self, WriteError> {
        let mut socket = Socket::open(NETFILTER).map_err(reading)?;
        // There may be nf_tables without what iptables' rules take.
        let compat = compat::ask(&mut socket, Family::Ipv4, "comment", 0);
        if compat.map_err(reading)? != Compat::Match {
            return Err(WriteError::Missing {
                operation: "looking for iptables in nf_tables".to_owned(),
                part: "nft_compat (CONFIG_NFT_COMPAT)".to_owned(),
            });
        }
        let mut nft = Self {
            lacks: lacks(&mut socket)?,
            socket,
            evidence: Evidence::default(),
            chains: BTreeSet::new(),
        };
        for family in Family::ALL {
            nft.list(family)?;
        }
        for (family, table, chain) in &nft.chains {
            // Kubelet's chains mean something in mangle only.
            if table == "mangle" || !HINTS.contains(&chain.as_str()) {
                nft.evidence.take(*family, chain);
            }
        }
        Ok(nft)
    }

    /// nf_tables with kubelet's chain that lacks the tables of this kernel option.
    #[cfg(test)]
    pub(super) fn without(option: &'static str) -> Result<Self, Error> {
        let evidence = Evidence {
            hint: Some(HINTS[0]),
            proxy_chains: BTreeMap::new(),
        };
        Ok(Self {
            socket: Socket::open(NETFILTER)?,
            evidence,
            lacks: Some(option),
            chains: BTreeSet::new(),
        })
    }

    fn list(&mut self, family: Family) -> Result<(), WriteError> {
        for _ in 0..ATTEMPTS {
            let chains = &mut self.chains;
            let result = nftables::chains(&mut self.socket, family, |chain| {
                if TABLES.contains(&chain.table) {
                    chains.insert((family, chain.table.to_owned(), chain.name.to_owned()));
                }
            });
            match result {
                Ok(()) => break,
                // What one list lacks another one has.
                Err(Error::Interrupted) => {}
                Err(error) => return Err(reading(error)),
            }
        }
        // Somebody commits all the time, whatever it is: what all lists told is evidence enough.
        Ok(())
    }

    /// True where there are at least so many rules. Stops to count there.
    pub(super) fn has_rules(&mut self, enough: usize) -> Result<bool, WriteError> {
        let mut count = 0;
        for (family, table, name) in &self.chains {
            if count >= enough {
                break;
            }
            let id = ChainId {
                family: *family,
                table,
                name,
            };
            match nftables::rules(&mut self.socket, id, |_| count += 1) {
                // An estimate is enough.
                Ok(()) | Err(Error::Interrupted) => {}
                Err(error) => return Err(reading(error)),
            }
        }
        Ok(count >= enough)
    }
}

/// What nf_tables lacks of the families that rules are written for. A kernel without IPv6 needs none
/// of it.
fn lacks(socket: &mut Socket) -> Result<Option<&'static str>, WriteError> {
    for (family, needed, option) in [
        (Family::Ipv4, true, "CONFIG_NF_TABLES_IPV4"),
        (Family::Ipv6, probe::ipv6(), "CONFIG_NF_TABLES_IPV6"),
    ] {
        if needed && !nftables::has_family(socket, family).map_err(reading)? {
            return Ok(Some(option));
        }
    }
    Ok(None)
}

/// iptables in legacy tables.
#[derive(Debug, Default)]
pub(super) struct Legacy {
    pub(super) evidence: Evidence,
    pub(super) rules: usize,
    /// Why tables that exist, or may exist, were not read: of which families.
    pub(super) unread: BTreeMap<Family, WriteError>,
}

impl Legacy {
    /// Reads what exists; makes no table.
    pub(super) fn read() -> Result<Self, WriteError> {
        let mut legacy = Self::default();
        for family in Family::ALL {
            match tables::present(family) {
                Ok(tables) if tables.is_empty() => continue,
                Ok(_) => {}
                // Another user than root may well write nf_tables.
                Err(error @ WriteError::Permission { .. }) => {
                    legacy.unread.insert(family, error);
                    continue;
                }
                Err(error) => return Err(error),
            }
            let text = Tools::find(&[family], None).and_then(|tools| tools.save(family, None));
            match text {
                Ok(text) => legacy.take(family, &text),
                Err(error) => {
                    legacy.unread.insert(family, error);
                }
            }
        }
        Ok(legacy)
    }

    fn take(&mut self, family: Family, text: &str) {
        for line in text.lines() {
            if let Some(chain) = line.strip_prefix(':') {
                self.evidence
                    .take(family, chain.split(' ').next().unwrap_or_default());
            }
            self.rules += usize::from(line.starts_with('-'));
        }
    }
}

fn reading(error: Error) -> WriteError {
    WriteError::netlink("reading nf_tables chains", error)
}
