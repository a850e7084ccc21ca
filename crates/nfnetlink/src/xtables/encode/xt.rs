//! xt matches and targets as `nf_tables`' compat expressions.

use netlink_batch::AttrWriter;

use super::{element, inet_addr};
use crate::Family;
use crate::ipset::{SetIndex, SetNames};
use crate::xtables::ask;
use crate::xtables::expr::{XT_INFO, XT_NAME, XT_REV};
#[allow(clippy::wildcard_imports, reason = "kernel constants")]
use crate::xtables::layout::*;
use crate::xtables::{
    AddrTypes, DnatTo, Match, NotOr, PortRange, Recent, RecentMode, Target, protocol,
};

/// Appends an xt match.
pub(super) fn xt_match(list: &mut AttrWriter<'_>, one: &Match, sets: Option<&SetNames>) {
    let list = &mut Xt {
        list,
        kind: "match",
    };
    match one {
        Match::Comment(text) => list.put("comment", 0, COMMENT, |info| {
            put_text(&mut info[..COMMENT], text);
        }),
        Match::Ports { protocol, src, dst } => ports(list, *protocol, *src, *dst),
        Match::Mark { not, value, mask } => list.put("mark", 1, MARK_MATCH, |info| {
            put_u32(info, 0, *value);
            put_u32(info, 4, *mask);
            info[8] = u8::from(*not);
        }),
        Match::Conntrack(states) => list.put("conntrack", 3, CONNTRACK, |info| {
            put_u16(info, CONNTRACK_FLAGS, CONNTRACK_STATE);
            put_u16(
                info,
                CONNTRACK_INVERT,
                if states.not { CONNTRACK_STATE } else { 0 },
            );
            put_u16(info, CONNTRACK_STATES, states.value.0);
        }),
        Match::AddrType { src, dst } => list.put("addrtype", 1, ADDRTYPE, |info| {
            let not_src = if src.is_some_and(|src| src.not) {
                ADDRTYPE_NOT_SRC
            } else {
                0
            };
            let not_dst = if dst.is_some_and(|dst| dst.not) {
                ADDRTYPE_NOT_DST
            } else {
                0
            };
            let bits = |types: Option<NotOr<AddrTypes>>| types.map_or(0, |types| types.value.0);
            put_u16(info, 0, bits(*src));
            put_u16(info, 2, bits(*dst));
            put_u32(info, 4, not_src | not_dst);
        }),
        Match::Random { not, probability } => list.put("statistic", 0, STATISTIC, |info| {
            put_u16(info, 2, u16::from(*not));
            put_u32(info, 4, *probability);
            // A leftover of how iptables reads its options; kept to write the same bytes.
            put_u32(info, 12, *probability);
        }),
        Match::Recent(recent) => list.put("recent", 1, RECENT, |info| put_recent(info, recent)),
        Match::Nfacct(name) => list.put("nfacct", 1, NFACCT, |info| {
            put_text(&mut info[..NFACCT_NAME_LEN], name);
        }),
        Match::Other {
            name,
            revision,
            info,
        } => list.copy(name, *revision, info),
        Match::Set { not, name, dirs } => {
            let index = sets.and_then(|sets| sets.index(name));
            let index = index.unwrap_or(SetIndex::INVALID);
            list.put("set", 4, ask::set::LEN, |info| {
                ask::set::put(info, *not, index, *dirs);
            });
        }
        Match::Physdev(physdev) => {
            list.put("physdev", 0, ask::physdev::LEN, |info| physdev.put(info));
        }
        Match::Ipvs(ipvs) => list.put("ipvs", 0, ask::ipvs::LEN, |info| ipvs.put(info)),
        Match::Native { .. } => {}
    }
}

/// Appends an xt target; verdicts are none.
pub(super) fn xt_target(list: &mut AttrWriter<'_>, family: Family, target: &Target) {
    let list = &mut Xt {
        list,
        kind: "target",
    };
    match target {
        Target::Dnat(to) => list.put("DNAT", 2, DNAT, |info| put_dnat(info, to)),
        Target::Mark { value, mask } => list.put("MARK", 2, MARK_TARGET, |info| {
            put_u32(info, 0, *value);
            put_u32(info, 4, *mask);
        }),
        Target::Masquerade {
            ports,
            random_fully,
        } => match family {
            Family::Ipv4 => list.put("MASQUERADE", 0, MASQUERADE_V4, |info| {
                put_u32(info, 0, 1);
                put_masquerade(info, MASQUERADE_RANGE_V4, *ports, *random_fully);
            }),
            Family::Ipv6 => list.put("MASQUERADE", 0, MASQUERADE_V6, |info| {
                put_masquerade(info, MASQUERADE_RANGE_V6, *ports, *random_fully);
            }),
        },
        Target::Reject(with) => list.put("REJECT", 0, REJECT, |info| put_u32(info, 0, with.0)),
        Target::Other {
            name,
            revision,
            info,
        } => list.copy(name, *revision, info),
        Target::None
        | Target::Accept
        | Target::Drop
        | Target::Return
        | Target::Jump(_)
        | Target::Goto(_) => {}
    }
}

struct Xt<'w, 'b> {
    list: &'w mut AttrWriter<'b>,
    kind: &'static str,
}

impl Xt<'_, '_> {
    fn put(&mut self, name: &str, revision: u32, len: usize, fill: impl FnOnce(&mut [u8])) {
        element(self.list, self.kind, |xt| {
            xt.str(XT_NAME, name);
            xt.u32_be(XT_REV, revision);
            xt.blob(XT_INFO, len, fill);
        });
    }

    fn copy(&mut self, name: &str, revision: u32, bytes: &[u8]) {
        self.put(name, revision, bytes.len(), |info| {
            info.copy_from_slice(bytes);
        });
    }
}

fn ports(
    list: &mut Xt<'_, '_>,
    number: u8,
    src: Option<NotOr<PortRange>>,
    dst: Option<NotOr<PortRange>>,
) {
    let inverted = inverted_ports(src, dst);
    match number {
        protocol::SCTP => list.put("sctp", 0, SCTP, |info| {
            put_ports(info, 0, dst, 0);
            put_ports(info, 4, src, 0);
            for unused in 0..4 {
                info[SCTP_CHUNK_FLAGS + 3 * unused] = 0xff;
            }
            let src_flag = if src.is_some() { SRC_PORTS } else { 0 };
            let dst_flag = if dst.is_some() { DST_PORTS } else { 0 };
            put_u32(info, SCTP_FLAGS, (src_flag | dst_flag).into());
            put_u32(info, SCTP_INVERT, inverted.into());
        }),
        protocol::TCP => list.put("tcp", 0, TCP_UDP, |info| {
            put_ports(info, 0, src, u16::MAX);
            put_ports(info, 4, dst, u16::MAX);
            info[TCP_INVERT] = inverted;
        }),
        _ => list.put("udp", 0, TCP_UDP, |info| {
            put_ports(info, 0, src, u16::MAX);
            put_ports(info, 4, dst, u16::MAX);
            info[UDP_INVERT] = inverted;
        }),
    }
}

fn inverted_ports(src: Option<NotOr<PortRange>>, dst: Option<NotOr<PortRange>>) -> u8 {
    let src = if src.is_some_and(|src| src.not) {
        SRC_PORTS
    } else {
        0
    };
    let dst = if dst.is_some_and(|dst| dst.not) {
        DST_PORTS
    } else {
        0
    };
    src | dst
}

/// Writes a port range; without one, `0:unset_last`.
fn put_ports(info: &mut [u8], at: usize, ports: Option<NotOr<PortRange>>, unset_last: u16) {
    let range = ports.map_or(
        PortRange {
            first: 0,
            last: unset_last,
        },
        |ports| ports.value,
    );
    put_u16(info, at, range.first);
    put_u16(info, at + 2, range.last);
}

fn put_recent(info: &mut [u8], recent: &Recent) {
    put_u32(info, 0, recent.seconds);
    put_u32(info, 4, recent.hits);
    let mode = match recent.mode {
        RecentMode::Rcheck => RECENT_CHECK,
        RecentMode::Set => RECENT_SET,
        RecentMode::Update => RECENT_UPDATE,
        RecentMode::Remove => RECENT_REMOVE,
    };
    info[8] = mode | if recent.reap { RECENT_REAP } else { 0 };
    info[9] = u8::from(recent.not);
    put_text(
        &mut info[RECENT_NAME..RECENT_NAME + RECENT_NAME_LEN],
        &recent.name,
    );
    info[RECENT_MASK..RECENT_MASK + 16].fill(0xff);
}

fn put_dnat(info: &mut [u8], to: &DnatTo) {
    let address = inet_addr(to.address);
    info[NAT_MIN_ADDR..NAT_MIN_ADDR + 16].copy_from_slice(&address);
    info[NAT_MAX_ADDR..NAT_MAX_ADDR + 16].copy_from_slice(&address);
    let ports = if to.port.is_some() { NAT_PORTS } else { 0 };
    put_u32(info, 0, NAT_ADDRESSES | ports);
    let port = to.port.unwrap_or(0).to_be_bytes();
    info[NAT_MIN_PORT..NAT_MIN_PORT + 2].copy_from_slice(&port);
    info[NAT_MAX_PORT..NAT_MAX_PORT + 2].copy_from_slice(&port);
}

fn put_masquerade(
    info: &mut [u8],
    range: MasqueradeRange,
    ports: Option<PortRange>,
    random_fully: bool,
) {
    let random = if random_fully { NAT_RANDOM_FULLY } else { 0 };
    let given = if ports.is_some() { NAT_PORTS } else { 0 };
    put_u32(info, range.flags, random | given);
    if let Some(PortRange { first, last }) = ports {
        for (at, port) in [(range.first, first), (range.last, last)] {
            info[at..at + 2].copy_from_slice(&port.to_be_bytes());
        }
    }
}

fn put_u16(info: &mut [u8], at: usize, value: u16) {
    info[at..at + 2].copy_from_slice(&value.to_ne_bytes());
}

fn put_u32(info: &mut [u8], at: usize, value: u32) {
    info[at..at + 4].copy_from_slice(&value.to_ne_bytes());
}

/// Copies as much of `text` as leaves room for a NUL, whole characters only.
fn put_text(field: &mut [u8], text: &str) {
    let mut len = text.len().min(field.len() - 1);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    field[..len].copy_from_slice(&text.as_bytes()[..len]);
}
