//! The static chains (contract 3.6).

use nfnetlink::Family;
use nfnetlink::xtables::{
    AddrTypes, CtStates, Directions, Match, NotOr, Physdev, Reject, Rule, Target, protocol,
};

use super::from_netfilter;
use crate::ipvs::settings::Options;
use crate::ipvs::{Key, Object};
use crate::netfilter::{
    self, Draft, Kind, Table, forward_ours, jumps_state, loopback, mark_masquerade,
    masquerade_marked,
};
use crate::ownership::{Chain, Layout, Set, SetName};
use crate::state::State;

/// The chains that no Service has rules of its own in, and what leads to them. `has` tells whether a
/// set has an element.
pub(in crate::ipvs) fn entry_points(
    options: &Options,
    has: &dyn Fn(&Key) -> bool,
) -> State<Key, Object> {
    let chains = options.families.iter().flat_map(|family| {
        let chains = Chains {
            family: *family,
            options,
            has,
        };
        chains.render()
    });
    let jumps = jumps_state(Layout::Ipvs, &options.families).into_iter();
    chains.chain(jumps).map(from_netfilter).collect()
}

struct Chains<'a> {
    family: Family,
    options: &'a Options,
    has: &'a dyn Fn(&Key) -> bool,
}

impl Chains<'_> {
    fn render(&self) -> Vec<(netfilter::Key, netfilter::Object)> {
        let family = self.family;
        let mark = self.options.masquerade.mark;
        let chain = |kind, chain, rules| {
            let table = Table { family, kind };
            let key = netfilter::Key::Chain { table, chain };
            (key, netfilter::Object::Rules(rules))
        };
        vec![
            chain(Kind::Nat, Chain::Services, self.services()),
            chain(Kind::Nat, Chain::Postrouting, self.postrouting()),
            chain(Kind::Nat, Chain::NodePort, self.node_port()),
            chain(Kind::Nat, Chain::LoadBalancer, self.load_balancer()),
            chain(
                Kind::Nat,
                Chain::MarkMasq,
                vec![mark_masquerade(family, mark)],
            ),
            chain(
                Kind::Filter,
                Chain::Forward,
                forward_ours(family, mark).into(),
            ),
            chain(Kind::Filter, Chain::NodePort, self.health_checks()),
            chain(Kind::Filter, Chain::ProxyFirewall, self.firewall()),
            chain(Kind::Filter, Chain::SourceRanges, self.source_ranges()),
            chain(Kind::Filter, Chain::IpvsFilter, self.host_ports()),
        ]
    }

    fn draft(&self) -> Draft {
        Draft::new(self.family)
    }

    fn set(&self, name: SetName) -> Set {
        Set {
            name,
            family: self.family,
        }
    }

    fn occupied(&self, name: SetName) -> bool {
        (self.has)(&Key::Set(self.set(name)))
    }

    /// A rule about what is in a set.
    fn within(&self, name: SetName, dirs: Directions) -> Draft {
        self.draft().with(self.in_set(name, dirs))
    }

    /// The same with the set's comment.
    fn explained(&self, name: SetName, dirs: Directions) -> Draft {
        self.draft()
            .comment(comment(name).to_owned())
            .with(self.in_set(name, dirs))
    }

    fn in_set(&self, name: SetName, dirs: Directions) -> Match {
        Match::Set {
            not: false,
            name: self.set(name).to_string(),
            dirs,
        }
    }

    fn services(&self) -> Vec<Rule> {
        const TO: Directions = Directions::DST_DST;
        let mut rules = vec![self.draft().src(loopback(self.family)).then(Target::Return)];
        if self.occupied(SetName::LoadBalancer) {
            let to = self.explained(SetName::LoadBalancer, TO);
            rules.push(to.jump(Chain::LoadBalancer));
        }
        if self.occupied(SetName::ClusterIp) {
            rules.push(self.masquerade_cluster_ips());
        }
        if self.occupied(SetName::ExternalIp) {
            let to = self.explained(SetName::ExternalIp, TO);
            rules.push(to.jump(Chain::MarkMasq));
            rules.extend(self.accept_external(SetName::ExternalIp));
        }
        if self.occupied(SetName::ExternalIpLocal) {
            rules.extend(self.accept_external(SetName::ExternalIpLocal));
        }
        rules.push(self.draft().local_destination().jump(Chain::NodePort));
        let last = [SetName::ClusterIp, SetName::LoadBalancer];
        rules.extend(
            last.into_iter()
                .filter(|name| self.occupied(*name))
                .map(|name| self.within(name, TO).then(Target::Accept)),
        );
        rules
    }

    fn masquerade_cluster_ips(&self) -> Rule {
        let with = |dirs| {
            self.explained(SetName::ClusterIp, dirs)
                .jump(Chain::MarkMasq)
        };
        if self.options.masquerade.all {
            with(Directions::DST_DST)
        } else if let Some(detector) = self.options.masquerade.detector(self.family) {
            detector.not_local(with(Directions::DST_DST))
        } else {
            // What the node itself sends has a virtual address as its source, as the link has it.
            with(Directions::SRC_DST)
        }
    }

    /// Lets through what comes from other machines, and what is for an address of this one.
    fn accept_external(&self, name: SetName) -> [Rule; 2] {
        let to = || self.explained(name, Directions::DST_DST);
        let from_elsewhere = to()
            .with(Match::Physdev(Physdev {
                is_in: Some(false),
                ..Physdev::default()
            }))
            .with(Match::AddrType {
                src: Some(NotOr::not(AddrTypes::LOCAL)),
                dst: None,
            });
        [
            from_elsewhere.then(Target::Accept),
            to().local_destination().then(Target::Accept),
        ]
    }

    fn postrouting(&self) -> Vec<Rule> {
        let mut rules = Vec::new();
        if self.occupied(SetName::LoopBack) {
            let hairpin = self.explained(SetName::LoopBack, Directions::DST_DST_SRC);
            rules.push(hairpin.then(Target::Masquerade {
                ports: None,
                random_fully: false,
            }));
        }
        rules.extend(masquerade_marked(self.family, &self.options.masquerade));
        rules
    }

    fn node_port(&self) -> Vec<Rule> {
        use SetName::{
            NodePortLocalSctp, NodePortLocalTcp, NodePortLocalUdp, NodePortSctp, NodePortTcp,
            NodePortUdp,
        };
        let (port, address_and_port) = (Directions::DST, Directions::DST_DST);
        let rows = [
            (protocol::TCP, NodePortLocalTcp, NodePortTcp, port),
            (protocol::UDP, NodePortLocalUdp, NodePortUdp, port),
            (
                protocol::SCTP,
                NodePortLocalSctp,
                NodePortSctp,
                address_and_port,
            ),
        ];
        let mut rules = Vec::new();
        for (protocol, local, every, dirs) in rows {
            let of = |name| {
                let mut draft = self.explained(name, dirs);
                draft.0.protocol = Some(NotOr::is(protocol));
                draft
            };
            if self.occupied(local) {
                rules.push(of(local).then(Target::Return));
            }
            if self.occupied(every) {
                rules.push(of(every).jump(Chain::MarkMasq));
            }
        }
        rules
    }

    fn load_balancer(&self) -> Vec<Rule> {
        let mut rules = Vec::new();
        if self.occupied(SetName::LoadBalancerLocal) {
            let local = self.explained(SetName::LoadBalancerLocal, Directions::DST_DST);
            rules.push(local.then(Target::Return));
        }
        rules.push(self.draft().jump(Chain::MarkMasq));
        rules
    }

    fn health_checks(&self) -> Vec<Rule> {
        let to = self.explained(SetName::HealthCheckNodePort, Directions::DST);
        vec![to.then(Target::Accept)]
    }

    fn firewall(&self) -> Vec<Rule> {
        let name = SetName::LoadBalancerFirewall;
        let restricted = self
            .occupied(name)
            .then(|| self.explained(name, Directions::DST_DST));
        let rule = restricted.map(|draft| draft.jump(Chain::SourceRanges));
        rule.into_iter().collect()
    }

    fn source_ranges(&self) -> Vec<Rule> {
        let allowed = [
            SetName::LoadBalancerSourceCidr,
            SetName::LoadBalancerSourceIp,
        ];
        let mut rules: Vec<Rule> = allowed
            .into_iter()
            .filter(|name| self.occupied(*name))
            .map(|name| {
                self.explained(name, Directions::DST_DST_SRC)
                    .then(Target::Return)
            })
            .collect();
        rules.push(self.draft().then(Target::Drop));
        rules
    }

    /// Keeps virtual addresses from showing what listens on every address of the host.
    fn host_ports(&self) -> Vec<Rule> {
        let served = [
            SetName::LoadBalancer,
            SetName::ClusterIp,
            SetName::ExternalIp,
            SetName::ExternalIpLocal,
        ];
        let mut rules: Vec<Rule> = served
            .into_iter()
            .map(|name| self.within(name, Directions::DST_DST).then(Target::Return))
            .collect();
        let health_checks = self.within(SetName::HealthCheckNodePort, Directions::DST);
        rules.push(health_checks.then(Target::Return));
        let new = self
            .draft()
            .with(Match::Conntrack(NotOr::is(CtStates::NEW)))
            .with(self.in_set(SetName::IpvsIps, Directions::DST));
        rules.push(new.then(Target::Reject(Reject::port_unreachable(self.family))));
        rules
    }
}

/// What kube-proxy says about a set in the rules that use it.
const fn comment(name: SetName) -> &'static str {
    match name {
        SetName::LoopBack => {
            "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose"
        }
        SetName::ClusterIp => "Kubernetes service cluster ip + port for masquerade purpose",
        SetName::ExternalIp => {
            "Kubernetes service external ip + port for masquerade and filter purpose"
        }
        SetName::ExternalIpLocal => {
            "Kubernetes service external ip + port with externalTrafficPolicy=local"
        }
        SetName::LoadBalancer => "Kubernetes service lb portal",
        SetName::LoadBalancerLocal => {
            "Kubernetes service load balancer ip + port with externalTrafficPolicy=local"
        }
        SetName::LoadBalancerFirewall => {
            "Kubernetes service load balancer ip + port for load balancer with sourceRange"
        }
        SetName::LoadBalancerSourceCidr => {
            "Kubernetes service load balancer ip + port + source cidr for packet filter purpose"
        }
        SetName::LoadBalancerSourceIp => {
            "Kubernetes service load balancer ip + port + source IP for packet filter purpose"
        }
        SetName::NodePortTcp => "Kubernetes nodeport TCP port for masquerade purpose",
        SetName::NodePortUdp => "Kubernetes nodeport UDP port for masquerade purpose",
        SetName::NodePortSctp => {
            "Kubernetes nodeport SCTP port for masquerade purpose with type 'hash ip:port'"
        }
        SetName::NodePortLocalTcp => {
            "Kubernetes nodeport TCP port with externalTrafficPolicy=local"
        }
        SetName::NodePortLocalUdp => {
            "Kubernetes nodeport UDP port with externalTrafficPolicy=local"
        }
        SetName::NodePortLocalSctp => {
            "Kubernetes nodeport SCTP port with externalTrafficPolicy=local with type 'hash \
             ip:port'"
        }
        SetName::HealthCheckNodePort => "Kubernetes health check node port",
        SetName::IpvsIps => "Addresses on the ipvs interface",
    }
}
