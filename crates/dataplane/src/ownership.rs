//! Names that are ours.
//!
//! A change is keyed by these types, and they can be built only for the fixed set of names of the
//! kube-proxy contract (2.1). Leaking an object of ours is a bounded nuisance; deleting somebody
//! else's is not, so a name that only resembles ours is foreign.
//!
//! What one mode leaves behind counts as ours in the others: chains and sets here, the rest in
//! [`leftovers`].

pub mod leftovers;
mod sets;

pub use sets::{Set, SetName};

use std::fmt;

use data_encoding::BASE32;
use sha2::{Digest, Sha256};

/// The part of a per-Service chain's name behind the prefix: 16 base32 digits, 80 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainHash([u8; Self::BYTES]);

impl ChainHash {
    const BYTES: usize = 10;
    const DIGITS: usize = 16;

    /// The hash of the concatenated parts (contract 2.2).
    pub fn of(parts: &[&str]) -> Self {
        let mut sha = Sha256::new();
        for part in parts {
            sha.update(part.as_bytes());
        }
        let digest = sha.finalize();
        let mut hash = [0; Self::BYTES];
        hash.copy_from_slice(&digest[..Self::BYTES]);
        Self(hash)
    }

    fn parse(digits: &str) -> Option<Self> {
        let mut hash = [0; Self::BYTES];
        let exact = digits.len() == Self::DIGITS;
        (exact && BASE32.decode_mut(digits.as_bytes(), &mut hash).is_ok()).then_some(Self(hash))
    }

    /// Writes a prefix of at most 16 bytes and the digits, in one piece: a string then grows once.
    fn write_behind(self, prefix: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut name = [0; 2 * Self::DIGITS];
        let name = &mut name[..prefix.len() + Self::DIGITS];
        let (head, digits) = name.split_at_mut(prefix.len());
        head.copy_from_slice(prefix.as_bytes());
        BASE32.encode_mut(&self.0, digits);
        f.write_str(std::str::from_utf8(name).unwrap_or_default())
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_behind("", f)
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A chain that kube-proxy's iptables mode or IPVS mode owns, and so do we.
///
/// In the order in which they refer to each other: a chain jumps to smaller ones only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chain {
    /// `KUBE-PROXY-CANARY`: empty; its loss tells that somebody flushed the table.
    Canary,
    /// `KUBE-MARK-MASQ`: marks packets that are to be masqueraded.
    MarkMasq,
    /// `KUBE-SEP-…`: one endpoint of one Service port.
    Endpoint(ChainHash),
    /// `KUBE-SVL-…`: a Service port's local endpoints.
    ServiceLocal(ChainHash),
    /// `KUBE-SVC-…`: a Service port's endpoints.
    Service(ChainHash),
    /// `KUBE-EXT-…`: a Service port's traffic from outside the cluster.
    External(ChainHash),
    /// `KUBE-FW-…`: a Service port's source ranges.
    FirewallOf(ChainHash),
    /// `KUBE-NODE-PORT`, of IPVS mode: marks node port traffic; lets health checks in.
    NodePort,
    /// `KUBE-LOAD-BALANCER`, of IPVS mode: marks traffic to load balancers' addresses.
    LoadBalancer,
    /// `KUBE-SOURCE-RANGES-FIREWALL`, of IPVS mode: lets source ranges through.
    SourceRanges,
    /// `KUBE-IPVS-FILTER`, of IPVS mode: keeps the host's own ports off virtual addresses.
    IpvsFilter,
    /// `KUBE-IPVS-OUT-FILTER`, of IPVS mode: keeps the node itself off load balancers' addresses
    /// whose source ranges leave it out.
    IpvsOutFilter,
    /// `KUBE-NODEPORTS`.
    Nodeports,
    /// `KUBE-POSTROUTING`.
    Postrouting,
    /// `KUBE-FORWARD`.
    Forward,
    /// `KUBE-PROXY-FIREWALL`.
    ProxyFirewall,
    /// `KUBE-EXTERNAL-SERVICES`.
    ExternalServices,
    /// `KUBE-SERVICES`.
    Services,
    /// `KUBE-FIREWALL`: shared with kubelet.
    Firewall,
}

/// Whose chains stand in netfilter: two modes give some names different rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layout {
    /// iptables mode's (contract 2).
    Iptables,
    /// IPVS mode's (contract 3.6).
    Ipvs,
}

const FIXED: [(Chain, &str); 14] = [
    (Chain::Canary, "KUBE-PROXY-CANARY"),
    (Chain::MarkMasq, "KUBE-MARK-MASQ"),
    (Chain::NodePort, "KUBE-NODE-PORT"),
    (Chain::LoadBalancer, "KUBE-LOAD-BALANCER"),
    (Chain::SourceRanges, "KUBE-SOURCE-RANGES-FIREWALL"),
    (Chain::IpvsFilter, "KUBE-IPVS-FILTER"),
    (Chain::IpvsOutFilter, "KUBE-IPVS-OUT-FILTER"),
    (Chain::Nodeports, "KUBE-NODEPORTS"),
    (Chain::Postrouting, "KUBE-POSTROUTING"),
    (Chain::Forward, "KUBE-FORWARD"),
    (Chain::ProxyFirewall, "KUBE-PROXY-FIREWALL"),
    (Chain::ExternalServices, "KUBE-EXTERNAL-SERVICES"),
    (Chain::Services, "KUBE-SERVICES"),
    (Chain::Firewall, "KUBE-FIREWALL"),
];

type PerService = (fn(ChainHash) -> Chain, &'static str);

const PER_SERVICE: [PerService; 5] = [
    (Chain::Endpoint, "KUBE-SEP-"),
    (Chain::ServiceLocal, "KUBE-SVL-"),
    (Chain::Service, "KUBE-SVC-"),
    (Chain::External, "KUBE-EXT-"),
    (Chain::FirewallOf, "KUBE-FW-"),
];

impl Chain {
    /// The chain of this name, or `None` where the name is not one of ours.
    pub fn parse(name: &str) -> Option<Self> {
        if !name.starts_with("KUBE-") {
            return None;
        }
        FIXED
            .iter()
            .find(|(_, fixed)| *fixed == name)
            .map(|(chain, _)| *chain)
            .or_else(|| {
                PER_SERVICE.iter().find_map(|(chain, prefix)| {
                    name.strip_prefix(prefix)
                        .and_then(ChainHash::parse)
                        .map(chain)
                })
            })
    }

    /// True for chains whose rules are keyed one by one, since each belongs to another Service;
    /// false for chains that are written as a whole.
    pub const fn is_shared(self, layout: Layout) -> bool {
        match layout {
            Layout::Iptables => matches!(
                self,
                Self::Nodeports
                    | Self::ProxyFirewall
                    | Self::ExternalServices
                    | Self::Services
                    | Self::Firewall
            ),
            Layout::Ipvs => matches!(self, Self::IpvsOutFilter | Self::Firewall),
        }
    }

    /// False for the chain that kubelet uses as well.
    pub const fn is_ours_alone(self) -> bool {
        !matches!(self, Self::Firewall)
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(hash) => hash.write_behind("KUBE-SEP-", f),
            Self::ServiceLocal(hash) => hash.write_behind("KUBE-SVL-", f),
            Self::Service(hash) => hash.write_behind("KUBE-SVC-", f),
            Self::External(hash) => hash.write_behind("KUBE-EXT-", f),
            Self::FirewallOf(hash) => hash.write_behind("KUBE-FW-", f),
            fixed => {
                let name = FIXED
                    .iter()
                    .find(|(chain, _)| chain == fixed)
                    .map(|(_, name)| *name);
                f.write_str(name.unwrap_or_default())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_kube_proxy() {
        let of = |text: &str| ChainHash::of(&[text]).to_string();
        assert_eq!(of("ns1/svc1:p80tcp"), "XPGD46QRK7WJZT7O");
        assert_eq!(of("ns7/svc7udp"), "HX3N2WITKOW24AEV");
        assert_eq!(of("ns1/svc1:p80tcp10.180.0.1:80"), "SXIVWICOYRO3J4NJ");
        assert_eq!(of("ns7/svc7udp[fd00:10:180::1]:53"), "X4ZBZCMYM5CEAIXM");
        assert_eq!(
            ChainHash::of(&["ns7/svc7", "udp"]).to_string(),
            "HX3N2WITKOW24AEV"
        );
    }

    #[test]
    fn every_name_of_ours_parses_back() {
        let hash = ChainHash::of(&["x"]);
        let chains = FIXED.map(|(chain, _)| chain).into_iter();
        for chain in chains.chain(PER_SERVICE.map(|(chain, _)| chain(hash))) {
            assert_eq!(Chain::parse(&chain.to_string()), Some(chain));
        }
    }

    #[test]
    fn names_that_only_resemble_ours_are_foreign() {
        for name in [
            "KUBE-SVC-TEST",
            "KUBE-SVC-xpgd46qrk7wjzt7o",
            "KUBE-SVC-XPGD46QRK7WJZT7OA",
            "KUBE-SVC-XPGD46QRK7WJZT7\u{d6}",
            "KUBE-KUBELET-CANARY",
            "KUBE-IPTABLES-HINT",
            "KUBE-ROUTER-FORWARD",
            "KUBE-NODE-PORTS",
            "KUBE-IPVS",
            "KUBE-LOAD-BALANCER-2",
            "kube-services",
            "INPUT",
            "",
        ] {
            assert_eq!(Chain::parse(name), None, "{name}");
        }
    }
}
