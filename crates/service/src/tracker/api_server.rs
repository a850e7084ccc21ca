//! Where the API server is reached from this node.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::Tracker;
use crate::model::ServiceId;
use crate::plan::{NodeFacts, is_concerned, reached};

impl Tracker {
    pub(super) fn apply_api_server(&mut self, addresses: BTreeSet<SocketAddr>) {
        if self.inputs.api_server != addresses {
            self.inputs.api_server = addresses;
            self.refresh_facts();
        }
    }

    /// True where the API server is reached through this Service, or was.
    pub(super) fn is_way(&self, id: &ServiceId) -> bool {
        self.ways.contains(id)
            || self
                .inputs
                .api_server
                .iter()
                .any(|at| self.claims.owner_of_cluster_ip(*at) == Some(id))
    }

    /// What was told, and what lies behind it where that is a cluster IP.
    pub(super) fn find_api_server(&mut self) -> Vec<SocketAddr> {
        let told = &self.inputs.api_server;
        let mut all = told.clone();
        let mut ways = BTreeSet::new();
        for at in told {
            let Some(id) = self.claims.owner_of_cluster_ip(*at) else {
                continue;
            };
            ways.insert(id.clone());
            if let Some(service) = self.service(id) {
                all.extend(reached(service, self.slices(id), at.port()));
            }
        }
        self.ways = ways;
        all.into_iter().collect()
    }

    /// Plans that it concerns are others now.
    pub(super) fn api_server_moved(&mut self, old: &NodeFacts) {
        let places = |facts: &NodeFacts| -> BTreeSet<(SocketAddr, bool)> {
            let all = facts.api_server.iter();
            all.map(|at| (*at, facts.is_local(at.ip()))).collect()
        };
        let (from, to) = (places(old), places(&self.facts));
        let moved: BTreeSet<SocketAddr> =
            from.symmetric_difference(&to).map(|(at, _)| *at).collect();
        if moved.is_empty() {
            return;
        }
        let services = self.entries.values();
        let services = services.filter_map(|it| it.in_force().service.as_deref());
        let concerned = services.filter(|service| is_concerned(service, &moved));
        self.changed
            .extend(concerned.map(|service| service.id.clone()));
    }
}
