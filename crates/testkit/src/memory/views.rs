//! What a test reads and sets of IPVS mode's objects.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipvs_netlink::{DestinationId, ServerId};
use nfnetlink::ipset::Entry;

use super::MemoryKernel;

impl MemoryKernel {
    /// All virtual servers with their destinations and those' weights.
    pub fn virtual_servers(&self) -> BTreeMap<ServerId, BTreeMap<DestinationId, u32>> {
        self.state().ipvs.view()
    }

    /// True where a virtual server's address is on the dummy link of this name and a destination has a
    /// weight. What chains do to packets is not asked.
    pub fn leads_on(&self, server: &ServerId, link: &str) -> bool {
        let state = self.state();
        let is_there = |address| {
            let mut addresses = state
                .links
                .addresses_of(link, "dummy")
                .into_iter()
                .flatten();
            addresses.any(|(it, _)| it == address)
        };
        state.ipvs.leads_on(server) && server.address().is_none_or(is_there)
    }

    /// True where there is this virtual server.
    pub fn has_server(&self, server: &ServerId) -> bool {
        self.state().ipvs.has_server(server)
    }

    /// The weight of a destination; `None` where it is not there.
    pub fn weight(&self, server: &ServerId, destination: &DestinationId) -> Option<u32> {
        self.state().ipvs.weight(server, destination)
    }

    /// A number that is another one where rules, virtual servers, IP sets, links or addresses have
    /// changed.
    pub fn version(&self) -> u64 {
        let state = self.state();
        state.version() + u64::from(state.nft.ruleset().generation())
    }

    /// Says how many connections a destination has, whether it is there or not. Connections stay
    /// until this says otherwise.
    pub fn set_connections(
        &self,
        server: &ServerId,
        destination: &DestinationId,
        active: u32,
        inactive: u32,
    ) {
        let mut state = self.state();
        state
            .ipvs
            .set_connections(server, destination, active, inactive);
    }

    /// Takes a scheduler away or brings it back; virtual servers that have it keep it.
    pub fn set_scheduler(&self, name: &str, there: bool) {
        let schedulers = &mut self.state().ipvs.schedulers;
        if there {
            schedulers.insert(name.to_owned());
        } else {
            schedulers.remove(name);
        }
    }

    /// The value of a setting below `/proc/sys`, such as `net/ipv4/vs/conntrack`; `None` where there
    /// is none.
    pub fn setting(&self, name: &str) -> Option<String> {
        self.state().files.setting(name).map(str::to_owned)
    }

    /// Gives a setting a value as another program does, or takes it away.
    pub fn set_setting(&self, name: &str, value: Option<&str>) {
        self.state().files.set(name, value);
    }

    /// All IP sets with their elements.
    pub fn sets(&self) -> BTreeMap<String, BTreeSet<Entry>> {
        let state = self.state();
        let sets = state.sets.all();
        sets.map(|(name, elements)| (name.to_owned(), elements.clone()))
            .collect()
    }

    /// True where the set of this name has this element.
    pub fn has_element(&self, set: &str, element: &Entry) -> bool {
        self.state().sets.has_element(set, element)
    }

    /// The addresses of the link of this name, with the lengths of their prefixes; `None` where
    /// there is no dummy link of that name.
    pub fn addresses(&self, link: &str) -> Option<BTreeMap<IpAddr, u8>> {
        let state = self.state();
        let addresses = state.links.addresses_of(link, "dummy");
        addresses.map(Iterator::collect)
    }
}
