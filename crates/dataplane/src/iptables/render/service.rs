//! One Service's share of the chains (contract 2.5, 2.6).

use std::net::IpAddr;

use nfnetlink::Family;
use nfnetlink::xtables::{DnatTo, Match, Recent, RecentMode, Rule, Target};
use viprule_service::model;
use viprule_service::plan::{EndpointPlan, PortPlan, ServicePlan, Unreachable};

use crate::family::in_netfilter;
use crate::iptables::Options;
use crate::netfilter::{Draft, Key, Kind, Object, Table, counter, keyed, loopback};
use crate::ownership::{Chain, ChainHash};
use crate::state::State;

/// Everything that a Service needs besides the base.
pub fn service(plan: &ServicePlan, options: &Options) -> State<Key, Object> {
    let mut objects = Vec::new();
    for port in &plan.ports {
        let family = in_netfilter(port.family);
        if options.families.contains(&family) {
            PortRenderer::new(plan, port, family, options, &mut objects).render();
        }
    }
    objects.into_iter().collect()
}

struct PortRenderer<'a> {
    port: &'a PortPlan,
    family: Family,
    options: &'a Options,
    /// `namespace/name:port`.
    name: String,
    hash: ChainHash,
    objects: &'a mut Vec<(Key, Object)>,
}

impl<'a> PortRenderer<'a> {
    fn new(
        plan: &'a ServicePlan,
        port: &'a PortPlan,
        family: Family,
        options: &'a Options,
        objects: &'a mut Vec<(Key, Object)>,
    ) -> Self {
        let name = port.port_name(&plan.service).to_string();
        let hash = ChainHash::of(&[&name, port.protocol.as_str()]);
        Self {
            port,
            family,
            options,
            name,
            hash,
            objects,
        }
    }

    fn render(&mut self) {
        self.cluster_ip();
        self.external_ips();
        self.load_balancer_ips();
        self.node_port();
        self.health_check();
        self.external_chain();
        self.firewall_chain();
        self.endpoint_chains();
    }

    fn draft(&self) -> Draft {
        Draft::new(self.family)
    }

    fn table(&self, kind: Kind) -> Table {
        Table {
            family: self.family,
            kind,
        }
    }

    fn rule(&mut self, kind: Kind, chain: Chain, rule: Rule) {
        let table = self.table(kind);
        self.objects.push(keyed(table, chain, rule));
    }

    fn chain(&mut self, chain: Chain, rules: Vec<Rule>) {
        let table = self.table(Kind::Nat);
        self.objects
            .push((Key::Chain { table, chain }, Object::Rules(rules)));
    }

    /// A rule for packets to one of the Service's addresses.
    fn to(&self, address: IpAddr, comment: String) -> Draft {
        self.draft()
            .dst(address)
            .comment(comment)
            .transport(self.port.protocol.number(), Some(self.port.port))
    }

    fn external(&self) -> Chain {
        Chain::External(self.hash)
    }

    fn uses_firewall(&self) -> bool {
        self.port.has_endpoints
            && !self.port.load_balancer_ips.is_empty()
            && !self.port.source_ranges.is_empty()
    }

    fn cluster_ip(&mut self) {
        let ip = self.port.cluster_ip;
        match self.port.internal_unreachable() {
            None => {
                let chain = if self.port.internal_local {
                    Chain::ServiceLocal(self.hash)
                } else {
                    Chain::Service(self.hash)
                };
                let rule = self.to(ip, format!("{} cluster IP", self.name)).jump(chain);
                self.rule(Kind::Nat, Chain::Services, rule);
            }
            Some(reason) => {
                let rule = self.to(ip, self.nowhere(reason)).turn_away(reason);
                self.rule(Kind::Filter, Chain::Services, rule);
            }
        }
    }

    fn external_ips(&mut self) {
        let port = self.port;
        for ip in &port.external_ips {
            self.external_address(*ip, "external IP", self.external());
            self.turn_external_away(*ip);
        }
    }

    fn load_balancer_ips(&mut self) {
        let port = self.port;
        let firewall = Chain::FirewallOf(self.hash);
        for ip in &port.load_balancer_ips {
            if self.uses_firewall() {
                self.external_address(*ip, "loadbalancer IP", firewall);
                let comment = format!("{} traffic not accepted by {firewall}", self.name);
                let rule = self.to(*ip, comment).then(Target::Drop);
                self.rule(Kind::Filter, Chain::ProxyFirewall, rule);
            } else {
                self.external_address(*ip, "loadbalancer IP", self.external());
            }
            self.turn_external_away(*ip);
        }
    }

    fn external_address(&mut self, ip: IpAddr, what: &str, chain: Chain) {
        if self.port.has_endpoints {
            let rule = self.to(ip, format!("{} {what}", self.name)).jump(chain);
            self.rule(Kind::Nat, Chain::Services, rule);
        }
    }

    fn turn_external_away(&mut self, ip: IpAddr) {
        if let Some(reason) = self.port.external_unreachable() {
            let rule = self.to(ip, self.nowhere(reason)).turn_away(reason);
            self.rule(Kind::Filter, Chain::ExternalServices, rule);
        }
    }

    fn node_port(&mut self) {
        let node_port = self.port.node_port;
        if node_port == 0 {
            return;
        }
        let protocol = self.port.protocol.number();
        if self.port.has_endpoints {
            let draft = |dst: Draft| {
                dst.comment(self.name.clone())
                    .transport(protocol, Some(node_port))
            };
            let general = draft(self.draft()).jump(self.external());
            if self.options.localhost(self.family) && self.options.nfacct {
                let counting = draft(self.draft().dst(loopback(self.family)))
                    .with(Match::Nfacct(counter::LOCALHOST_NODEPORTS.to_owned()))
                    .jump(self.external());
                self.rule(Kind::Nat, Chain::Nodeports, counting);
            }
            self.rule(Kind::Nat, Chain::Nodeports, general);
        }
        if let Some(reason) = self.port.external_unreachable() {
            let rule = self
                .draft()
                .comment(self.nowhere(reason))
                .local_destination()
                .transport(protocol, Some(node_port))
                .turn_away(reason);
            self.rule(Kind::Filter, Chain::ExternalServices, rule);
        }
    }

    fn health_check(&mut self) {
        let port = self.port.health_check_node_port;
        if port != 0 {
            let rule = self
                .draft()
                .comment(format!("{} health check node port", self.name))
                .transport(model::Protocol::Tcp.number(), Some(port))
                .then(Target::Accept);
            self.rule(Kind::Filter, Chain::Nodeports, rule);
        }
    }

    fn external_chain(&mut self) {
        let port = self.port;
        if !(port.has_endpoints && port.externally_accessible()) {
            return;
        }
        let name = &self.name;
        let everywhere = Chain::Service(self.hash);
        let mut rules = Vec::new();
        if port.external_local {
            if let Some(detector) = self.options.masquerade.detector(self.family) {
                let comment = format!("pod traffic for {name} external destinations");
                rules.push(detector.local(self.draft().comment(comment).jump(everywhere)));
            }
            let local = |verb: &str, chain| {
                let comment = format!("{verb} LOCAL traffic for {name} external destinations");
                self.draft().comment(comment).local_source().jump(chain)
            };
            rules.push(local("masquerade", Chain::MarkMasq));
            rules.push(local("route", everywhere));
        } else {
            let comment = format!("masquerade traffic for {name} external destinations");
            rules.push(self.draft().comment(comment).jump(Chain::MarkMasq));
        }
        if port.external_unreachable().is_none() {
            let chain = if port.external_local {
                Chain::ServiceLocal(self.hash)
            } else {
                everywhere
            };
            rules.push(self.draft().jump(chain));
        }
        self.chain(self.external(), rules);
    }

    fn firewall_chain(&mut self) {
        if !self.uses_firewall() {
            return;
        }
        let port = self.port;
        let name = &self.name;
        let allowed = || self.draft().comment(format!("{name} loadbalancer IP"));
        let mut rules: Vec<Rule> = port
            .source_ranges
            .iter()
            .map(|range| allowed().src(*range).jump(self.external()))
            .collect();
        let own = port.own_sources.iter();
        rules.extend(own.map(|ip| allowed().src(*ip).jump(self.external())));
        let rest = format!(
            "other traffic to {name} will be dropped by {}",
            Chain::ProxyFirewall
        );
        rules.push(self.draft().comment(rest).then(Target::None));
        self.chain(Chain::FirewallOf(self.hash), rules);
    }

    fn endpoint_chains(&mut self) {
        let port = self.port;
        let chains: Vec<Chain> = port
            .endpoints
            .iter()
            .map(|endpoint| self.endpoint_chain(endpoint))
            .collect();
        let members = |local: bool| -> Vec<(&EndpointPlan, Chain)> {
            port.endpoints
                .iter()
                .zip(&chains)
                .filter(|(endpoint, _)| {
                    if local {
                        endpoint.in_local_set
                    } else {
                        endpoint.in_cluster_set
                    }
                })
                .map(|(endpoint, chain)| (endpoint, *chain))
                .collect()
        };
        let (everywhere, local) = (members(false), members(true));
        self.balancing_chain(Chain::Service(self.hash), &everywhere, !port.internal_local);
        self.balancing_chain(Chain::ServiceLocal(self.hash), &local, port.internal_local);
    }

    /// Writes the endpoint's chain and returns its name.
    fn endpoint_chain(&mut self, endpoint: &EndpointPlan) -> Chain {
        let address = endpoint.address.to_string();
        let protocol = self.port.protocol;
        let chain = Chain::Endpoint(ChainHash::of(&[&self.name, protocol.as_str(), &address]));
        let named = || self.draft().comment(self.name.clone());
        let hairpin = named().src(endpoint.address.ip()).jump(Chain::MarkMasq);
        let mut translate = named();
        if self.port.affinity_seconds.is_some() {
            translate = translate.with(recent(chain, RecentMode::Set, 0));
        }
        let to = DnatTo {
            address: endpoint.address.ip(),
            port: Some(endpoint.address.port()),
        };
        let translate = translate
            .transport(protocol.number(), None)
            .then(Target::Dnat(to));
        self.chain(chain, vec![hairpin, translate]);
        chain
    }

    fn balancing_chain(
        &mut self,
        chain: Chain,
        members: &[(&EndpointPlan, Chain)],
        internal: bool,
    ) {
        if members.is_empty() {
            return;
        }
        let mut rules = Vec::with_capacity(members.len() + 1);
        if internal {
            rules.extend(self.masquerade_cluster_ip());
        }
        let towards = |endpoint: &EndpointPlan| {
            self.draft()
                .comment(format!("{} -> {}", self.name, endpoint.address))
        };
        if let Some(seconds) = self.port.affinity_seconds {
            rules.extend(members.iter().map(|(endpoint, chain)| {
                towards(endpoint)
                    .with(recent(*chain, RecentMode::Rcheck, seconds))
                    .jump(*chain)
            }));
        }
        for (position, (endpoint, chain)) in members.iter().enumerate() {
            let draft = towards(endpoint);
            let draft = match members.len() - position {
                1 => draft,
                left => draft.with(Match::Random {
                    not: false,
                    probability: one_in(left),
                }),
            };
            rules.push(draft.jump(*chain));
        }
        self.chain(chain, rules);
    }

    fn masquerade_cluster_ip(&self) -> Option<Rule> {
        let comment = format!("{} cluster IP", self.name);
        let rule = self.to(self.port.cluster_ip, comment).jump(Chain::MarkMasq);
        if self.options.masquerade.all {
            Some(rule)
        } else {
            self.options
                .masquerade
                .detector(self.family)
                .map(|detector| detector.not_local(rule))
        }
    }

    fn nowhere(&self, reason: Unreachable) -> String {
        match reason {
            Unreachable::NoEndpoints => format!("{} has no endpoints", self.name),
            Unreachable::NoLocalEndpoints => format!("{} has no local endpoints", self.name),
        }
    }
}

/// `-m recent` on the list of an endpoint's chain, which the list is named after.
fn recent(chain: Chain, mode: RecentMode, seconds: u32) -> Match {
    let reap = mode == RecentMode::Rcheck;
    Match::Recent(Recent {
        name: chain.to_string(),
        mode,
        not: false,
        seconds,
        hits: 0,
        reap,
    })
}

/// The probability 1/n as kube-proxy writes it (10 decimals) and the kernel keeps it (times 2^31).
fn one_in(n: usize) -> u32 {
    const DECIMALS: u128 = 10_000_000_000;
    let n = n as u128;
    let decimal = (DECIMALS + n / 2) / n;
    let scaled = ((decimal << 31) + DECIMALS / 2) / DECIMALS;
    u32::try_from(scaled).unwrap_or(1 << 31)
}

#[cfg(test)]
mod tests {
    use super::one_in;

    #[test]
    fn probabilities_are_those_that_iptables_keeps() {
        assert_eq!(one_in(1), 1 << 31);
        assert_eq!(one_in(2), 1 << 30);
        // 0.3333333333 in the restore input is 0.33333333349 in iptables-save.
        assert_eq!(one_in(3), 715_827_883);
        assert_eq!(one_in(6), 357_913_941);
    }
}
