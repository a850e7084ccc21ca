//! Terse construction of rules.

use std::net::IpAddr;

use ipnet::IpNet;
use nfnetlink::Family;
use nfnetlink::xtables::{AddrTypes, Match, NotOr, PortRange, Reject, Rule, Target};
use viprule_service::plan::Unreachable;

use super::key::{Key, Object, Table};
use crate::ownership::Chain;
use crate::state::Fingerprint;

/// A rule under construction.
pub(crate) struct Draft(pub(crate) Rule);

impl Draft {
    pub(crate) fn new(family: Family) -> Self {
        Self(Rule::new(family))
    }

    pub(crate) fn with(mut self, part: Match) -> Self {
        self.0.matches.push(part);
        self
    }

    pub(crate) fn comment(self, text: String) -> Self {
        self.with(Match::Comment(text))
    }

    pub(crate) fn src(mut self, net: impl Into<IpNet>) -> Self {
        self.0.src = any_net(net.into());
        self
    }

    pub(crate) fn dst(mut self, net: impl Into<IpNet>) -> Self {
        self.0.dst = any_net(net.into());
        self
    }

    pub(crate) fn not_dst(mut self, net: IpNet) -> Self {
        self.0.dst = Some(NotOr::not(net));
        self
    }

    /// `-p PROTOCOL -m PROTOCOL`, with `--dport` where a port is given.
    pub(crate) fn transport(mut self, protocol: u8, port: Option<u16>) -> Self {
        self.0.protocol = Some(NotOr::is(protocol));
        let dst = port.map(|port| NotOr::is(PortRange::one(port)));
        self.with(Match::Ports {
            protocol,
            src: None,
            dst,
        })
    }

    /// `-p PROTOCOL -m PROTOCOL`, with `--sport` for those from this port on.
    pub(crate) fn source_ports(mut self, protocol: u8, from: u16) -> Self {
        self.0.protocol = Some(NotOr::is(protocol));
        let ports = PortRange {
            first: from,
            last: u16::MAX,
        };
        self.with(Match::Ports {
            protocol,
            src: ports.condition(false),
            dst: None,
        })
    }

    pub(crate) fn local_destination(self) -> Self {
        self.with(Match::AddrType {
            src: None,
            dst: Some(NotOr::is(AddrTypes::LOCAL)),
        })
    }

    pub(crate) fn local_source(self) -> Self {
        self.with(Match::AddrType {
            src: Some(NotOr::is(AddrTypes::LOCAL)),
            dst: None,
        })
    }

    pub(crate) fn then(mut self, target: Target) -> Rule {
        self.0.target = target;
        self.0
    }

    pub(crate) fn jump(self, chain: Chain) -> Rule {
        self.then(Target::Jump(chain.to_string()))
    }

    /// Refuses or drops, whichever the reason asks for (contract 2.5).
    pub(crate) fn turn_away(self, reason: Unreachable) -> Rule {
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
pub(crate) fn loopback(family: Family) -> IpNet {
    match family {
        Family::Ipv4 => IpNet::new_assert(IpAddr::from([127, 0, 0, 0]), 8),
        Family::Ipv6 => IpNet::from(IpAddr::from(std::net::Ipv6Addr::LOCALHOST)),
    }
}

/// A rule with a key of its own.
pub(crate) fn keyed(table: Table, chain: Chain, rule: Rule) -> (Key, Object) {
    let key = Key::Rule {
        table,
        chain,
        rule: Fingerprint::of(&rule),
        copy: 0,
    };
    (key, Object::Rule(rule))
}
