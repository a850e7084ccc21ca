//! xt matches and targets from their data. `None` is always "not one of ours": the caller keeps
//! the data as it is.
//!
//! Only what the kernel reads is looked at: bytes behind a text's NUL and pointers at the end
//! differ between writers of the same rule.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Family;
use crate::ipset::SetIndex;
#[allow(clippy::wildcard_imports, reason = "kernel constants")]
use crate::xtables::layout::*;
use crate::xtables::{
    AddrTypes, CtStates, DnatTo, Ipvs, Match, NotOr, Physdev, PortRange, Recent, RecentMode,
    Reject, Target, ask, names, protocol,
};

/// Reads an xt match.
pub(super) fn xt_match(family: Family, name: &[u8], revision: u32, info: &[u8]) -> Option<Match> {
    match (name, revision) {
        (b"comment", 0) => field(info).map(|text| Match::Comment(text.to_owned())),
        (b"tcp", 0) => tcp(info),
        (b"udp", 0) => udp(info),
        (b"sctp", 0) => sctp(info),
        (b"mark", 1) => Some(Match::Mark {
            not: flag(u8_at(info, 8)?)?,
            value: u32_at(info, 0)?,
            mask: u32_at(info, 4)?,
        }),
        (b"conntrack", 3) => conntrack(info),
        (b"addrtype", 1) => addrtype(info),
        (b"statistic", 0) => random(info),
        (b"recent", 1) => recent(family, info),
        // Revision 0 has the name in the same place.
        (b"nfacct", 0 | 1) => {
            field(info.get(..NFACCT_NAME_LEN)?).map(|name| Match::Nfacct(name.to_owned()))
        }
        (b"physdev", 0) => Physdev::read(info).map(Match::Physdev),
        (b"ipvs", 0) => Ipvs::read(family, info).map(Match::Ipvs),
        _ => None,
    }
}

/// Reads an xt match on a set.
pub(super) fn xt_set(
    set_name: &mut dyn FnMut(SetIndex) -> Option<String>,
    revision: u32,
    info: &[u8],
) -> Option<Match> {
    let (not, index, dirs) = ask::set::read(revision, info)?;
    set_name(index).map(|name| Match::Set { not, name, dirs })
}

/// Reads an xt target.
pub(super) fn xt_target(family: Family, name: &[u8], revision: u32, info: &[u8]) -> Option<Target> {
    match (name, revision) {
        (b"DNAT", 2) => dnat(family, info),
        (b"MARK", 2) => Some(Target::Mark {
            value: u32_at(info, 0)?,
            mask: u32_at(info, 4)?,
        }),
        (b"MASQUERADE", 0) => {
            let range = match family {
                Family::Ipv4 if u32_at(info, 0)? == 1 => MASQUERADE_RANGE_V4,
                Family::Ipv4 => return None,
                Family::Ipv6 => MASQUERADE_RANGE_V6,
            };
            masquerade(info, range)
        }
        (b"REJECT", 0) => {
            let with = Reject(u32_at(info, 0)?);
            names::reject(family, with).map(|_| Target::Reject(with))
        }
        _ => None,
    }
}

/// The text in a field, up to its NUL. None of ours fills a field to its end.
fn field(bytes: &[u8]) -> Option<&str> {
    bytes.contains(&0).then(|| text(bytes)).flatten()
}

/// A text up to its NUL or the end.
pub(super) fn text(bytes: &[u8]) -> Option<&str> {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    std::str::from_utf8(bytes.get(..end)?).ok()
}

fn tcp(info: &[u8]) -> Option<Match> {
    // --tcp-option and --tcp-flags are not among ours.
    let option = u8_at(info, TCP_OPTION)?;
    let flags = u8_at(info, TCP_FLAG_MASK)? | u8_at(info, TCP_FLAG_VALUE)?;
    if option != 0 || flags != 0 {
        return None;
    }
    tcp_or_udp(protocol::TCP, info, u8_at(info, TCP_INVERT)?)
}

fn udp(info: &[u8]) -> Option<Match> {
    tcp_or_udp(protocol::UDP, info, u8_at(info, UDP_INVERT)?)
}

fn tcp_or_udp(protocol: u8, info: &[u8], invert: u8) -> Option<Match> {
    if invert & !(SRC_PORTS | DST_PORTS) != 0 {
        return None;
    }
    Some(Match::Ports {
        protocol,
        src: ports(info, 0, invert & SRC_PORTS != 0)?,
        dst: ports(info, 4, invert & DST_PORTS != 0)?,
    })
}

fn sctp(info: &[u8]) -> Option<Match> {
    let looked_at = u32_at(info, SCTP_FLAGS)?;
    let invert = u32_at(info, SCTP_INVERT)?;
    let (src, dst) = (u32::from(SRC_PORTS), u32::from(DST_PORTS));
    // --chunk-types are not among ours.
    if (looked_at | invert) & !(src | dst) != 0 || invert & !looked_at != 0 {
        return None;
    }
    let side = |at, bit| {
        if looked_at & bit == 0 {
            Some(None)
        } else {
            ports(info, at, invert & bit != 0)
        }
    };
    Some(Match::Ports {
        protocol: protocol::SCTP,
        src: side(4, src)?,
        dst: side(0, dst)?,
    })
}

/// The ports at `at`; the inner `None` is every port.
#[allow(
    clippy::option_option,
    reason = "the outer is 'no such bytes', the inner is the answer"
)]
fn ports(info: &[u8], at: usize, not: bool) -> Option<Option<NotOr<PortRange>>> {
    let range = PortRange {
        first: u16_at(info, at)?,
        last: u16_at(info, at + 2)?,
    };
    Some(range.condition(not))
}

fn conntrack(info: &[u8]) -> Option<Match> {
    let invert = u16_at(info, CONNTRACK_INVERT)?;
    let states = u16_at(info, CONNTRACK_STATES)?;
    let only_states = u16_at(info, CONNTRACK_FLAGS)? == CONNTRACK_STATE
        && invert & !CONNTRACK_STATE == 0
        && names::ct_states().fold(states, |rest, (state, _)| rest & !state.0) == 0;
    only_states.then_some(Match::Conntrack(NotOr {
        not: invert != 0,
        value: CtStates(states),
    }))
}

fn addrtype(info: &[u8]) -> Option<Match> {
    let flags = u32_at(info, 4)?;
    if flags & !(ADDRTYPE_NOT_SRC | ADDRTYPE_NOT_DST) != 0 {
        return None;
    }
    let side = |types: u16, not| {
        (types != 0).then_some(NotOr {
            not: flags & not != 0,
            value: AddrTypes(types),
        })
    };
    let (src, dst) = (u16_at(info, 0)?, u16_at(info, 2)?);
    if (src | dst) >> names::ADDR_TYPES.len() != 0 {
        return None;
    }
    Some(Match::AddrType {
        src: side(src, ADDRTYPE_NOT_SRC),
        dst: side(dst, ADDRTYPE_NOT_DST),
    })
}

fn random(info: &[u8]) -> Option<Match> {
    let not = match (u16_at(info, 0)?, u16_at(info, 2)?) {
        (0, 0) => false,
        (0, 1) => true,
        _ => return None,
    };
    Some(Match::Random {
        not,
        probability: u32_at(info, 4)?,
    })
}

fn recent(family: Family, info: &[u8]) -> Option<Match> {
    let flags = u8_at(info, 8)?;
    let mode = match flags & !RECENT_REAP {
        RECENT_CHECK => RecentMode::Rcheck,
        RECENT_SET => RecentMode::Set,
        RECENT_UPDATE => RecentMode::Update,
        RECENT_REMOVE => RecentMode::Remove,
        _ => return None,
    };
    // With an explicit --mask iptables fills in an IPv4 table's first four bytes only.
    let mask_len = match family {
        Family::Ipv4 => 4,
        Family::Ipv6 => 16,
    };
    let whole_source = u8_at(info, RECENT_SIDE)? == 0
        && info
            .get(RECENT_MASK..RECENT_MASK + mask_len)?
            .iter()
            .all(|byte| *byte == 0xff);
    let name = field(info.get(RECENT_NAME..RECENT_NAME + RECENT_NAME_LEN)?)?;
    if !whole_source {
        return None;
    }
    Some(Match::Recent(Recent {
        name: name.to_owned(),
        mode,
        not: flag(u8_at(info, 9)?)?,
        seconds: u32_at(info, 0)?,
        hits: u32_at(info, 4)?,
        reap: flags & RECENT_REAP != 0,
    }))
}

/// Where flags and ports of a `MASQUERADE` are says `range`.
fn masquerade(info: &[u8], range: MasqueradeRange) -> Option<Target> {
    let flags = u32_at(info, range.flags)?;
    let port = |at| bytes_at(info, at).map(u16::from_be_bytes);
    let (first, last) = (port(range.first)?, port(range.last)?);
    let ports = match flags & NAT_PORTS {
        0 if first == 0 && last == 0 => None,
        NAT_PORTS if first <= last => Some(PortRange { first, last }),
        _ => return None,
    };
    let random_fully = match flags & !NAT_PORTS {
        0 => false,
        NAT_RANDOM_FULLY => true,
        _ => return None,
    };
    Some(Target::Masquerade {
        ports,
        random_fully,
    })
}

fn dnat(family: Family, info: &[u8]) -> Option<Target> {
    let flags = u32_at(info, 0)?;
    let lowest: [u8; 16] = bytes_at(info, NAT_MIN_ADDR)?;
    let highest: [u8; 16] = bytes_at(info, NAT_MAX_ADDR)?;
    let ports: [u8; 2] = bytes_at(info, NAT_MIN_PORT)?;
    let last: [u8; 2] = bytes_at(info, NAT_MAX_PORT)?;
    let one_port = ports == last;
    let port = match flags {
        NAT_ADDRESSES => None,
        _ if flags == NAT_ADDRESSES | NAT_PORTS && one_port => Some(u16::from_be_bytes(ports)),
        _ => return None,
    };
    let address = match family {
        Family::Ipv4 if lowest.first_chunk::<4>() == highest.first_chunk::<4>() => {
            IpAddr::V4(Ipv4Addr::from(*lowest.first_chunk::<4>()?))
        }
        Family::Ipv6 if lowest == highest => IpAddr::V6(Ipv6Addr::from(lowest)),
        _ => return None,
    };
    Some(Target::Dnat(DnatTo { address, port }))
}

/// A truth value in a byte, as iptables writes it.
fn flag(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn bytes_at<const N: usize>(info: &[u8], at: usize) -> Option<[u8; N]> {
    info.get(at..at + N)?.try_into().ok()
}

fn u8_at(info: &[u8], at: usize) -> Option<u8> {
    info.get(at).copied()
}

fn u16_at(info: &[u8], at: usize) -> Option<u16> {
    bytes_at(info, at).map(u16::from_ne_bytes)
}

fn u32_at(info: &[u8], at: usize) -> Option<u32> {
    bytes_at(info, at).map(u32::from_ne_bytes)
}
