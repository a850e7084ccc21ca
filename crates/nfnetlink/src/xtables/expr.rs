//! Numbers of `linux/netfilter/nf_tables.h` and `nf_tables_compat.h` that rules are made of.

/// `NFTA_RULE_EXPRESSIONS`.
pub(super) const RULE_EXPRESSIONS: u16 = 4;
/// `NFTA_RULE_COMPAT`.
pub(super) const RULE_COMPAT: u16 = 5;
/// `NFTA_RULE_USERDATA`.
pub(super) const RULE_USERDATA: u16 = 7;
/// `NFTA_RULE_COMPAT_PROTO` and `NFTA_RULE_COMPAT_FLAGS`.
pub(super) const COMPAT_PROTO: u16 = 1;
pub(super) const COMPAT_FLAGS: u16 = 2;
/// `NFT_RULE_COMPAT_F_INV`.
pub(super) const COMPAT_INVERTED: u32 = 2;

/// `NFTA_LIST_ELEM`, `NFTA_EXPR_NAME`, `NFTA_EXPR_DATA`.
pub(super) const LIST_ELEM: u16 = 1;
pub(super) const EXPR_NAME: u16 = 1;
pub(super) const EXPR_DATA: u16 = 2;

/// `NFTA_DATA_VALUE`, `NFTA_DATA_VERDICT`, `NFTA_VERDICT_CODE`, `NFTA_VERDICT_CHAIN`.
pub(super) const DATA_VALUE: u16 = 1;
pub(super) const DATA_VERDICT: u16 = 2;
pub(super) const VERDICT_CODE: u16 = 1;
pub(super) const VERDICT_CHAIN: u16 = 2;

/// `NFT_REG_VERDICT` and `NFT_REG_1`.
pub(super) const REG_VERDICT: u32 = 0;
pub(super) const REG_1: u32 = 1;

/// `NFTA_META_DREG`, `NFTA_META_KEY`.
pub(super) const META_DREG: u16 = 1;
pub(super) const META_KEY: u16 = 2;
/// `NFT_META_MARK`, `NFT_META_IIFNAME`, `NFT_META_OIFNAME`, `NFT_META_L4PROTO`.
pub(super) const META_MARK: u32 = 3;
pub(super) const META_IIFNAME: u32 = 6;
pub(super) const META_OIFNAME: u32 = 7;
pub(super) const META_L4PROTO: u32 = 16;

/// `NFTA_PAYLOAD_*`.
pub(super) const PAYLOAD_DREG: u16 = 1;
pub(super) const PAYLOAD_BASE: u16 = 2;
pub(super) const PAYLOAD_OFFSET: u16 = 3;
pub(super) const PAYLOAD_LEN: u16 = 4;
/// `NFT_PAYLOAD_NETWORK_HEADER`, `NFT_PAYLOAD_TRANSPORT_HEADER`.
pub(super) const BASE_NETWORK: u32 = 1;
pub(super) const BASE_TRANSPORT: u32 = 2;
/// Offset of `iphdr.protocol`.
pub(super) const IPV4_PROTOCOL: u32 = 9;

/// `NFTA_CMP_SREG`, `NFTA_CMP_OP`, `NFTA_CMP_DATA`; `NFTA_RANGE_*` begins alike.
pub(super) const CMP_SREG: u16 = 1;
pub(super) const CMP_OP: u16 = 2;
pub(super) const CMP_DATA: u16 = 3;
/// `NFT_CMP_EQ` and `NFT_CMP_NEQ`; `NFT_RANGE_*` has the same numbers.
pub(super) const EQ: u32 = 0;
pub(super) const NEQ: u32 = 1;
/// `NFT_CMP_LT`, `NFT_CMP_LTE`, `NFT_CMP_GT`, `NFT_CMP_GTE`.
pub(super) const LT: u32 = 2;
pub(super) const LTE: u32 = 3;
pub(super) const GT: u32 = 4;
pub(super) const GTE: u32 = 5;

/// `NFTA_BITWISE_*`.
pub(super) const BITWISE_SREG: u16 = 1;
pub(super) const BITWISE_DREG: u16 = 2;
pub(super) const BITWISE_LEN: u16 = 3;
pub(super) const BITWISE_MASK: u16 = 4;
pub(super) const BITWISE_XOR: u16 = 5;

/// `NFTA_IMMEDIATE_DREG`, `NFTA_IMMEDIATE_DATA`.
pub(super) const IMMEDIATE_DREG: u16 = 1;
pub(super) const IMMEDIATE_DATA: u16 = 2;

/// `NFTA_MATCH_*`; `NFTA_TARGET_*` has the same numbers.
pub(super) const XT_NAME: u16 = 1;
pub(super) const XT_REV: u16 = 2;
pub(super) const XT_INFO: u16 = 3;

/// `NF_DROP`, `NF_ACCEPT`, `NFT_JUMP`, `NFT_GOTO`, `NFT_RETURN`.
pub(super) const DROP: i32 = 0;
pub(super) const ACCEPT: i32 = 1;
pub(super) const JUMP: i32 = -3;
pub(super) const GOTO: i32 = -4;
pub(super) const RETURN: i32 = -5;

/// What iptables compares an interface name with to say "never": no interface is called so.
pub(super) const NO_INTERFACE: &[u8] = b"INVAL/D\0";

use crate::Family;

/// Offset of the source or destination address in the network header, bytes.
pub(super) const fn address_offset(family: Family, destination: bool) -> u32 {
    match (family, destination) {
        (Family::Ipv4, false) => 12,
        (Family::Ipv4, true) => 16,
        (Family::Ipv6, false) => 8,
        (Family::Ipv6, true) => 24,
    }
}
