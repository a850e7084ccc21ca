//! Types of values, as nft knows them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Value;
use super::names;

/// The type of a field of a key or of a map's value.
///
/// The kernel keeps these numbers and does not look at them; nft reads and prints values by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DataType {
    /// `ipv4_addr`.
    Ipv4Addr,
    /// `ipv6_addr`.
    Ipv6Addr,
    /// `inet_proto`: the number of a transport protocol.
    InetProto,
    /// `inet_service`: a port.
    InetService,
    /// `mark`.
    Mark,
    /// `classid`: a packet's priority.
    ClassId,
    /// `ifname`: the name of an interface.
    IfName,
    /// 32 bits in host byte order, as `numgen` draws and `jhash` makes them. Only `typeof` says so.
    Integer,
    /// The states of connections. For comparing; not in sets.
    CtState,
    /// The direction in a connection. For comparing; not in sets.
    CtDirection,
    /// The status of connections. For comparing; not in sets.
    CtStatus,
    /// The type of an address as routing has it. For comparing; not in sets.
    FibType,
}

/// `BYTEORDER_*` of nft: in what order numbers of a type are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    None = 0,
    Host = 1,
    Network = 2,
}

impl DataType {
    const ALL: [Self; 12] = [
        Self::Ipv4Addr,
        Self::Ipv6Addr,
        Self::InetProto,
        Self::InetService,
        Self::Mark,
        Self::ClassId,
        Self::IfName,
        Self::Integer,
        Self::CtState,
        Self::CtDirection,
        Self::CtStatus,
        Self::FibType,
    ];

    /// The number that nft writes into `NFTA_SET_KEY_TYPE`.
    pub(super) const fn number(self) -> u32 {
        match self {
            Self::Integer => 4,
            Self::Ipv4Addr => 7,
            Self::Ipv6Addr => 8,
            Self::InetProto => 12,
            Self::InetService => 13,
            Self::Mark => 19,
            Self::ClassId => 23,
            Self::CtState => 26,
            Self::CtDirection => 27,
            Self::CtStatus => 28,
            Self::FibType => 38,
            Self::IfName => 41,
        }
    }

    pub(super) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.number() == number)
    }

    /// The name behind `type`; `None` for one that only `typeof` says.
    pub(super) const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Ipv4Addr => "ipv4_addr",
            Self::Ipv6Addr => "ipv6_addr",
            Self::InetProto => "inet_proto",
            Self::InetService => "inet_service",
            Self::Mark => "mark",
            Self::ClassId => "classid",
            Self::IfName => "ifname",
            Self::Integer => return None,
            Self::CtState => "ct_state",
            Self::CtDirection => "ct_dir",
            Self::CtStatus => "ct_status",
            Self::FibType => "fib_addrtype",
        })
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == Some(name))
    }

    /// Bytes of a value.
    pub(super) const fn len(self) -> usize {
        match self {
            Self::Ipv6Addr | Self::IfName => 16,
            Self::InetService => 2,
            Self::InetProto | Self::CtDirection => 1,
            _ => 4,
        }
    }

    pub(super) const fn order(self) -> Order {
        match self {
            Self::Ipv4Addr | Self::Ipv6Addr | Self::InetService => Order::Network,
            Self::InetProto | Self::CtDirection => Order::None,
            _ => Order::Host,
        }
    }

    /// Values of a set of this type that nft prints in one line.
    pub(super) const fn per_line(self) -> usize {
        match self {
            Self::Ipv4Addr => 2,
            Self::InetProto | Self::InetService | Self::Mark | Self::ClassId | Self::Integer => 5,
            _ => 1,
        }
    }

    /// A value of this type as nft prints it.
    pub(super) const fn text(self, value: &[u8]) -> Text<'_> {
        Text { kind: self, value }
    }

    /// A value of this type from what nft prints; `Err` says what is expected.
    pub(super) fn parse(self, text: &str) -> Result<Value, &'static str> {
        match self {
            Self::Ipv4Addr => match text.parse::<Ipv4Addr>() {
                Ok(address) => Ok(address.into()),
                Err(_) => Err("expected an IPv4 address"),
            },
            Self::Ipv6Addr => match text.parse::<Ipv6Addr>() {
                Ok(address) => Ok(address.into()),
                Err(_) => Err("expected an IPv6 address"),
            },
            Self::InetProto => names::protocol_number(text)
                .map(Value::from)
                .ok_or("expected a protocol's name or number"),
            Self::InetService => match text.parse::<u16>() {
                Ok(port) => Ok(port.into()),
                Err(_) => Err("expected a port's number"),
            },
            Self::ClassId => class_id(text)
                .map(Value::from)
                .ok_or("expected a class, such as none, 1:2 or 8000:1"),
            Self::IfName => interface(text).ok_or("expected an interface's name of 1 to 15 bytes"),
            Self::Mark | Self::Integer => number(text)
                .map(Value::from)
                .ok_or("expected a number of 32 bits"),
            Self::CtDirection => names::DIRECTIONS
                .number(text)
                .and_then(|number| u8::try_from(number).ok())
                .map(Value::from)
                .ok_or("expected original or reply"),
            Self::CtState => bits(&names::STATES, text),
            Self::CtStatus => bits(&names::STATUS, text),
            Self::FibType => names::ADDRESS_TYPES
                .number(text)
                .map(Value::from)
                .ok_or("expected an address type, such as local"),
        }
    }
}

/// Names of bits with commas between them.
fn bits(names: &names::Names, text: &str) -> Result<Value, &'static str> {
    text.split(',')
        .try_fold(0, |all, name| Some(all | names.number(name)?))
        .map(Value::from)
        .ok_or("expected names of states")
}

/// A number in decimal, or in hexadecimal behind `0x`.
pub(super) fn number(text: &str) -> Option<u32> {
    let plain = |digits: &str| !digits.starts_with('+');
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok().filter(|_| plain(hex)),
        None => text.parse().ok().filter(|_| plain(text)),
    }
}

/// The two classes that have names.
const NONE: u32 = 0;
const ROOT: u32 = u32::MAX;

fn class_id(text: &str) -> Option<u32> {
    let part = |text: &str| match text {
        "" => Some(0),
        _ if text.starts_with('+') => None,
        _ => u16::from_str_radix(text, 16).ok(),
    };
    match text {
        "none" => Some(NONE),
        "root" => Some(ROOT),
        _ => {
            let (major, minor) = text.split_once(':')?;
            Some(u32::from(part(major)?) << 16 | u32::from(part(minor)?))
        }
    }
}

fn interface(text: &str) -> Option<Value> {
    if text.is_empty() || text.len() > 15 || text.contains('\0') {
        return None;
    }
    let mut name = [0; 16];
    name.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
    // One that is printed so.
    interface_name(&name)?;
    Some(Value::new(&name))
}

/// A value with its type.
#[derive(Clone, Copy)]
pub(super) struct Text<'v> {
    kind: DataType,
    value: &'v [u8],
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.value.try_into().ok().map(u32::from_ne_bytes);
        let byte = match self.value {
            [byte] => Some(*byte),
            _ => None,
        };
        // What has no words is none of these.
        let written = match self.kind {
            DataType::Ipv4Addr | DataType::Ipv6Addr => {
                ip_address(self.value).map(|found| address(f, found))
            }
            DataType::InetProto => byte.map(|number| match names::protocol_name(number) {
                Some(name) => f.write_str(name),
                None => write!(f, "{number}"),
            }),
            DataType::InetService => {
                let port = self.value.try_into().ok().map(u16::from_be_bytes);
                port.map(|port| write!(f, "{port}"))
            }
            DataType::Mark => number.map(|number| write!(f, "{number:#010x}")),
            DataType::Integer => number.map(|number| write!(f, "{number}")),
            DataType::ClassId => number.map(|number| match number {
                NONE => f.write_str("none"),
                ROOT => f.write_str("root"),
                _ => write!(f, "{:x}:{:x}", number >> 16, number & 0xffff),
            }),
            DataType::IfName => interface_name(self.value).map(|name| write!(f, "\"{name}\"")),
            DataType::CtDirection => {
                let name = byte.and_then(|number| names::DIRECTIONS.name(number.into()));
                name.map(|name| f.write_str(name))
            }
            DataType::CtState => number
                .filter(|number| names::STATES.covers(*number))
                .map(|number| names::STATES.write_bits(f, number)),
            DataType::CtStatus => number
                .filter(|number| names::STATUS.covers(*number))
                .map(|number| names::STATUS.write_bits(f, number)),
            DataType::FibType => {
                let name = number.and_then(|number| names::ADDRESS_TYPES.name(number));
                name.map(|name| f.write_str(name))
            }
        };
        written.unwrap_or_else(|| {
            f.write_str("0x")?;
            self.value
                .iter()
                .try_for_each(|byte| write!(f, "{byte:02x}"))
        })
    }
}

/// The address of these bytes.
pub(super) fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(Ipv4Addr::from);
    let v6 = <[u8; 16]>::try_from(bytes).map(Ipv6Addr::from);
    v4.map(IpAddr::V4).or(v6.map(IpAddr::V6)).ok()
}

/// A name that fills 16 bytes with NULs, without quotes and backslashes.
fn interface_name(value: &[u8]) -> Option<&str> {
    let name = value.split(|byte| *byte == 0).next()?;
    let rest = value.get(name.len()..)?;
    let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'*');
    let whole = value.len() == 16 && !rest.is_empty() && rest.iter().all(|byte| *byte == 0);
    (whole && !name.is_empty() && name.iter().all(plain))
        .then(|| std::str::from_utf8(name).ok())
        .flatten()
}

/// An address as nft prints it: as Rust does, but with an IPv4 address behind 96 zero bits, too.
pub(super) fn address(f: &mut fmt::Formatter<'_>, address: IpAddr) -> fmt::Result {
    if let IpAddr::V6(v6) = address
        && let [0, 0, 0, 0, 0, 0, high, low] = v6.segments()
        && high != 0
    {
        let last = u32::from(high) << 16 | u32::from(low);
        return write!(f, "::{}", Ipv4Addr::from(last));
    }
    write!(f, "{address}")
}
