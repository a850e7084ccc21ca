//! What another program does to virtual servers, sets and addresses.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use ipvs_netlink::{
    Destination, DestinationId, Family, Ipvs, Protocol, Requests, Scheduler, Server, ServerFlags,
    ServerId,
};
use netlink_batch::Socket;
use netlink_batch::socket::NETFILTER;
use nfnetlink::ipset::{self, Changes};
use viprule_dataplane::ownership::leftovers::IPVS_LINK;
use viprule_testkit::chance::Chance;
use viprule_testkit::memory::{MemoryKernel, Program};

use crate::mode::{Edit, netfilter};

/// Where another program has virtual servers of its own.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 77));

/// What another program has done.
#[derive(Debug, Default)]
pub(super) struct Interference {
    /// Virtual servers of its own.
    pub(super) foreign: BTreeSet<ServerId>,
    /// The agent's destinations that it took away or gave another weight, which nobody tells of.
    pub(super) disturbed: BTreeSet<(ServerId, DestinationId)>,
}

/// Changes something that is the agent's, or adds a virtual server of its own. None where there is
/// nothing.
pub(super) fn edit(
    chance: &mut Chance,
    rival: &Program,
    kernel: &MemoryKernel,
    interference: &mut Interference,
) -> Option<Edit> {
    let what = match chance.below(12) {
        0..3 => return netfilter::edit(chance, rival, kernel),
        3..5 => return on_link(chance, rival, kernel),
        5..7 => in_set(chance, rival, kernel)?,
        7 => {
            let server = own(chance);
            let what = format!("adds {server}, its own");
            send(rival, |requests| {
                requests.new_server(&server, &simple(server.family())).ok()
            })?;
            interference.foreign.insert(server);
            what
        }
        _ => in_servers(chance, rival, kernel, interference)?,
    };
    let is_told = false;
    Some(Edit { what, is_told })
}

fn on_link(chance: &mut Chance, rival: &Program, kernel: &MemoryKernel) -> Option<Edit> {
    let is_told = true;
    if chance.per_mille(100) {
        let what = format!("deleted {IPVS_LINK}");
        let done = rival.delete_link(IPVS_LINK).ok()?;
        return done.then_some(Edit { what, is_told });
    }
    let addresses: Vec<IpAddr> = kernel.addresses(IPVS_LINK)?.into_keys().collect();
    let address = chance.pick(&addresses)?;
    let what = format!("took {address} from {IPVS_LINK}");
    let done = rival.delete_address(IPVS_LINK, *address).ok()?;
    done.then_some(Edit { what, is_told })
}

fn in_set(chance: &mut Chance, rival: &Program, kernel: &MemoryKernel) -> Option<String> {
    let sets = kernel.sets();
    let filled: Vec<_> = sets.iter().filter(|(_, it)| !it.is_empty()).collect();
    let (name, elements) = chance.pick(&filled)?;
    let _entered = rival.enter();
    let mut socket = Socket::open(NETFILTER).ok()?;
    if chance.per_mille(200) {
        ipset::flush(&mut socket, name).ok()?;
        return Some(format!("flushed {name}"));
    }
    let elements: Vec<_> = elements.iter().collect();
    let element = **chance.pick(&elements)?;
    let mut changes = Changes::new();
    changes.remove(name, element, ());
    changes.send(&mut socket).ok()?;
    Some(format!("took {element} from {name}"))
}

fn in_servers(
    chance: &mut Chance,
    rival: &Program,
    kernel: &MemoryKernel,
    interference: &mut Interference,
) -> Option<String> {
    let servers = kernel.virtual_servers();
    let servers: Vec<_> = servers
        .into_iter()
        .filter(|(it, _)| !interference.foreign.contains(it))
        .collect();
    let (server, destinations) = chance.pick(&servers)?;
    let destinations: Vec<DestinationId> = destinations.keys().copied().collect();
    let destination = chance.pick(&destinations);
    let mut disturb = |destination: &DestinationId| {
        interference.disturbed.insert((*server, *destination));
    };
    match (chance.below(6), destination) {
        (0, _) | (_, None) => {
            send(rival, |requests| {
                requests.delete_server(server);
                Some(())
            })?;
            destinations.iter().for_each(&mut disturb);
            Some(format!("deleted {server}"))
        }
        (1, _) => {
            let mut other = simple(server.family());
            (other.timeout, other.flags) = (77, ServerFlags::PERSISTENT);
            send(rival, |requests| requests.set_server(server, &other).ok())?;
            Some(format!("made {server} persistent"))
        }
        (2 | 3, Some(destination)) => {
            send(rival, |requests| {
                requests.delete_destination(server, destination);
                Some(())
            })?;
            disturb(destination);
            Some(format!("took {destination} from {server}"))
        }
        (_, Some(destination)) => {
            let weight = u32::try_from(2 * chance.below(3)).unwrap_or_default();
            let content = Destination::masqueraded(weight);
            send(rival, |requests| {
                requests.set_destination(server, destination, &content).ok()
            })?;
            disturb(destination);
            Some(format!("gave {destination} of {server} weight {weight}"))
        }
    }
}

/// A virtual server that is not the agent's.
fn own(chance: &mut Chance) -> ServerId {
    ServerId::Address {
        address: ELSEWHERE,
        port: 8000 + u16::try_from(chance.below(4)).unwrap_or_default(),
        protocol: Protocol::Tcp,
    }
}

fn simple(family: Family) -> Server {
    Server::new(Scheduler::RR, family)
}

fn send(rival: &Program, fill: impl FnOnce(&mut Requests<()>) -> Option<()>) -> Option<()> {
    let _entered = rival.enter();
    let mut ipvs = Ipvs::open().ok()?;
    let mut requests = ipvs.requests();
    fill(&mut requests)?;
    let answers = ipvs.send(&mut requests).ok()?;
    answers.refusals.is_empty().then_some(())
}
