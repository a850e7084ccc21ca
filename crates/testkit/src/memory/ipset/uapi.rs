//! Numbers of `linux/netfilter/ipset/ip_set.h`.

use netlink_batch::Errno;
use nfnetlink::ipset::Kind;

use crate::memory::answer::Refused;

/// `NFNL_SUBSYS_IPSET` in the high byte of a message type.
pub(super) const SUBSYSTEM: u16 = 6 << 8;
/// `NLA_F_NET_BYTEORDER`.
pub(super) const NET_ORDER: u16 = 0x4000;
/// The protocol's versions.
pub(super) const VERSIONS: [u8; 2] = [6, 7];

/// `IPSET_CMD_*`.
pub(super) mod command {
    pub(in super::super) const PROTOCOL: u16 = 1;
    pub(in super::super) const CREATE: u16 = 2;
    pub(in super::super) const DESTROY: u16 = 3;
    pub(in super::super) const FLUSH: u16 = 4;
    pub(in super::super) const RENAME: u16 = 5;
    pub(in super::super) const SWAP: u16 = 6;
    pub(in super::super) const LIST: u16 = 7;
    pub(in super::super) const ADD: u16 = 9;
    pub(in super::super) const DELETE: u16 = 10;
    pub(in super::super) const TYPE: u16 = 13;
    pub(in super::super) const GET_BY_NAME: u16 = 14;
    pub(in super::super) const GET_BY_INDEX: u16 = 15;
}

/// `IPSET_ATTR_*`.
pub(super) mod attr {
    pub(in super::super) const PROTOCOL: u16 = 1;
    pub(in super::super) const NAME: u16 = 2;
    pub(in super::super) const TYPE: u16 = 3;
    pub(in super::super) const NAME2: u16 = 3;
    pub(in super::super) const REVISION: u16 = 4;
    pub(in super::super) const FAMILY: u16 = 5;
    pub(in super::super) const FLAGS: u16 = 6;
    pub(in super::super) const DATA: u16 = 7;
    pub(in super::super) const ELEMENTS: u16 = 8;
    pub(in super::super) const LINE: u16 = 9;
    pub(in super::super) const LOWEST: u16 = 10;
    pub(in super::super) const INDEX: u16 = 11;
    /// In [`DATA`].
    pub(in super::super) const PORT_FROM: u16 = 4;
    pub(in super::super) const PORT_TO: u16 = 5;
    pub(in super::super) const HASH_SIZE: u16 = 18;
    pub(in super::super) const MAX_ELEMENTS: u16 = 19;
    pub(in super::super) const COUNT: u16 = 24;
    pub(in super::super) const REFERENCES: u16 = 25;
    pub(in super::super) const MEMORY: u16 = 26;
    /// `IPSET_FLAG_LIST_HEADER`.
    pub(in super::super) const HEADERS_ONLY: u32 = 1 << 2;
}

/// `IPSET_ERR_*`.
pub(super) const FIND_TYPE: Errno = Errno(4098);
pub(super) const BUSY: Errno = Errno(4100);
pub(super) const EXIST_NAME2: Errno = Errno(4101);
pub(super) const TYPE_MISMATCH: Errno = Errno(4102);
pub(super) const EXIST: Errno = Errno(4103);
pub(super) const INVALID_PREFIX: Errno = Errno(4104);
pub(super) const INVALID_FAMILY: Errno = Errno(4105);
pub(super) const REFERENCED: Errno = Errno(4108);
/// `IPSET_ERR_HASH_FULL`, and `IPSET_ERR_BITMAP_RANGE`.
pub(super) const FULL_OR_RANGE: Errno = Errno(4352);
pub(super) const INVALID_PROTO: Errno = Errno(4354);

/// `IPSET_ERR_PROTOCOL`.
pub(super) fn protocol() -> Refused {
    Refused::errno(Errno(4097))
}

/// The newest revision of a type.
pub(super) fn revision(kind: Kind) -> u8 {
    match kind {
        Kind::HashIp | Kind::HashIpPortIp => 6,
        Kind::HashNet | Kind::HashIpPort => 7,
        Kind::HashIpPortNet => 8,
        Kind::BitmapPort => 3,
        _ => 0,
    }
}
