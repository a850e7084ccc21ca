//! Numbers of `linux/ip_vs.h` and `linux/genetlink.h`.

use netlink_batch::Errno;

pub(super) const NAME: &str = "IPVS";
/// `IP_VS_VERSION_CODE`: 1.2.1.
pub(super) const VERSION_CODE: u32 = 0x1_0201;
/// `CONFIG_IP_VS_TAB_BITS` of 12.
pub(super) const TABLE_SIZE: u32 = 4096;

/// `GENL_ID_CTRL`, `CTRL_CMD_*`, `CTRL_ATTR_*`.
pub(super) const CONTROL: u16 = 0x10;
pub(super) const CONTROL_NEW: u8 = 1;
pub(super) const CONTROL_GET: u8 = 3;
pub(super) const CONTROL_ID: u16 = 1;
pub(super) const CONTROL_NAME: u16 = 2;

/// No such virtual server (ESRCH).
pub(super) const NO_SERVER: Errno = Errno(3);
/// A value out of range (ERANGE).
pub(super) const RANGE: Errno = Errno(34);

/// `IPVS_CMD_*`.
pub(super) mod command {
    pub(in super::super) const NEW_SERVICE: u8 = 1;
    pub(in super::super) const SET_SERVICE: u8 = 2;
    pub(in super::super) const DEL_SERVICE: u8 = 3;
    pub(in super::super) const GET_SERVICE: u8 = 4;
    pub(in super::super) const NEW_DESTINATION: u8 = 5;
    pub(in super::super) const SET_DESTINATION: u8 = 6;
    pub(in super::super) const DEL_DESTINATION: u8 = 7;
    pub(in super::super) const GET_DESTINATION: u8 = 8;
    pub(in super::super) const SET_CONFIG: u8 = 12;
    pub(in super::super) const GET_CONFIG: u8 = 13;
    pub(in super::super) const SET_INFO: u8 = 14;
    pub(in super::super) const GET_INFO: u8 = 15;
    pub(in super::super) const ZERO: u8 = 16;
    pub(in super::super) const FLUSH: u8 = 17;
}

/// `IPVS_CMD_ATTR_*`, `IPVS_INFO_ATTR_*`.
pub(super) mod attr {
    pub(in super::super) const SERVICE: u16 = 1;
    pub(in super::super) const DESTINATION: u16 = 2;
    pub(in super::super) const TIMEOUTS: [u16; 3] = [4, 5, 6];
    pub(in super::super) const INFO_VERSION: u16 = 1;
    pub(in super::super) const INFO_TABLE_SIZE: u16 = 2;
}

/// `IPVS_SVC_ATTR_*`.
pub(super) mod service {
    pub(in super::super) const AF: u16 = 1;
    pub(in super::super) const PROTOCOL: u16 = 2;
    pub(in super::super) const ADDRESS: u16 = 3;
    pub(in super::super) const PORT: u16 = 4;
    pub(in super::super) const MARK: u16 = 5;
    pub(in super::super) const SCHEDULER: u16 = 6;
    pub(in super::super) const FLAGS: u16 = 7;
    pub(in super::super) const TIMEOUT: u16 = 8;
    pub(in super::super) const NETMASK: u16 = 9;
    pub(in super::super) const STATS: u16 = 10;
    pub(in super::super) const ENGINE: u16 = 11;
    pub(in super::super) const STATS64: u16 = 12;
    /// `IP_VS_SVC_F_PERSISTENT`, `IP_VS_SVC_F_HASHED`, `IP_VS_SVC_F_ONEPACKET`.
    pub(in super::super) const PERSISTENT: u32 = 1;
    pub(in super::super) const HASHED: u32 = 2;
    pub(in super::super) const ONE_PACKET: u32 = 4;
}

/// `IPVS_DEST_ATTR_*`.
pub(super) mod dest {
    pub(in super::super) const ADDRESS: u16 = 1;
    pub(in super::super) const PORT: u16 = 2;
    pub(in super::super) const FORWARDING: u16 = 3;
    pub(in super::super) const WEIGHT: u16 = 4;
    pub(in super::super) const UPPER: u16 = 5;
    pub(in super::super) const LOWER: u16 = 6;
    pub(in super::super) const ACTIVE: u16 = 7;
    pub(in super::super) const INACTIVE: u16 = 8;
    pub(in super::super) const PERSISTENT: u16 = 9;
    pub(in super::super) const STATS: u16 = 10;
    pub(in super::super) const AF: u16 = 11;
    pub(in super::super) const STATS64: u16 = 12;
    pub(in super::super) const TUNNEL_TYPE: u16 = 13;
    pub(in super::super) const TUNNEL_PORT: u16 = 14;
    pub(in super::super) const TUNNEL_FLAGS: u16 = 15;
    /// `IP_VS_CONN_F_FWD_MASK`, `IP_VS_CONN_F_TUNNEL`.
    pub(in super::super) const FORWARDING_MASK: u32 = 7;
    pub(in super::super) const TUNNEL: u32 = 2;
}
