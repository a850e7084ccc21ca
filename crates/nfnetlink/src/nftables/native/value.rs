//! Bytes as registers, keys and data of sets hold them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smallvec::SmallVec;

/// Bytes of one 32-bit register: fields of a concatenation begin at multiples of it.
pub(super) const WORD: usize = 4;

/// The bytes of a value, each field in its own byte order.
///
/// Up to 16 bytes are held without a heap allocation, as are all keys and data of Services with
/// IPv4 addresses. The kernel takes up to 64 bytes (`NFT_DATA_VALUE_MAXLEN`).
///
/// ```
/// use nfnetlink::nftables::native::Value;
///
/// // ip daddr . meta l4proto . th dport, as the kernel compares it: fields begin at words.
/// let key = Value::concat([&[10, 96, 0, 1][..], &[6], &443u16.to_be_bytes()]);
/// assert_eq!(key.as_bytes(), [10, 96, 0, 1, 6, 0, 0, 0, 1, 0xbb, 0, 0]);
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(SmallVec<[u8; 16]>);

impl Value {
    /// A value of these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(SmallVec::from_slice(bytes))
    }

    /// The value of a concatenation: each field filled up with zeros to a multiple of 4 bytes.
    pub fn concat<'f>(fields: impl IntoIterator<Item = &'f [u8]>) -> Self {
        let mut value = Self::default();
        for field in fields {
            value.push(field);
        }
        value
    }

    /// Appends a field of a concatenation.
    pub fn push(&mut self, field: &[u8]) {
        self.0.extend_from_slice(field);
        let len = self.0.len().next_multiple_of(WORD);
        self.0.resize(len, 0);
    }

    /// Appends an address as a field of a concatenation.
    pub fn push_address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => self.push(&v4.octets()),
            IpAddr::V6(v6) => self.push(&v6.octets()),
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True for a value without bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The 32-bit number that these bytes are in host byte order; `None` where they are not 4.
    pub fn host_u32(&self) -> Option<u32> {
        self.as_bytes().try_into().ok().map(u32::from_ne_bytes)
    }
}

/// A number in host byte order, as marks, priorities and what `numgen` draws are.
impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::new(&number.to_ne_bytes())
    }
}

/// A number in network byte order, as ports are.
impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::new(&number.to_be_bytes())
    }
}

impl From<u8> for Value {
    fn from(number: u8) -> Self {
        Self::new(&[number])
    }
}

impl From<Ipv4Addr> for Value {
    fn from(address: Ipv4Addr) -> Self {
        Self::new(&address.octets())
    }
}

impl From<Ipv6Addr> for Value {
    fn from(address: Ipv6Addr) -> Self {
        Self::new(&address.octets())
    }
}

impl From<IpAddr> for Value {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => v4.into(),
            IpAddr::V6(v6) => v6.into(),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
