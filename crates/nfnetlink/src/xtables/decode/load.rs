//! Native expressions that load a register and compare it, as conditions of a rule.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netlink_batch::AttrError;

use super::{by_type, number};
use crate::Family;
#[allow(clippy::wildcard_imports, reason = "kernel constants")]
use crate::xtables::expr::*;
use crate::xtables::{Interface, Match, NotOr, PortRange};

/// A condition that native expressions state.
pub(super) enum Condition {
    Source(NotOr<IpNet>),
    Destination(NotOr<IpNet>),
    InInterface(NotOr<Interface>),
    OutInterface(NotOr<Interface>),
    Protocol(NotOr<u8>),
    Mark(Match),
    Ports {
        src: Option<NotOr<PortRange>>,
        dst: Option<NotOr<PortRange>>,
    },
}

#[derive(Clone, Copy)]
enum Source {
    Meta { key: u32 },
    Payload { base: u32, offset: u32, len: u32 },
}

/// What a register was loaded with.
#[derive(Clone, Copy)]
pub(super) struct Load<'a> {
    register: u32,
    source: Source,
    mask: Option<&'a [u8]>,
}

impl<'a> Load<'a> {
    /// Reads a `meta` or `payload` expression. `None` where it writes the packet in place of a
    /// register.
    pub(super) fn begin(name: &[u8], data: &[u8]) -> Result<Option<Self>, AttrError> {
        if name == b"meta" {
            let [_, register, key] = by_type(data)?;
            Ok(load(
                number(register),
                number(key).map(|key| Source::Meta { key }),
            ))
        } else {
            let [_, register, base, offset, len] = by_type(data)?;
            let source = match (number(base), number(offset), number(len)) {
                (Some(base), Some(offset), Some(len)) => {
                    Some(Source::Payload { base, offset, len })
                }
                _ => None,
            };
            Ok(load(number(register), source))
        }
    }

    /// Reads a `bitwise` expression that masks this load in its register.
    pub(super) fn masked(self, data: &'a [u8]) -> Result<Option<Self>, AttrError> {
        // Behind XOR comes NFTA_BITWISE_OP; 0 or missing is mask-and-xor, others are shifts.
        let [_, from, to, _, mask, xor, op] = by_type(data)?;
        let [_, mask] = by_type(mask)?;
        let [_, xor] = by_type(xor)?;
        let plain = self.mask.is_none()
            && number(from) == Some(self.register)
            && number(to) == Some(self.register)
            && (op.is_empty() || number(op) == Some(0))
            && !mask.is_empty()
            && xor.iter().all(|byte| *byte == 0);
        Ok(plain.then_some(Self {
            mask: Some(mask),
            ..self
        }))
    }

    /// True for the name of an interface as it is.
    pub(super) fn is_interface(self) -> bool {
        self.mask.is_none()
            && matches!(
                self.source,
                Source::Meta {
                    key: META_IIFNAME | META_OIFNAME
                }
            )
    }

    /// Reads a `cmp` or `range` expression on this load.
    pub(super) fn compared(
        self,
        family: Family,
        name: &[u8],
        data: &[u8],
    ) -> Result<Option<Condition>, AttrError> {
        let [_, register, op, first, last] = by_type(data)?;
        let [_, first] = by_type(first)?;
        let [_, last] = by_type(last)?;
        let Some(op) = number(op) else {
            return Ok(None);
        };
        if number(register) != Some(self.register) {
            return Ok(None);
        }
        Ok(match self.source {
            Source::Payload {
                base: BASE_TRANSPORT,
                offset,
                len,
            } if self.mask.is_none() => {
                let last = (name == b"range").then_some(last);
                ports(offset, len, op, first, last)
            }
            _ if name == b"range" || op > NEQ => None,
            Source::Meta { key } => self.meta(key, op == NEQ, first),
            Source::Payload {
                base: BASE_NETWORK,
                offset,
                len,
            } => self.network(family, offset, len, op == NEQ, first),
            Source::Payload { .. } => None,
        })
    }

    fn meta(self, key: u32, not: bool, value: &[u8]) -> Option<Condition> {
        if key == META_MARK {
            let value = u32::from_ne_bytes(value.try_into().ok()?);
            let mask = match self.mask {
                Some(mask) => u32::from_ne_bytes(mask.try_into().ok()?),
                None => u32::MAX,
            };
            return Some(Condition::Mark(Match::Mark { not, value, mask }));
        }
        if self.mask.is_some() {
            return None;
        }
        match key {
            META_L4PROTO => protocol(not, value),
            META_IIFNAME => interface(not, value).map(Condition::InInterface),
            META_OIFNAME => interface(not, value).map(Condition::OutInterface),
            _ => None,
        }
    }

    fn network(
        self,
        family: Family,
        offset: u32,
        len: u32,
        not: bool,
        value: &[u8],
    ) -> Option<Condition> {
        if usize::try_from(len) != Ok(value.len()) {
            return None;
        }
        if family == Family::Ipv4 && offset == IPV4_PROTOCOL && self.mask.is_none() {
            return protocol(not, value);
        }
        let net = match family {
            Family::Ipv4 => IpNet::V4(ipv4_net(value, self.mask)?),
            Family::Ipv6 => IpNet::V6(ipv6_net(value, self.mask)?),
        };
        let condition = NotOr { not, value: net };
        if offset == address_offset(family, false) {
            Some(Condition::Source(condition))
        } else if offset == address_offset(family, true) {
            Some(Condition::Destination(condition))
        } else {
            None
        }
    }
}

/// Reads a `range` with its `last` value or a `cmp` without one.
fn ports(offset: u32, len: u32, op: u32, first: &[u8], last: Option<&[u8]>) -> Option<Condition> {
    if let (0, 4, EQ, &[s0, s1, d0, d1], None) = (offset, len, op, first, last) {
        // Both ports in one comparison.
        let one = |port| PortRange::one(u16::from_be_bytes(port)).condition(false);
        return Some(Condition::Ports {
            src: one([s0, s1]),
            dst: one([d0, d1]),
        });
    }
    let port = |bytes: &[u8]| bytes.try_into().ok().map(u16::from_be_bytes);
    let first = port(first)?;
    let (not, first, last) = match (op, last) {
        (EQ | NEQ, Some(last)) => (op == NEQ, first, port(last)?),
        (EQ | NEQ, None) => (op == NEQ, first, first),
        (LTE, None) => (false, 0, first),
        // iptables writes `! 0:9` like this, and shows it as `10:65535` from then on.
        (GT, None) => (false, first.checked_add(1)?, u16::MAX),
        (GTE, None) => (false, first, u16::MAX),
        (LT, None) => (false, 0, first.checked_sub(1)?),
        _ => return None,
    };
    let ports = PortRange { first, last }.condition(not);
    match (offset, len) {
        (0, 2) => Some(Condition::Ports {
            src: ports,
            dst: None,
        }),
        (2, 2) => Some(Condition::Ports {
            src: None,
            dst: ports,
        }),
        _ => None,
    }
}

fn load<'a>(register: Option<u32>, source: Option<Source>) -> Option<Load<'a>> {
    Some(Load {
        register: register?,
        source: source?,
        mask: None,
    })
}

fn protocol(not: bool, value: &[u8]) -> Option<Condition> {
    match *value {
        // Protocol 0 (IPv6 hop-by-hop) has no text: `-p 0` is every protocol.
        [value] if value != 0 => Some(Condition::Protocol(NotOr { not, value })),
        _ => None,
    }
}

/// A name with its NUL is the whole name, one without is the beginning of it.
fn interface(not: bool, value: &[u8]) -> Option<NotOr<Interface>> {
    if !not && value == NO_INTERFACE {
        return Some(NotOr::not(Interface {
            name: String::new(),
            wildcard: true,
        }));
    }
    let end = value.iter().position(|byte| *byte == 0);
    let (name, rest) = value.split_at_checked(end.unwrap_or(value.len()))?;
    if name.is_empty() || name.len() > 15 || rest.iter().any(|byte| *byte != 0) {
        return None;
    }
    let name = std::str::from_utf8(name).ok()?.to_owned();
    Some(NotOr {
        not,
        value: Interface {
            name,
            wildcard: end.is_none(),
        },
    })
}

/// The prefix of `len` bytes that a load of that many bytes, perhaps masked, is compared with.
/// `None` for masks that are no prefix and for values that the mask can never leave.
fn prefix<const N: usize>(value: &[u8], mask: Option<&[u8]>) -> Option<([u8; N], u8)> {
    let mut bytes = [0; N];
    bytes.get_mut(..value.len())?.copy_from_slice(value);
    let len = match mask {
        None => value.len() * 8,
        Some(mask) if mask.len() == value.len() => {
            let ones: usize = mask.iter().map(|byte| byte.leading_ones() as usize).sum();
            let set: usize = mask.iter().map(|byte| byte.count_ones() as usize).sum();
            let first_gap = mask
                .iter()
                .position(|byte| *byte != 0xff)
                .unwrap_or(mask.len());
            let contiguous = ones == set && mask.iter().skip(first_gap + 1).all(|byte| *byte == 0);
            let reachable = value
                .iter()
                .zip(mask)
                .all(|(value, mask)| value & !mask == 0);
            if !contiguous || !reachable {
                return None;
            }
            ones
        }
        Some(_) => return None,
    };
    // A prefix of no length lets everything pass; with `!` nothing. Neither is a prefix.
    (len > 0).then_some(())?;
    Some((bytes, u8::try_from(len).ok()?))
}

fn ipv4_net(value: &[u8], mask: Option<&[u8]>) -> Option<Ipv4Net> {
    let (bytes, len) = prefix::<4>(value, mask)?;
    Ipv4Net::new(Ipv4Addr::from(bytes), len).ok()
}

fn ipv6_net(value: &[u8], mask: Option<&[u8]>) -> Option<Ipv6Net> {
    let (bytes, len) = prefix::<16>(value, mask)?;
    Ipv6Net::new(Ipv6Addr::from(bytes), len).ok()
}
