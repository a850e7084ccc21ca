//! IP sets that are ours (contract 3.5).

use std::fmt;

use nfnetlink::Family;
use nfnetlink::ipset::{Kind, Spec};

/// Bytes of a set's name at most; longer ones are cut.
const NAME_MAX: usize = 31;

/// A set of IPVS mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Set {
    /// Which one.
    pub name: SetName,
    /// Of which IP family; for sets of ports too.
    pub family: Family,
}

/// The sets of IPVS mode, for each family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetName {
    /// `KUBE-LOOP-BACK`: local endpoints, that may reach themselves.
    LoopBack,
    /// `KUBE-CLUSTER-IP`.
    ClusterIp,
    /// `KUBE-EXTERNAL-IP`.
    ExternalIp,
    /// `KUBE-EXTERNAL-IP-LOCAL`.
    ExternalIpLocal,
    /// `KUBE-LOAD-BALANCER`.
    LoadBalancer,
    /// `KUBE-LOAD-BALANCER-LOCAL`.
    LoadBalancerLocal,
    /// `KUBE-LOAD-BALANCER-FW`.
    LoadBalancerFirewall,
    /// `KUBE-LOAD-BALANCER-SOURCE-CIDR`.
    LoadBalancerSourceCidr,
    /// `KUBE-LOAD-BALANCER-SOURCE-IP`.
    LoadBalancerSourceIp,
    /// `KUBE-NODE-PORT-TCP`.
    NodePortTcp,
    /// `KUBE-NODE-PORT-UDP`.
    NodePortUdp,
    /// `KUBE-NODE-PORT-SCTP-HASH`.
    NodePortSctp,
    /// `KUBE-NODE-PORT-LOCAL-TCP`.
    NodePortLocalTcp,
    /// `KUBE-NODE-PORT-LOCAL-UDP`.
    NodePortLocalUdp,
    /// `KUBE-NODE-PORT-LOCAL-SCTP-HASH`.
    NodePortLocalSctp,
    /// `KUBE-HEALTH-CHECK-NODE-PORT`.
    HealthCheckNodePort,
    /// `KUBE-IPVS-IPS`: addresses on the link.
    IpvsIps,
}

impl SetName {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::LoopBack,
        Self::ClusterIp,
        Self::ExternalIp,
        Self::ExternalIpLocal,
        Self::LoadBalancer,
        Self::LoadBalancerLocal,
        Self::LoadBalancerFirewall,
        Self::LoadBalancerSourceCidr,
        Self::LoadBalancerSourceIp,
        Self::NodePortTcp,
        Self::NodePortUdp,
        Self::NodePortSctp,
        Self::NodePortLocalTcp,
        Self::NodePortLocalUdp,
        Self::NodePortLocalSctp,
        Self::HealthCheckNodePort,
        Self::IpvsIps,
    ];

    /// The name of the IPv4 set.
    const fn ipv4(self) -> &'static str {
        match self {
            Self::LoopBack => "KUBE-LOOP-BACK",
            Self::ClusterIp => "KUBE-CLUSTER-IP",
            Self::ExternalIp => "KUBE-EXTERNAL-IP",
            Self::ExternalIpLocal => "KUBE-EXTERNAL-IP-LOCAL",
            Self::LoadBalancer => "KUBE-LOAD-BALANCER",
            Self::LoadBalancerLocal => "KUBE-LOAD-BALANCER-LOCAL",
            Self::LoadBalancerFirewall => "KUBE-LOAD-BALANCER-FW",
            Self::LoadBalancerSourceCidr => "KUBE-LOAD-BALANCER-SOURCE-CIDR",
            Self::LoadBalancerSourceIp => "KUBE-LOAD-BALANCER-SOURCE-IP",
            Self::NodePortTcp => "KUBE-NODE-PORT-TCP",
            Self::NodePortUdp => "KUBE-NODE-PORT-UDP",
            Self::NodePortSctp => "KUBE-NODE-PORT-SCTP-HASH",
            Self::NodePortLocalTcp => "KUBE-NODE-PORT-LOCAL-TCP",
            Self::NodePortLocalUdp => "KUBE-NODE-PORT-LOCAL-UDP",
            Self::NodePortLocalSctp => "KUBE-NODE-PORT-LOCAL-SCTP-HASH",
            Self::HealthCheckNodePort => "KUBE-HEALTH-CHECK-NODE-PORT",
            Self::IpvsIps => "KUBE-IPVS-IPS",
        }
    }

    /// The type of its elements.
    pub const fn kind(self) -> Kind {
        match self {
            Self::LoopBack | Self::LoadBalancerSourceIp => Kind::HashIpPortIp,
            Self::LoadBalancerSourceCidr => Kind::HashIpPortNet,
            Self::NodePortTcp
            | Self::NodePortUdp
            | Self::NodePortLocalTcp
            | Self::NodePortLocalUdp
            | Self::HealthCheckNodePort => Kind::BitmapPort,
            Self::IpvsIps => Kind::HashIp,
            Self::ClusterIp
            | Self::ExternalIp
            | Self::ExternalIpLocal
            | Self::LoadBalancer
            | Self::LoadBalancerLocal
            | Self::LoadBalancerFirewall
            | Self::NodePortSctp
            | Self::NodePortLocalSctp => Kind::HashIpPort,
        }
    }
}

impl Set {
    /// All sets of a family.
    pub fn all(family: Family) -> impl Iterator<Item = Self> {
        SetName::ALL
            .into_iter()
            .map(move |name| Self { name, family })
    }

    /// The set of this name, whatever it was made with: the name is what rules know it by, so nobody
    /// else can have one. `None` for a name that is none of ours.
    pub fn named(name: &str) -> Option<Self> {
        Family::ALL
            .into_iter()
            .flat_map(Self::all)
            .find(|set| set.to_string() == name)
    }

    /// The set of this name and type, or `None` where we would make none such.
    pub fn parse(name: &str, kind: &str) -> Option<Self> {
        let kind = Kind::parse(kind)?;
        Self::named(name).filter(|set| set.name.kind() == kind)
    }

    /// What it is made with (contract 3.5).
    pub const fn spec(self) -> Spec {
        match self.name.kind() {
            Kind::BitmapPort => Spec::Ports {
                first: 0,
                last: u16::MAX,
            },
            kind => Spec::Hash {
                kind,
                family: self.family,
                max_elements: Spec::DEFAULT_MAX_ELEMENTS,
            },
        }
    }
}

impl fmt::Display for Set {
    /// IPv6 sets have `KUBE-6-` in place of `KUBE-`, cut where that is too long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const IPV6: &str = "KUBE-6-";
        let name = self.name.ipv4();
        match self.family {
            Family::Ipv4 => f.write_str(name),
            Family::Ipv6 => {
                let rest = name.strip_prefix("KUBE-").unwrap_or(name);
                let room = NAME_MAX - IPV6.len();
                write!(f, "{IPV6}{}", &rest[..rest.len().min(room)])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What kube-proxy 1.36.3 made.
    const GOLDEN: &str = include_str!("../../../writer/tests/leftovers/ipset-save.txt");

    #[test]
    fn every_set_of_kube_proxy_is_known() {
        let mut found = BTreeSet::new();
        for line in GOLDEN.lines() {
            let mut words = line.split(' ');
            if words.next() == Some("create") {
                let (name, kind) = (words.next().unwrap(), words.next().unwrap());
                let set = Set::parse(name, kind).expect(name);
                assert_eq!(set.to_string(), name);
                found.insert(set);
            }
        }
        assert_eq!(found.len(), 2 * SetName::ALL.len());
    }

    #[test]
    fn sets_that_only_resemble_them_are_foreign() {
        for (name, kind) in [
            ("KUBE-CLUSTER-IP", "hash:ip"),
            ("KUBE-CLUSTER-IPS", "hash:ip,port"),
            ("KUBE-6-CLUSTER-I", "hash:ip,port"),
            ("KUBE-6-LOAD-BALANCER-SOURCE-CIDR", "hash:ip,port,net"),
            ("KUBE-6-", "hash:ip"),
            ("KUBE-SRC-1A2B3C", "hash:ip"),
            ("kube-cluster-ip", "hash:ip,port"),
            ("", ""),
        ] {
            assert_eq!(Set::parse(name, kind), None, "{name}");
        }
    }
}
