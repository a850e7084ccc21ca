//! What translates addresses and ports.

use netlink_batch::{AttrWriter, Attrs};

use super::Found;
use super::codec::{Unlike, put_register};
use crate::Family;
use crate::nftables::native::Register;

/// `NFTA_NAT_*`.
const KIND: u16 = 1;
const FAMILY: u16 = 2;
const ADDRESS_LOW: u16 = 3;
const ADDRESS_HIGH: u16 = 4;
const PORT_LOW: u16 = 5;
const PORT_HIGH: u16 = 6;
const NAT_FLAGS: u16 = 7;
/// `NFTA_MASQ_*`.
const MASQUERADE_FLAGS: u16 = 1;
const MASQUERADE_LOW: u16 = 2;
const MASQUERADE_HIGH: u16 = 3;
/// `NFTA_REDIR_*`.
const REDIRECT_LOW: u16 = 1;
const REDIRECT_HIGH: u16 = 2;
const REDIRECT_FLAGS: u16 = 3;

/// Which address is translated (`NFT_NAT_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum NatKind {
    /// The source.
    Source = 0,
    /// The destination.
    Destination = 1,
}

/// How an address and a port are chosen (`NF_NAT_RANGE_*`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NatFlags(pub(in super::super) u32);

impl NatFlags {
    /// Ports are chosen by a random start (`random`).
    pub const RANDOM: Self = Self(4);
    /// A client gets the same address each time (`persistent`).
    pub const PERSISTENT: Self = Self(8);
    /// Ports are chosen at random (`fully-random`).
    pub const FULLY_RANDOM: Self = Self(16);
    /// Addresses are given (`NF_NAT_RANGE_MAP_IPS`).
    pub(in super::super) const ADDRESSES: Self = Self(1);
    /// Ports are given (`NF_NAT_RANGE_PROTO_SPECIFIED`).
    pub(in super::super) const PORTS: Self = Self(2);

    /// Both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that are not in `other`.
    pub(in super::super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// True where all of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// `nat`: translates to what registers hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NatExpression {
    /// Which address.
    pub kind: NatKind,
    /// The family of the address.
    pub family: Family,
    /// The lowest address, or the only one.
    pub address: Option<Register>,
    /// The highest address of a range.
    pub address_high: Option<Register>,
    /// The lowest port, or the only one.
    pub port: Option<Register>,
    /// The highest port of a range.
    pub port_high: Option<Register>,
    /// How they are chosen, with what the kernel knows by itself (that there is a range of
    /// addresses or of ports) left out.
    pub flags: NatFlags,
}

/// `masq` and `redir`: translate to an interface's address and to ports that registers hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortExpression {
    /// The lowest port, or the only one.
    pub port: Option<Register>,
    /// The highest port of a range.
    pub port_high: Option<Register>,
    /// How they are chosen.
    pub flags: NatFlags,
}

fn put_flags(data: &mut AttrWriter<'_>, kind: u16, flags: NatFlags) {
    if flags != NatFlags::default() {
        data.u32_be(kind, flags.0);
    }
}

fn put_registers(data: &mut AttrWriter<'_>, registers: &[(u16, Option<Register>)]) {
    for (kind, register) in registers {
        if let Some(register) = register {
            put_register(data, *kind, *register);
        }
    }
}

/// The highest of a range; the kernel tells the lowest again where there is no range.
fn high(found: &Found<'_>, low: Option<Register>, kind: u16) -> Result<Option<Register>, Unlike> {
    let high = found.optional(kind, Found::register)?;
    Ok(high.filter(|high| low != Some(*high)))
}

impl NatExpression {
    pub(super) fn put(&self, data: &mut AttrWriter<'_>) {
        data.u32_be(KIND, self.kind as u32);
        data.u32_be(FAMILY, self.family.number().into());
        put_registers(
            data,
            &[
                (ADDRESS_LOW, self.address),
                (ADDRESS_HIGH, self.address_high),
                (PORT_LOW, self.port),
                (PORT_HIGH, self.port_high),
            ],
        );
        // The kernel knows by itself that there are ports, here and not with `masq`.
        put_flags(data, NAT_FLAGS, self.flags);
    }

    pub(super) fn read(attrs: Attrs<'_>) -> Option<Self> {
        let found = Found::read(attrs, NAT_FLAGS, None)?;
        let address = found.optional(ADDRESS_LOW, Found::register).ok()?;
        let port = found.optional(PORT_LOW, Found::register).ok()?;
        let implied = NatFlags::ADDRESSES.with(NatFlags::PORTS);
        Some(Self {
            kind: match found.u32(KIND)? {
                0 => NatKind::Source,
                1 => NatKind::Destination,
                _ => return None,
            },
            family: Family::from_number(u8::try_from(found.u32(FAMILY)?).ok()?)?,
            address,
            address_high: high(&found, address, ADDRESS_HIGH).ok()?,
            port,
            port_high: high(&found, port, PORT_HIGH).ok()?,
            flags: NatFlags(found.u32_or_0(NAT_FLAGS)?).without(implied),
        })
    }
}

impl PortExpression {
    const fn all_flags(self) -> NatFlags {
        match self.port {
            Some(_) => self.flags.with(NatFlags::PORTS),
            None => self.flags,
        }
    }

    pub(super) fn put_masquerade(self, data: &mut AttrWriter<'_>) {
        put_flags(data, MASQUERADE_FLAGS, self.all_flags());
        let ports = [
            (MASQUERADE_LOW, self.port),
            (MASQUERADE_HIGH, self.port_high),
        ];
        put_registers(data, &ports);
    }

    pub(super) fn put_redirect(self, data: &mut AttrWriter<'_>) {
        put_registers(
            data,
            &[(REDIRECT_LOW, self.port), (REDIRECT_HIGH, self.port_high)],
        );
        put_flags(data, REDIRECT_FLAGS, self.all_flags());
    }

    pub(super) fn masquerade(attrs: Attrs<'_>) -> Option<Self> {
        let found = Found::read(attrs, MASQUERADE_HIGH, None)?;
        Self::read(&found, MASQUERADE_LOW, MASQUERADE_HIGH, MASQUERADE_FLAGS)
    }

    pub(super) fn redirect(attrs: Attrs<'_>) -> Option<Self> {
        let found = Found::read(attrs, REDIRECT_FLAGS, None)?;
        Self::read(&found, REDIRECT_LOW, REDIRECT_HIGH, REDIRECT_FLAGS)
    }

    fn read(found: &Found<'_>, lowest: u16, highest: u16, flags: u16) -> Option<Self> {
        let port = found.optional(lowest, Found::register).ok()?;
        Some(Self {
            port,
            port_high: high(found, port, highest).ok()?,
            flags: NatFlags(found.u32_or_0(flags)?).without(NatFlags::PORTS),
        })
    }
}
