//! The words that iptables has for numbers.

use super::{CtStates, Reject};
use crate::Family;

/// Protocol names, the preferred one of a number first. `iptables-save` takes them from
/// `/etc/protocols`; these are the ones that iptables knows without it and some common ones.
const PROTOCOLS: &[(u8, &str)] = &[
    (1, "icmp"),
    (2, "igmp"),
    (4, "ipencap"),
    (6, "tcp"),
    (17, "udp"),
    (33, "dccp"),
    (41, "ipv6"),
    (47, "gre"),
    (50, "esp"),
    (51, "ah"),
    (58, "ipv6-icmp"),
    (58, "icmpv6"),
    (89, "ospf"),
    (94, "ipip"),
    (103, "pim"),
    (112, "vrrp"),
    (115, "l2tp"),
    (132, "sctp"),
    (135, "mobility-header"),
    (135, "ipv6-mh"),
    (135, "mh"),
    (136, "udplite"),
];

/// The name of a protocol.
pub(crate) fn protocol(number: u8) -> Option<&'static str> {
    // Nearly every rule is about one of these two.
    match number {
        6 => return Some("tcp"),
        17 => return Some("udp"),
        _ => {}
    }
    PROTOCOLS
        .iter()
        .find(|(known, _)| *known == number)
        .map(|(_, name)| *name)
}

/// The number of a protocol given by name or number; 0 for `all`.
pub(crate) fn protocol_number(word: &str) -> Option<u8> {
    if word.eq_ignore_ascii_case("all") {
        return Some(0);
    }
    let known = PROTOCOLS
        .iter()
        .find(|(_, name)| name.eq_ignore_ascii_case(word));
    known
        .map(|(number, _)| *number)
        .or_else(|| word.parse().ok())
}

/// Conntrack states in the order in which iptables prints them.
pub(super) fn ct_states() -> impl Iterator<Item = (CtStates, &'static str)> {
    [
        (CtStates::INVALID, "INVALID"),
        (CtStates::NEW, "NEW"),
        (CtStates::RELATED, "RELATED"),
        (CtStates::ESTABLISHED, "ESTABLISHED"),
        (CtStates::UNTRACKED, "UNTRACKED"),
        (CtStates::SNAT, "SNAT"),
        (CtStates::DNAT, "DNAT"),
    ]
    .into_iter()
}

/// Address types, `ADDR_TYPES[n]` of bit n.
pub(super) const ADDR_TYPES: [&str; 12] = [
    "UNSPEC",
    "UNICAST",
    "LOCAL",
    "BROADCAST",
    "ANYCAST",
    "MULTICAST",
    "BLACKHOLE",
    "UNREACHABLE",
    "PROHIBIT",
    "THROW",
    "NAT",
    "XRESOLVE",
];

/// `REJECT --reject-with` of `enum ipt_reject_with`: number, name, short name.
const REJECT_V4: &[(u32, &str, &str)] = &[
    (0, "icmp-net-unreachable", "net-unreach"),
    (1, "icmp-host-unreachable", "host-unreach"),
    (2, "icmp-proto-unreachable", "proto-unreach"),
    (3, "icmp-port-unreachable", "port-unreach"),
    (5, "icmp-net-prohibited", "net-prohib"),
    (6, "icmp-host-prohibited", "host-prohib"),
    (7, "tcp-reset", "tcp-rst"),
    (8, "icmp-admin-prohibited", "admin-prohib"),
];

/// The same of `enum ip6t_reject_with`.
const REJECT_V6: &[(u32, &str, &str)] = &[
    (0, "icmp6-no-route", "no-route"),
    (1, "icmp6-adm-prohibited", "adm-prohibited"),
    (3, "icmp6-addr-unreachable", "addr-unreach"),
    (4, "icmp6-port-unreachable", "port-unreach"),
    (6, "tcp-reset", "tcp-reset"),
    (7, "icmp6-policy-fail", "policy-fail"),
    (8, "icmp6-reject-route", "reject-route"),
];

const fn rejects(family: Family) -> &'static [(u32, &'static str, &'static str)] {
    match family {
        Family::Ipv4 => REJECT_V4,
        Family::Ipv6 => REJECT_V6,
    }
}

/// The name of a way to reject.
pub(super) fn reject(family: Family, with: Reject) -> Option<&'static str> {
    rejects(family)
        .iter()
        .find(|(number, ..)| *number == with.0)
        .map(|(_, name, _)| *name)
}

/// A way to reject by its name.
pub(super) fn reject_number(family: Family, word: &str) -> Option<Reject> {
    let known = rejects(family)
        .iter()
        .find(|(_, name, short)| *name == word || *short == word);
    known.map(|(number, ..)| Reject(*number))
}

/// xt targets that iptables has and this crate has not: no names of chains.
pub(super) const OTHER_TARGETS: &[&str] = &[
    "AUDIT",
    "CHECKSUM",
    "CLASSIFY",
    "CLUSTERIP",
    "CONNMARK",
    "CONNSECMARK",
    "CT",
    "DNPT",
    "DSCP",
    "ECN",
    "HL",
    "HMARK",
    "IDLETIMER",
    "LED",
    "LOG",
    "NETMAP",
    "NFLOG",
    "NFQUEUE",
    "NOTRACK",
    "QUEUE",
    "RATEEST",
    "REDIRECT",
    "SECMARK",
    "SET",
    "SNAT",
    "SNPT",
    "SYNPROXY",
    "TCPMSS",
    "TCPOPTSTRIP",
    "TEE",
    "TOS",
    "TPROXY",
    "TRACE",
    "TTL",
    "ULOG",
];
