//! Rules as `nf_tables` expressions, in the form that every iptables-nft prints right.
//!
//! Addresses and the protocol are native expressions, everything else is an xt match or target.
//! Later iptables-nft versions write ports and marks as native expressions, which 1.8.7 prints
//! wrongly; the form here is shown alike by 1.8.7 to 1.8.13 and costs a packet less, because the
//! destination is looked at first.

mod xt;

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_batch::AttrWriter;
use netlink_batch::attr::NESTED;

#[allow(clippy::wildcard_imports, reason = "kernel constants")]
use super::expr::*;
use super::{Interface, Match, NotOr, Rule, Target};
use crate::Family;
use crate::ipset::SetNames;

/// How [`Rule::encode_with`] writes.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct EncodeOptions<'s> {
    /// True to count packets and bytes per rule, as iptables does; takes 16 bytes per CPU and rule.
    pub counters: bool,
    /// The numbers of the sets that rules match on; [`SetNames::require`] says whether all of a
    /// rule's are known.
    pub sets: Option<&'s SetNames>,
}

impl Default for EncodeOptions<'_> {
    fn default() -> Self {
        Self {
            counters: true,
            sets: None,
        }
    }
}

impl<'s> EncodeOptions<'s> {
    /// The same with or without counters.
    #[must_use]
    pub const fn with_counters(self, counters: bool) -> Self {
        Self { counters, ..self }
    }

    /// The same with the numbers of sets.
    #[must_use]
    pub const fn with_sets(self, sets: &'s SetNames) -> Self {
        Self {
            sets: Some(sets),
            ..self
        }
    }
}

impl Rule {
    /// Appends the rule's `NFTA_RULE_EXPRESSIONS` and, where a protocol is set,
    /// `NFTA_RULE_COMPAT`, with counters.
    pub fn encode(&self, attrs: &mut AttrWriter<'_>) {
        self.encode_with(attrs, EncodeOptions::default());
    }

    /// As [`Rule::encode`], with a choice of what to write.
    ///
    /// Texts longer than the kernel's fields are cut (comments at 255 bytes, `recent` names at
    /// 199, nfacct names at 31). A set that `options.sets` does not know becomes one that does not
    /// exist: the kernel refuses the rule with ENOENT.
    pub fn encode_with(&self, attrs: &mut AttrWriter<'_>, options: EncodeOptions<'_>) {
        attrs.nest(RULE_EXPRESSIONS, |list| {
            interface(list, META_IIFNAME, self.in_interface.as_ref());
            interface(list, META_OIFNAME, self.out_interface.as_ref());
            address(list, address_offset(self.family, true), self.dst);
            address(list, address_offset(self.family, false), self.src);
            if let Some(protocol) = self.protocol {
                match self.family {
                    Family::Ipv4 => payload(list, IPV4_PROTOCOL, 1),
                    Family::Ipv6 => meta(list, META_L4PROTO),
                }
                compare(list, protocol.not, &[protocol.value]);
            }
            for one in &self.matches {
                match one {
                    Match::Native { name, data } => native(list, name, data),
                    one => xt::xt_match(list, one, options.sets),
                }
            }
            if options.counters {
                element(list, "counter", |_| {});
            }
            target(list, self.family, &self.target);
        });
        // Read only while the rule is parsed: xt matches of ports and DNAT check it.
        if let Some(protocol) = self.protocol {
            attrs.nest(RULE_COMPAT, |compat| {
                compat.u32_be(COMPAT_PROTO, protocol.value.into());
                compat.u32_be(COMPAT_FLAGS, if protocol.not { COMPAT_INVERTED } else { 0 });
            });
        }
    }
}

/// Appends one expression to a rule's list.
pub(super) fn element(
    list: &mut AttrWriter<'_>,
    name: &str,
    fill: impl FnOnce(&mut AttrWriter<'_>),
) {
    list.nest(LIST_ELEM, |element| {
        element.str(EXPR_NAME, name);
        element.nest(EXPR_DATA, fill);
    });
}

fn native(list: &mut AttrWriter<'_>, name: &str, data: &[u8]) {
    list.nest(LIST_ELEM, |element| {
        element.str(EXPR_NAME, name);
        element.bytes(EXPR_DATA | NESTED, data);
    });
}

fn meta(list: &mut AttrWriter<'_>, key: u32) {
    element(list, "meta", |meta| {
        meta.u32_be(META_KEY, key);
        meta.u32_be(META_DREG, REG_1);
    });
}

/// Loads bytes of the network header.
fn payload(list: &mut AttrWriter<'_>, offset: u32, len: u32) {
    element(list, "payload", |payload| {
        payload.u32_be(PAYLOAD_DREG, REG_1);
        payload.u32_be(PAYLOAD_BASE, BASE_NETWORK);
        payload.u32_be(PAYLOAD_OFFSET, offset);
        payload.u32_be(PAYLOAD_LEN, len);
    });
}

fn compare(list: &mut AttrWriter<'_>, not: bool, value: &[u8]) {
    element(list, "cmp", |cmp| {
        cmp.u32_be(CMP_SREG, REG_1);
        cmp.u32_be(CMP_OP, if not { NEQ } else { EQ });
        cmp.nest(CMP_DATA, |data| data.bytes(DATA_VALUE, value));
    });
}

fn mask(list: &mut AttrWriter<'_>, len: u32, mask: &[u8]) {
    let zeros = [0; 16];
    element(list, "bitwise", |bitwise| {
        bitwise.u32_be(BITWISE_SREG, REG_1);
        bitwise.u32_be(BITWISE_DREG, REG_1);
        bitwise.u32_be(BITWISE_LEN, len);
        bitwise.nest(BITWISE_MASK, |data| data.bytes(DATA_VALUE, mask));
        bitwise.nest(BITWISE_XOR, |data| {
            data.bytes(DATA_VALUE, &zeros[..mask.len()]);
        });
    });
}

fn interface(list: &mut AttrWriter<'_>, key: u32, condition: Option<&NotOr<Interface>>) {
    let Some(NotOr {
        not,
        value: Interface { name, wildcard },
    }) = condition
    else {
        return;
    };
    if name.is_empty() && *wildcard {
        // Every name begins with nothing, so only the inverted condition says something.
        if *not {
            meta(list, key);
            compare(list, false, NO_INTERFACE);
        }
        return;
    }
    meta(list, key);
    // The register is 16 bytes, filled up with NULs: with its NUL a name is compared as a whole.
    let mut value = [0; 16];
    let len = name.len().min(15);
    value[..len].copy_from_slice(&name.as_bytes()[..len]);
    compare(list, *not, &value[..len + usize::from(!wildcard)]);
}

fn address(list: &mut AttrWriter<'_>, offset: u32, condition: Option<NotOr<IpNet>>) {
    match condition {
        None => {}
        Some(NotOr {
            not,
            value: IpNet::V4(net),
        }) => prefix(
            list,
            offset,
            not,
            &net.network().octets(),
            &net.netmask().octets(),
            net.prefix_len(),
        ),
        Some(NotOr {
            not,
            value: IpNet::V6(net),
        }) => prefix(
            list,
            offset,
            not,
            &net.network().octets(),
            &net.netmask().octets(),
            net.prefix_len(),
        ),
    }
}

fn prefix(
    list: &mut AttrWriter<'_>,
    offset: u32,
    not: bool,
    network: &[u8],
    netmask: &[u8],
    prefix_len: u8,
) {
    if prefix_len == 0 {
        return;
    }
    if prefix_len.is_multiple_of(8) {
        let len = prefix_len / 8;
        payload(list, offset, len.into());
        compare(list, not, &network[..len.into()]);
    } else {
        let len = if network.len() == 4 { 4 } else { 16 };
        payload(list, offset, len);
        mask(list, len, netmask);
        compare(list, not, network);
    }
}

fn target(list: &mut AttrWriter<'_>, family: Family, target: &Target) {
    match target {
        Target::None => {}
        Target::Accept => verdict(list, ACCEPT, None),
        Target::Drop => verdict(list, DROP, None),
        Target::Return => verdict(list, RETURN, None),
        Target::Jump(chain) => verdict(list, JUMP, Some(chain)),
        Target::Goto(chain) => verdict(list, GOTO, Some(chain)),
        other => xt::xt_target(list, family, other),
    }
}

fn verdict(list: &mut AttrWriter<'_>, code: i32, chain: Option<&str>) {
    element(list, "immediate", |immediate| {
        immediate.u32_be(IMMEDIATE_DREG, REG_VERDICT);
        immediate.nest(IMMEDIATE_DATA, |data| {
            data.nest(DATA_VERDICT, |verdict| {
                verdict.bytes(VERDICT_CODE, &code.to_be_bytes());
                if let Some(chain) = chain {
                    verdict.str(VERDICT_CHAIN, chain);
                }
            });
        });
    });
}

/// An address in the 16 bytes of `union nf_inet_addr`.
pub(super) fn inet_addr(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v4.octets());
            bytes
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}
