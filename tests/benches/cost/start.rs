//! The agent starts on a kernel that has it all.

use anyhow::ensure;
use netlink_batch::Socket;
use nfnetlink::Family;
use nfnetlink::nftables::Chain;
use viprule_dataplane::Scope;

use crate::world::World;
use viprule_tests::figures::cluster::Cluster;
use viprule_tests::figures::report::{Limit, Measure, Report};
use viprule_tests::figures::samples::{medians, time};

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN` (`linux/netfilter/nf_tables.h`).
const GET_CHAIN: u16 = 0x0a04;
/// `NFT_MSG_GETRULE`.
const GET_RULE: u16 = 0x0a07;
/// `NFTA_RULE_TABLE`.
const TABLE: u16 = 1;
/// `NFTA_RULE_CHAIN`.
const CHAIN: u16 = 2;
/// Length of nfgenmsg, which holds bits of the generation.
const HEADER: usize = 4;

/// Measures looking at everything and writing nothing.
pub(crate) fn measure(cluster: &Cluster, world: &World, report: &mut Report) -> anyhow::Result<()> {
    let runs = if cluster.services() > 2_000 { 5 } else { 11 };
    let mut socket = world.viprule_side.socket()?;
    let known = Dump::read(&mut socket)?;
    let (mut real, mut floor, mut transactions) = (Vec::new(), Vec::new(), 0);
    for _ in 0..runs {
        let (outcome, sample) = time(|| known.compare(&mut socket));
        outcome?;
        floor.push(sample);
        let mut syncer = world.another(cluster)?;
        let (outcome, sample) = time(|| syncer.reconcile(Scope::Everything));
        real.push(sample);
        transactions = transactions.max(outcome?.transactions);
    }
    let measure = |name| Measure {
        name,
        services: cluster.services(),
        runs,
    };
    let (real, floor) = (medians(&real), medians(&floor));
    report.ratio(
        measure("start, nothing changed"),
        real,
        floor,
        Limit::AtMost(1.3),
    );
    let limit = Limit::AtMost(0.0);
    report.count(
        measure("start, nothing changed"),
        transactions,
        "transactions",
        limit,
    );
    Ok(())
}

/// What the kernel said about every chain and its rules, byte by byte.
#[derive(Debug, Default)]
struct Dump {
    families: Vec<(Family, Vec<u8>)>,
    chains: Vec<(Family, String, String, Vec<u8>)>,
}

impl Dump {
    fn read(socket: &mut Socket) -> anyhow::Result<Self> {
        let mut dump = Self::default();
        for family in Family::ALL {
            let (mut bytes, mut names) = (Vec::new(), Vec::new());
            socket.dump(
                GET_CHAIN,
                &header(family),
                |_| {},
                |message| {
                    let chain = Chain::read(&message)?;
                    names.push((chain.table.to_owned(), chain.name.to_owned()));
                    bytes.extend_from_slice(&message.payload[HEADER..]);
                    Ok(())
                },
            )?;
            dump.families.push((family, bytes));
            for (table, name) in names {
                let mut bytes = Vec::new();
                rules(socket, family, &table, &name, |rule| {
                    bytes.extend_from_slice(rule);
                })?;
                dump.chains.push((family, table, name, bytes));
            }
        }
        Ok(dump)
    }

    /// The bare loop: asks for the same again and compares.
    fn compare(&self, socket: &mut Socket) -> anyhow::Result<()> {
        for (family, known) in &self.families {
            let mut left = Left(Some(known.as_slice()));
            socket.dump(
                GET_CHAIN,
                &header(*family),
                |_| {},
                |message| {
                    left.take(&message.payload[HEADER..]);
                    Ok(())
                },
            )?;
            ensure!(left.is_done(), "the chains are others");
        }
        for (family, table, name, known) in &self.chains {
            let mut left = Left(Some(known.as_slice()));
            rules(socket, *family, table, name, |rule| left.take(rule))?;
            ensure!(left.is_done(), "{table} {name} is another");
        }
        Ok(())
    }
}

/// Known bytes that haven't come yet; `None` after others came.
struct Left<'a>(Option<&'a [u8]>);

impl Left<'_> {
    fn take(&mut self, bytes: &[u8]) {
        self.0 = self.0.and_then(|left| left.strip_prefix(bytes));
    }

    fn is_done(&self) -> bool {
        self.0.is_some_and(<[u8]>::is_empty)
    }
}

fn rules(
    socket: &mut Socket,
    family: Family,
    table: &str,
    chain: &str,
    mut each: impl FnMut(&[u8]),
) -> Result<(), netlink_batch::Error> {
    let place = |attrs: &mut netlink_batch::AttrWriter<'_>| {
        attrs.str(TABLE, table);
        attrs.str(CHAIN, chain);
    };
    socket.dump(GET_RULE, &header(family), place, |message| {
        each(&message.payload[HEADER..]);
        Ok(())
    })
}

/// `struct nfgenmsg`.
fn header(family: Family) -> [u8; HEADER] {
    [family.number(), 0, 0, 0]
}
