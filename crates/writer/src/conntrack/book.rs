//! Where the flows of each frontend may lead, and which frontends have to be looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use nfnetlink::conntrack::Flow;
use viprule_service::model::{Family, ServiceId};
use viprule_service::plan::{UdpDestination, UdpFlows, UdpFrontend};

/// What is known of UDP Services. Other Services take no memory here.
#[derive(Debug, Default)]
pub(super) struct Book {
    current: Register,
    /// What Services are about to have.
    announced: Register,
    node_addresses: BTreeSet<IpAddr>,
    pending: BTreeSet<UdpDestination>,
}

/// The frontends of Services, to be found by destination as well.
#[derive(Debug, Default)]
struct Register {
    services: BTreeMap<ServiceId, Vec<UdpFrontend>>,
    /// Who has a destination: external addresses may belong to several Services.
    owners: BTreeMap<UdpDestination, BTreeSet<ServiceId>>,
}

impl Register {
    /// Sets a Service's frontends and returns those that it had.
    fn replace(&mut self, service: &ServiceId, frontends: Vec<UdpFrontend>) -> Vec<UdpFrontend> {
        let old = self.services.remove(service).unwrap_or_default();
        for UdpFrontend { destination, .. } in &old {
            if let Some(owners) = self.owners.get_mut(destination) {
                owners.remove(service);
                if owners.is_empty() {
                    self.owners.remove(destination);
                }
            }
        }
        for UdpFrontend { destination, .. } in &frontends {
            let owners = self.owners.entry(*destination).or_default();
            owners.insert(service.clone());
        }
        if !frontends.is_empty() {
            self.services.insert(service.clone(), frontends);
        }
        old
    }

    fn has(&self, service: &ServiceId, frontends: &[UdpFrontend]) -> bool {
        self.services.get(service).map_or(&[][..], Vec::as_slice) == frontends
    }

    /// Where flows to the destination may lead, by everybody who has it.
    fn flows<'a>(&'a self, destination: &'a UdpDestination) -> impl Iterator<Item = &'a UdpFlows> {
        let owners = self.owners.get(destination).into_iter().flatten();
        owners
            .filter_map(|id| self.services.get(id))
            .flatten()
            .filter(move |frontend| frontend.destination == *destination)
            .map(|frontend| &frontend.flows)
    }

    fn allows(&self, destination: &UdpDestination, endpoint: SocketAddr) -> bool {
        self.flows(destination)
            .any(|flows| flows.endpoints.contains(&endpoint))
    }

    fn serves(&self, destination: &UdpDestination) -> bool {
        self.flows(destination).any(|flows| flows.serving)
    }

    /// The same in one piece; `None` where nobody has the destination.
    fn summary(&self, destination: &UdpDestination) -> Option<(bool, BTreeSet<SocketAddr>)> {
        let endpoints = self.flows(destination).flat_map(|flows| &flows.endpoints);
        self.owners
            .contains_key(destination)
            .then(|| (self.serves(destination), endpoints.copied().collect()))
    }
}

impl Book {
    /// The Service's rules are about to become these: flows to new endpoints may come at any time.
    pub(super) fn announce(&mut self, service: &ServiceId, frontends: Vec<UdpFrontend>) {
        self.announced.replace(service, frontends);
    }

    /// The Service's rules are these now.
    pub(super) fn update(&mut self, service: &ServiceId, frontends: Vec<UdpFrontend>) {
        if !self.current.has(service, &frontends) {
            self.replace(service, frontends);
        }
        self.withdraw(service);
    }

    /// What was announced is not to be expected any more.
    pub(super) fn withdraw(&mut self, service: &ServiceId) {
        for announced in self.announced.replace(service, Vec::new()) {
            let allowed = self.current.summary(&announced.destination);
            let (_, allowed) = allowed.unwrap_or_default();
            let mut endpoints = announced.flows.endpoints.iter();
            // Looks in the meantime left flows to the others alone.
            if !endpoints.all(|endpoint| allowed.contains(endpoint)) {
                self.pending.insert(announced.destination);
            }
        }
    }

    /// Takes other frontends of a Service over, and finds out which of them have to be looked at.
    fn replace(&mut self, service: &ServiceId, frontends: Vec<UdpFrontend>) {
        let old = self.current.services.get(service).into_iter().flatten();
        let concerned: BTreeSet<UdpDestination> = old
            .chain(&frontends)
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
            let (serving, endpoints) = now.unwrap_or_default();
            let leaves_flows = before
                .is_none_or(|(served, had)| (serving && !served) || !had.is_subset(&endpoints));
            // Where nothing was known, what was there is anybody's guess.
            if leaves_flows {
                self.pending.insert(*destination);
            }
        }
    }

    /// Frontends that rules were removed for without their Service being known.
    pub(super) fn removed(&mut self, destinations: impl IntoIterator<Item = UdpDestination>) {
        self.pending.extend(destinations);
    }

    /// The addresses on which node ports answer.
    pub(super) fn set_node_addresses(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        let addresses: BTreeSet<IpAddr> = addresses.into_iter().collect();
        let new = addresses.difference(&self.node_addresses);
        let families: BTreeSet<Family> = new.map(Family::of).collect();
        let node_ports = self.current.owners.keys().filter(|destination| {
            matches!(destination, UdpDestination::NodePort { family, .. } if families.contains(family))
        });
        self.pending.extend(node_ports);
        self.node_addresses = addresses;
    }

    pub(super) fn has_work(&self) -> bool {
        !self.pending.is_empty()
    }

    /// What has to be looked at, which is forgotten.
    pub(super) fn take_pending(&mut self) -> BTreeSet<UdpDestination> {
        std::mem::take(&mut self.pending)
    }

    /// True where an endpoint of the destination serves.
    pub(super) fn serves(&self, destination: &UdpDestination) -> bool {
        self.current.serves(destination)
    }

    /// True where the flow goes to one of the destinations and has to end.
    pub(super) fn is_stale(&self, flow: &Flow, among: &BTreeSet<UdpDestination>) -> bool {
        self.destination_of(flow, among).is_some_and(|destination| {
            let endpoint = flow.reply.source;
            let leads_nowhere = !flow.is_dnat();
            let untouchable =
                leads_nowhere && !(self.serves(&destination) && flow.in_default_zone());
            !untouchable
                && !self.current.allows(&destination, endpoint)
                && !self.announced.allows(&destination, endpoint)
        })
    }

    /// The virtual IP wins where a node port has the same number.
    fn destination_of(
        &self,
        flow: &Flow,
        among: &BTreeSet<UdpDestination>,
    ) -> Option<UdpDestination> {
        let address = flow.original.destination;
        let vip = UdpDestination::Virtual(address);
        if among.contains(&vip) {
            return Some(vip);
        }
        let node_port = UdpDestination::NodePort {
            family: Family::of(&address.ip()),
            port: address.port(),
        };
        // A virtual IP that is the node's own address as well is none of the node port's business.
        let ours = among.contains(&node_port)
            && self.node_addresses.contains(&address.ip())
            && !self.current.owners.contains_key(&vip);
        ours.then_some(node_port)
    }
}

#[cfg(test)]
mod tests;
