//! Which flows a dump is about.

use std::net::IpAddr;

use netlink_batch::AttrWriter;

use super::uapi::{attr, filter, ip, proto, tuple};
use super::{Flow, protocol, status};
use crate::Family;

/// Which flows of one family and protocol are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// The IP family.
    pub family: Family,
    /// The IP protocol's number, see [`protocol`].
    pub protocol: u8,
    /// The original destination's address, which must be of the family; `None` for any.
    pub address: Option<IpAddr>,
    /// The original destination's port; `None` for any.
    pub port: Option<u16>,
    /// Only flows whose destination is translated.
    pub dnat_only: bool,
    /// Only flows of which no packet was answered.
    pub unreplied_only: bool,
}

impl Filter {
    /// All flows of a family and protocol.
    pub const fn new(family: Family, protocol: u8) -> Self {
        Self {
            family,
            protocol,
            address: None,
            port: None,
            dnat_only: false,
            unreplied_only: false,
        }
    }

    /// All UDP flows of a family.
    pub const fn udp(family: Family) -> Self {
        Self::new(family, protocol::UDP)
    }

    /// All TCP flows of a family of which no packet was answered.
    pub const fn unreplied_tcp(family: Family) -> Self {
        Self::new(family, protocol::TCP).only_unreplied()
    }

    /// Of these, only flows to this original destination.
    #[must_use]
    pub const fn to_address(self, address: IpAddr) -> Self {
        Self {
            address: Some(address),
            ..self
        }
    }

    /// Of these, only flows to this port of the original destination.
    #[must_use]
    pub const fn to_port(self, port: u16) -> Self {
        Self {
            port: Some(port),
            ..self
        }
    }

    /// Of these, only flows whose destination is translated.
    #[must_use]
    pub const fn only_dnat(self) -> Self {
        Self {
            dnat_only: true,
            ..self
        }
    }

    /// Of these, only flows of which no packet was answered.
    #[must_use]
    pub const fn only_unreplied(self) -> Self {
        Self {
            unreplied_only: true,
            ..self
        }
    }

    /// True where the flow is meant.
    pub fn matches(&self, flow: &Flow) -> bool {
        let destination = flow.original.destination;
        flow.family == self.family
            && flow.protocol == self.protocol
            && self.address.is_none_or(|ip| ip == destination.ip())
            && self.port.is_none_or(|port| port == destination.port())
            && (!self.dnat_only || flow.is_dnat())
            && (!self.unreplied_only || flow.status & status::SEEN_REPLY == 0)
    }

    /// What of it the kernel can be told, which [`super::dump`] does. Linux compares IPv6 addresses
    /// of filters the wrong way round (`ctnetlink_filter_match_tuple`, 5.8 to 6.18 at least): it
    /// would leave out just the flows that are meant.
    #[must_use]
    pub fn for_kernel(&self) -> Self {
        Self {
            address: self.address.filter(IpAddr::is_ipv4),
            ..*self
        }
    }

    /// Appends what the kernel can filter by. What counts of the tuple is told in host byte order.
    pub(super) fn encode(&self, attrs: &mut AttrWriter<'_>) {
        let mut counts = filter::PROTO_NUMBER;
        attrs.nest(attr::ORIGINAL, |original| {
            if let Some(IpAddr::V4(address)) = self.address {
                counts |= filter::IP_DST;
                original.nest(tuple::IP, |ip| {
                    ip.bytes(ip::V4_SRC, &[0; 4]);
                    ip.bytes(ip::V4_DST, &address.octets());
                });
            }
            original.nest(tuple::PROTO, |proto| {
                proto.u8(proto::NUMBER, self.protocol);
                if let Some(port) = self.port {
                    counts |= filter::PROTO_DST_PORT;
                    proto.u16_be(proto::DST_PORT, port);
                }
            });
        });
        attrs.nest(attr::FILTER, |flags| {
            flags.u32_ne(filter::ORIGINAL_FLAGS, counts);
        });
        let bit = |counts, bit| if counts { bit } else { 0 };
        let set = bit(self.dnat_only, status::DST_NAT);
        let clear = bit(self.unreplied_only, status::SEEN_REPLY);
        // A mask without a bit is EINVAL.
        if set | clear != 0 {
            attrs.u32_be(attr::STATUS, set);
            attrs.u32_be(attr::STATUS_MASK, set | clear);
        }
    }
}
