//! Names that nft has for numbers.

use std::fmt;

/// Names of numbers.
pub(super) struct Names(&'static [(u32, &'static str)]);

impl Names {
    pub(super) fn name(&self, number: u32) -> Option<&'static str> {
        let found = self.0.iter().find(|(one, _)| *one == number);
        found.map(|(_, name)| *name)
    }

    pub(super) fn number(&self, name: &str) -> Option<u32> {
        let found = self.0.iter().find(|(_, one)| *one == name);
        found.map(|(number, _)| *number)
    }

    /// True where names of bits say all of the number.
    pub(super) fn covers(&self, number: u32) -> bool {
        let all = self.0.iter().fold(0, |all, (bit, _)| all | bit);
        number != 0 && number & !all == 0
    }

    /// The names of its bits, with commas.
    pub(super) fn write_bits(&self, f: &mut fmt::Formatter<'_>, number: u32) -> fmt::Result {
        let mut begun = false;
        for (bit, name) in self.0 {
            if number & bit != 0 {
                f.write_str(if begun { "," } else { "" })?;
                f.write_str(name)?;
                begun = true;
            }
        }
        Ok(())
    }
}

/// `NF_CT_STATE_*_BIT`.
pub(super) const STATES: Names = Names(&[
    (1, "invalid"),
    (2, "established"),
    (4, "related"),
    (8, "new"),
    (64, "untracked"),
]);

/// `IPS_*`.
pub(super) const STATUS: Names = Names(&[
    (1, "expected"),
    (2, "seen-reply"),
    (4, "assured"),
    (8, "confirmed"),
    (16, "snat"),
    (32, "dnat"),
    (512, "dying"),
]);

/// `IP_CT_DIR_*`.
pub(super) const DIRECTIONS: Names = Names(&[(0, "original"), (1, "reply")]);

/// `RTN_*`.
pub(super) const ADDRESS_TYPES: Names = Names(&[
    (0, "unspec"),
    (1, "unicast"),
    (2, "local"),
    (3, "broadcast"),
    (4, "anycast"),
    (5, "multicast"),
    (6, "blackhole"),
    (7, "unreachable"),
    (8, "prohibit"),
]);

/// Protocols that `/etc/protocols` has the same name for everywhere. Others are numbers, which nft
/// reads as well.
const PROTOCOLS: Names = Names(&[
    (1, "icmp"),
    (2, "igmp"),
    (6, "tcp"),
    (17, "udp"),
    (33, "dccp"),
    (47, "gre"),
    (50, "esp"),
    (51, "ah"),
    (58, "ipv6-icmp"),
    (132, "sctp"),
    (136, "udplite"),
]);

pub(super) fn protocol_name(number: u8) -> Option<&'static str> {
    PROTOCOLS.name(number.into())
}

pub(super) fn protocol_number(name: &str) -> Option<u8> {
    match PROTOCOLS.number(name) {
        Some(number) => u8::try_from(number).ok(),
        None => name.parse().ok().filter(|_| !name.starts_with('+')),
    }
}

/// ICMP codes of `reject`; those of `ICMPv6`.
pub(super) const ICMP: Names = Names(&[
    (0, "net-unreachable"),
    (1, "host-unreachable"),
    (2, "prot-unreachable"),
    (3, "port-unreachable"),
    (9, "net-prohibited"),
    (10, "host-prohibited"),
    (13, "admin-prohibited"),
]);
pub(super) const ICMPV6: Names = Names(&[
    (0, "no-route"),
    (1, "admin-prohibited"),
    (3, "addr-unreachable"),
    (4, "port-unreachable"),
    (5, "policy-fail"),
    (6, "reject-route"),
]);
