//! What became of the client's first packets: whether they were lost or only slow.

use super::World;
use crate::dump::Tables;
use crate::error::{Error, Result};
use crate::netns::Namespace;

/// Counts packets that begin a TCP connection where the client sends them and where pods receive
/// them. However slow a machine is, one that was sent arrives, and one that was repeated arrives
/// twice: what is missing in the end was lost on the way.
#[derive(Debug)]
pub struct Syns<'w> {
    world: &'w World,
}

/// Programs that count, by IP family.
const PROGRAMS: [&str; 2] = ["iptables", "ip6tables"];
/// What begins a connection.
const SYN: [&str; 3] = ["-p", "tcp", "--syn"];

impl World {
    /// Begins to count. Clients in pods and on the node must not connect meanwhile, and all
    /// connections of the client must lead to pods.
    pub fn count_syns(&self) -> Result<Syns<'_>> {
        for program in PROGRAMS {
            change(&self.client, program, ["-I", "OUTPUT", "1"])?;
            for namespace in self.receivers() {
                change(namespace, program, ["-I", "INPUT", "1"])?;
            }
        }
        Ok(Syns { world: self })
    }

    /// Where pods' packets arrive.
    fn receivers(&self) -> impl Iterator<Item = &Namespace> {
        let remotes = self.remotes.iter().map(|remote| &remote.namespace);
        remotes.chain(self.pods.iter().map(super::PodLink::namespace))
    }
}

impl Syns<'_> {
    /// Packets that were sent and did not arrive, so far. To be asked when no connection is under
    /// way: one that is on its way counts as lost.
    pub fn missing(&self) -> Result<u64> {
        let (mut sent, mut arrived) = (0, 0);
        for program in PROGRAMS {
            sent += count(&self.world.client, program, "OUTPUT")?;
            for namespace in self.world.receivers() {
                arrived += count(namespace, program, "INPUT")?;
            }
        }
        Ok(u64::saturating_sub(sent, arrived))
    }
}

fn name(program: &str) -> String {
    format!("{program}-{}", Tables::of_this_kernel().name())
}

fn change(namespace: &Namespace, program: &str, how: [&str; 3]) -> Result<()> {
    let command = namespace.command(&name(program));
    command.args(how).args(SYN).text().map(drop)
}

/// The packets of a chain's first rule.
fn count(namespace: &Namespace, program: &str, chain: &str) -> Result<u64> {
    let command = namespace.command(&name(program));
    let text = command.args(["-nvxL", chain, "1"]).text()?;
    let first = text.split_whitespace().next();
    first
        .and_then(|packets| packets.parse().ok())
        .ok_or_else(|| Error::Malformed {
            what: format!("counters of {chain} in {}", namespace.name()),
            why: text,
        })
}
