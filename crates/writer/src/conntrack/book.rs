//! Where the flows of each frontend may lead, and which frontends have to be looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use nfnetlink::conntrack::{Flow, protocol};
use smallvec::SmallVec;
use viprule_service::model::{Family, Protocol, ServiceId};
use viprule_service::plan::{AllowedFlows, FlowDestination, FlowFrontend, FlowPlace};

use super::resting::Change;

/// What is known of UDP and TCP Services.
#[derive(Debug, Default)]
pub(super) struct Book {
    current: Register,
    /// What Services are about to have.
    announced: Register,
    node_addresses: BTreeSet<IpAddr>,
    /// UDP frontends that have to be looked at.
    pending: BTreeSet<FlowDestination>,
    /// TCP frontends that have to, once they have rested.
    changed: BTreeMap<FlowDestination, Change>,
}

/// The frontends of Services, to be found by destination as well. There are as many of them as a
/// cluster has Services, nearly all with one frontend that nobody else has.
#[derive(Debug, Default)]
struct Register {
    services: BTreeMap<ServiceId, Box<[FlowFrontend]>>,
    /// Who has a destination: for a moment an address may be two Services'.
    owners: BTreeMap<FlowDestination, SmallVec<[ServiceId; 1]>>,
}

impl Register {
    /// Sets a Service's frontends and returns those that it had.
    fn replace(
        &mut self,
        service: &ServiceId,
        frontends: Box<[FlowFrontend]>,
    ) -> Box<[FlowFrontend]> {
        let old = self.services.remove(service).unwrap_or_default();
        for FlowFrontend { destination, .. } in &old {
            if let Some(owners) = self.owners.get_mut(destination) {
                owners.retain(|owner| owner != service);
                if owners.is_empty() {
                    self.owners.remove(destination);
                }
            }
        }
        for FlowFrontend { destination, .. } in &frontends {
            let owners = self.owners.entry(*destination).or_default();
            if !owners.contains(service) {
                owners.push(service.clone());
            }
        }
        if !frontends.is_empty() {
            self.services.insert(service.clone(), frontends);
        }
        old
    }

    fn has(&self, service: &ServiceId, frontends: &[FlowFrontend]) -> bool {
        self.services.get(service).map_or(&[][..], |it| it) == frontends
    }

    /// Where flows to the destination may lead, by everybody who has it.
    fn flows<'a>(
        &'a self,
        destination: &'a FlowDestination,
    ) -> impl Iterator<Item = &'a AllowedFlows> {
        let owners = self.owners.get(destination).into_iter().flatten();
        owners
            .filter_map(|id| self.services.get(id))
            .flat_map(|frontends| frontends.iter())
            .filter(move |frontend| frontend.destination == *destination)
            .map(|frontend| &frontend.flows)
    }

    fn allows(&self, destination: &FlowDestination, endpoint: SocketAddr) -> bool {
        self.flows(destination)
            .any(|flows| flows.endpoints.contains(&endpoint))
    }

    fn serves(&self, destination: &FlowDestination) -> bool {
        self.flows(destination).any(|flows| flows.serving)
    }

    /// The same in one piece; `None` where nobody has the destination.
    fn summary(&self, destination: &FlowDestination) -> Summary {
        let endpoints = self
            .flows(destination)
            .flat_map(|flows| flows.endpoints.iter());
        self.owners
            .contains_key(destination)
            .then(|| (self.serves(destination), endpoints.collect()))
    }
}

impl Book {
    /// The Service's rules are about to become these: flows to new endpoints may come at any time.
    pub(super) fn announce(&mut self, service: &ServiceId, frontends: &[FlowFrontend]) {
        // Of TCP what nobody has yet is not looked at, see `may_end`.
        let matters = |it: &&FlowFrontend| {
            let FlowFrontend { destination, .. } = it;
            destination.protocol != Protocol::Tcp || self.current.owners.contains_key(destination)
        };
        let frontends = frontends.iter().filter(matters).cloned().collect();
        self.announced.replace(service, frontends);
    }

    /// The Service's rules are these now.
    pub(super) fn update(&mut self, service: &ServiceId, frontends: Box<[FlowFrontend]>) {
        if !self.current.has(service, &frontends) {
            self.replace(service, frontends);
        }
        self.withdraw(service);
    }

    /// What was announced is not to be expected any more.
    pub(super) fn withdraw(&mut self, service: &ServiceId) {
        let announced = self.announced.replace(service, Box::default());
        if self.current.has(service, &announced) {
            return;
        }
        for announced in announced {
            let allowed = self.current.summary(&announced.destination);
            let (_, allowed) = allowed.unwrap_or_default();
            let mut endpoints = announced.flows.endpoints.iter();
            // Looks in the meantime left flows to the others alone.
            if !endpoints.all(|endpoint| allowed.contains(&endpoint)) {
                self.look_at(announced.destination, Change::Left);
            }
        }
    }

    fn look_at(&mut self, destination: FlowDestination, change: Change) {
        if destination.protocol == Protocol::Tcp {
            let noted = self.changed.entry(destination).or_insert(change);
            *noted = change.min(*noted);
        } else {
            self.pending.insert(destination);
        }
    }

    /// Takes other frontends of a Service over, and finds out which of them have to be looked at.
    fn replace(&mut self, service: &ServiceId, frontends: Box<[FlowFrontend]>) {
        let old = self.current.services.get(service);
        let old = old.into_iter().flat_map(|frontends| frontends.iter());
        let concerned: BTreeSet<FlowDestination> = old
            .chain(frontends.iter())
            .map(|frontend| frontend.destination)
            .collect();
        let summaries = |register: &Register| -> Vec<_> {
            let of = |destination| register.summary(destination);
            concerned.iter().map(of).collect()
        };
        let before = summaries(&self.current);
        self.current.replace(service, frontends);
        let now = summaries(&self.current);
        for ((destination, before), now) in concerned.iter().zip(before).zip(now) {
            if let Some(change) = leaves_flows(destination.protocol, before, now) {
                self.look_at(*destination, change);
            }
        }
    }

    /// Frontends that rules were removed for without their Service being known.
    pub(super) fn removed(&mut self, destinations: impl IntoIterator<Item = FlowDestination>) {
        self.pending.extend(destinations);
    }

    /// The addresses on which node ports answer.
    pub(super) fn set_node_addresses(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        let addresses: BTreeSet<IpAddr> = addresses.into_iter().collect();
        let new = addresses.difference(&self.node_addresses);
        let families: BTreeSet<Family> = new.map(Family::of).collect();
        let node_port = |destination: &&FlowDestination| matches!(destination.place, FlowPlace::NodePort { family, .. } if families.contains(&family));
        let node_ports = self.current.owners.keys().filter(node_port);
        for node_port in node_ports.copied().collect::<Vec<_>>() {
            self.look_at(node_port, Change::Served);
        }
        self.node_addresses = addresses;
    }

    pub(super) fn has_work(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The TCP frontends that changed, which are forgotten.
    pub(super) fn take_changed(&mut self) -> BTreeMap<FlowDestination, Change> {
        std::mem::take(&mut self.changed)
    }

    /// What has to be looked at, which is forgotten.
    pub(super) fn take_pending(&mut self) -> BTreeSet<FlowDestination> {
        std::mem::take(&mut self.pending)
    }

    /// True where an endpoint of the destination serves.
    pub(super) fn serves(&self, destination: &FlowDestination) -> bool {
        self.current.serves(destination)
    }

    /// True where the flow goes to one of the destinations and has to end.
    pub(super) fn is_stale(&self, flow: &Flow, among: &BTreeSet<FlowDestination>) -> bool {
        self.destination_of(flow, among).is_some_and(|destination| {
            let endpoint = flow.reply.source;
            let leads_nowhere = !flow.is_dnat();
            let untouchable =
                leads_nowhere && !(self.serves(&destination) && flow.in_default_zone());
            !untouchable
                && self.may_end(flow, &destination)
                && !self.current.allows(&destination, endpoint)
                && !self.announced.allows(&destination, endpoint)
        })
    }

    /// Of TCP only what nobody answered, and only as long as somebody has the destination: without
    /// it nothing better is to be found.
    fn may_end(&self, flow: &Flow, destination: &FlowDestination) -> bool {
        destination.protocol != Protocol::Tcp
            || (flow.is_syn_sent() && self.current.owners.contains_key(destination))
    }

    /// The virtual IP wins where a node port has the same number.
    fn destination_of(
        &self,
        flow: &Flow,
        among: &BTreeSet<FlowDestination>,
    ) -> Option<FlowDestination> {
        let protocol = match flow.protocol {
            protocol::UDP => Protocol::Udp,
            protocol::TCP => Protocol::Tcp,
            _ => return None,
        };
        let address = flow.original.destination;
        let vip = FlowPlace::at(address).over(protocol);
        if among.contains(&vip) {
            return Some(vip);
        }
        let family = Family::of(&address.ip());
        let port = address.port();
        let node_port = FlowPlace::NodePort { family, port }.over(protocol);
        // A virtual IP that is the node's own address as well is none of the node port's business.
        let ours = among.contains(&node_port)
            && self.node_addresses.contains(&address.ip())
            && !self.current.owners.contains_key(&vip);
        ours.then_some(node_port)
    }
}

/// What a destination's owners say together, see [`Register::summary`].
type Summary = Option<(bool, BTreeSet<SocketAddr>)>;

/// Whether a change may leave flows behind that have to end.
fn leaves_flows(protocol: Protocol, before: Summary, now: Summary) -> Option<Change> {
    let (new, gone) = (before.is_none(), now.is_none());
    let (served, had) = before.unwrap_or_default();
    let (serving, endpoints) = now.unwrap_or_default();
    let appeared = serving && !served;
    let left = !had.is_subset(&endpoints);
    match protocol {
        // See `may_end`.
        Protocol::Tcp if gone => None,
        Protocol::Tcp if appeared => Some(Change::Served),
        Protocol::Tcp => left.then_some(Change::Left),
        // Where nothing was known, what was there is anybody's guess.
        Protocol::Udp | Protocol::Sctp => (new || left || appeared).then_some(Change::Left),
    }
}

#[cfg(test)]
mod tests;
