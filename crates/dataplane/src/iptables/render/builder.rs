//! Terse construction of rules.

use std::net::IpAddr;

use ipnet::IpNet;
use nfnetlink::Family;
use nfnetlink::xtables::{AddrTypes, Match, NotOr, PortRange, Reject, Rule, Target};
use viprule_service::plan::Unreachable;

use crate::ownership::Chain;

/// A rule under construction.
pub(super) struct Draft(pub(super) Rule);

impl Draft {
    pub(super) fn new(family: Family) -> Self {
        Self(Rule::new(family))
    }

    pub(super) fn with(mut self, part: Match) -> Self {
        self.0.matches.push(part);
        self
    }

    pub(super) fn comment(self, text: String) -> Self {
        self.with(Match::Comment(text))
    }

    pub(super) fn src(mut self, net: impl Into<IpNet>) -> Self {
        self.0.src = any_net(net.into());
        self
    }

    pub(super) fn dst(mut self, net: impl Into<IpNet>) -> Self {
        self.0.dst = any_net(net.into());
        self
    }

    pub(super) fn not_dst(mut self, net: IpNet) -> Self {
        self.0.dst = Some(NotOr::not(net));
        self
    }

    /// `-p PROTOCOL -m PROTOCOL`, with `--dport` where a port is given.
    pub(super) fn transport(mut self, protocol: u8, port: Option<u16>) -> Self {
        self.0.protocol = Some(NotOr::is(protocol));
        let dst = port.map(|port| NotOr::is(PortRange::one(port)));
        self.with(Match::Ports {
            protocol,
            src: None,
            dst,
        })
    }

    pub(super) fn local_destination(self) -> Self {
        self.with(Match::AddrType {
            src: None,
            dst: Some(NotOr::is(AddrTypes::LOCAL)),
        })
    }

    pub(super) fn local_source(self) -> Self {
        self.with(Match::AddrType {
            src: Some(NotOr::is(AddrTypes::LOCAL)),
            dst: None,
        })
    }

    pub(super) fn then(mut self, target: Target) -> Rule {
        self.0.target = target;
        self.0
    }

    pub(super) fn jump(self, chain: Chain) -> Rule {
        self.then(Target::Jump(chain.to_string()))
    }

    /// Refuses or drops, whichever the reason asks for (contract 2.5).
    pub(super) fn turn_away(self, reason: Unreachable) -> Rule {
        let family = self.0.family;
        self.then(match reason {
            Unreachable::NoEndpoints => Target::Reject(Reject::port_unreachable(family)),
            Unreachable::NoLocalEndpoints => Target::Drop,
        })
    }
}

fn any_net(net: IpNet) -> Option<NotOr<IpNet>> {
    (net.prefix_len() > 0).then(|| NotOr::is(net.trunc()))
}

/// `127.0.0.0/8` or `::1/128`.
pub(super) fn loopback(family: Family) -> IpNet {
    match family {
        Family::Ipv4 => IpNet::new_assert(IpAddr::from([127, 0, 0, 0]), 8),
        Family::Ipv6 => IpNet::from(IpAddr::from(std::net::Ipv6Addr::LOCALHOST)),
    }
}
