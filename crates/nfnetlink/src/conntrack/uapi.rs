//! Numbers of `linux/netfilter/nfnetlink_conntrack.h`.

/// Message types: `NFNL_SUBSYS_CTNETLINK` in the high byte.
pub(super) mod op {
    const SUBSYSTEM: u16 = 1 << 8;
    /// `IPCTNL_MSG_CT_NEW`: also what a dump answers with.
    pub(in super::super) const NEW: u16 = SUBSYSTEM;
    /// `IPCTNL_MSG_CT_GET`.
    pub(in super::super) const GET: u16 = SUBSYSTEM | 1;
    /// `IPCTNL_MSG_CT_DELETE`.
    pub(in super::super) const DELETE: u16 = SUBSYSTEM | 2;
}

/// `enum ctattr_type`.
pub(super) mod attr {
    pub(in super::super) const ORIGINAL: u16 = 1;
    pub(in super::super) const REPLY: u16 = 2;
    pub(in super::super) const STATUS: u16 = 3;
    pub(in super::super) const PROTOINFO: u16 = 4;
    pub(in super::super) const ID: u16 = 12;
    pub(in super::super) const ZONE: u16 = 18;
    pub(in super::super) const FILTER: u16 = 25;
    pub(in super::super) const STATUS_MASK: u16 = 26;
}

/// `enum ctattr_tuple`.
pub(super) mod tuple {
    pub(in super::super) const IP: u16 = 1;
    pub(in super::super) const PROTO: u16 = 2;
    pub(in super::super) const ZONE: u16 = 3;
}

/// `enum ctattr_ip`.
pub(super) mod ip {
    pub(in super::super) const V4_SRC: u16 = 1;
    pub(in super::super) const V4_DST: u16 = 2;
    pub(in super::super) const V6_SRC: u16 = 3;
    pub(in super::super) const V6_DST: u16 = 4;
}

/// `enum ctattr_l4proto`.
pub(super) mod proto {
    pub(in super::super) const NUMBER: u16 = 1;
    pub(in super::super) const SRC_PORT: u16 = 2;
    pub(in super::super) const DST_PORT: u16 = 3;
}

/// `enum ctattr_protoinfo`, and `enum ctattr_protoinfo_tcp` in it.
pub(super) mod protoinfo {
    pub(in super::super) const TCP: u16 = 1;
    pub(in super::super) const TCP_STATE: u16 = 1;
}

/// `enum ctattr_filter`, and the bits of its flags, which say what of a tuple counts.
pub(super) mod filter {
    pub(in super::super) const ORIGINAL_FLAGS: u16 = 1;
    pub(in super::super) const IP_DST: u32 = 1 << 1;
    pub(in super::super) const PROTO_NUMBER: u32 = 1 << 3;
    pub(in super::super) const PROTO_DST_PORT: u32 = 1 << 5;
}
