//! Values that IPVS sends in host byte order, and its addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_batch::{Attr, AttrError};

use crate::Family;

fn sized<const N: usize>(attr: &Attr<'_>) -> Result<[u8; N], AttrError> {
    attr.payload.try_into().map_err(|_| AttrError::Size {
        kind: attr.kind,
        found: attr.payload.len(),
        expected: N,
    })
}

pub(crate) fn u16(attr: &Attr<'_>) -> Result<u16, AttrError> {
    sized(attr).map(u16::from_ne_bytes)
}

pub(crate) fn u32(attr: &Attr<'_>) -> Result<u32, AttrError> {
    sized(attr).map(u32::from_ne_bytes)
}

/// A counter of 32 or 64 bits.
pub(crate) fn counter(attr: &Attr<'_>) -> Result<u64, AttrError> {
    if attr.payload.len() == 4 {
        u32(attr).map(u64::from)
    } else {
        sized(attr).map(u64::from_ne_bytes)
    }
}

/// Bytes of `union nf_inet_addr`.
pub(crate) const ADDRESS_LEN: usize = 16;

/// `union nf_inet_addr`: IPv4 fills its first 4 bytes.
pub(crate) fn address(family: Family, attr: &Attr<'_>) -> Result<IpAddr, AttrError> {
    let bytes: [u8; ADDRESS_LEN] = sized(attr)?;
    Ok(match family {
        Family::Ipv4 => Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into(),
        Family::Ipv6 => Ipv6Addr::from(bytes).into(),
    })
}

/// The reverse of [`address`].
pub(crate) fn octets(address: &IpAddr) -> [u8; ADDRESS_LEN] {
    match address {
        IpAddr::V4(address) => {
            let mut bytes = [0; ADDRESS_LEN];
            bytes[..4].copy_from_slice(&address.octets());
            bytes
        }
        IpAddr::V6(address) => address.octets(),
    }
}
