//! Layouts of xt match and target data (`linux/netfilter/xt_*.h`): sizes as the kernel wants them
//! (rounded up to 8) and offsets, bytes. Numbers in them are in host order unless said.

/// `xt_comment_info`, revision 0.
pub(super) const COMMENT: usize = 256;
/// `xt_tcp` and `xt_udp`, revision 0: source ports at 0, destination ports at 4.
pub(super) const TCP_UDP: usize = 16;
/// `xt_tcp.option`, `.flg_mask`, `.flg_cmp`, `.invflags`.
pub(super) const TCP_OPTION: usize = 8;
pub(super) const TCP_FLAG_MASK: usize = 9;
pub(super) const TCP_FLAG_VALUE: usize = 10;
pub(super) const TCP_INVERT: usize = 11;
/// `xt_udp.invflags`.
pub(super) const UDP_INVERT: usize = 8;
/// `XT_TCP_INV_SRCPT` and `XT_TCP_INV_DSTPT`; the UDP and SCTP bits are the same.
pub(super) const SRC_PORTS: u8 = 1;
pub(super) const DST_PORTS: u8 = 2;
/// `xt_sctp_info`, revision 0: destination ports at 0, source ports at 4, chunks from 8.
pub(super) const SCTP: usize = 296;
/// `xt_sctp_info.flag_info`: 4 of 3 bytes, each beginning with 0xff when unused.
pub(super) const SCTP_CHUNK_FLAGS: usize = 268;
pub(super) const SCTP_FLAGS: usize = 284;
pub(super) const SCTP_INVERT: usize = 288;
/// `xt_mark_mtinfo1`: mark 0, mask 4, invert 8.
pub(super) const MARK_MATCH: usize = 16;
/// `xt_conntrack_mtinfo3`.
pub(super) const CONNTRACK: usize = 168;
pub(super) const CONNTRACK_FLAGS: usize = 146;
pub(super) const CONNTRACK_INVERT: usize = 148;
pub(super) const CONNTRACK_STATES: usize = 150;
/// `XT_CONNTRACK_STATE`.
pub(super) const CONNTRACK_STATE: u16 = 1;
/// `xt_addrtype_info_v1`: source 0, dest 2, flags 4.
pub(super) const ADDRTYPE: usize = 8;
/// `XT_ADDRTYPE_INVERT_SOURCE` and `XT_ADDRTYPE_INVERT_DEST`.
pub(super) const ADDRTYPE_NOT_SRC: u32 = 1;
pub(super) const ADDRTYPE_NOT_DST: u32 = 2;
/// `xt_statistic_info`: mode 0, flags 2, probability 4.
pub(super) const STATISTIC: usize = 24;
/// `xt_recent_mtinfo_v1`: seconds 0, hits 4, flags 8, invert 9, name 10, side 210, mask 212.
pub(super) const RECENT: usize = 232;
pub(super) const RECENT_NAME: usize = 10;
pub(super) const RECENT_NAME_LEN: usize = 200;
pub(super) const RECENT_SIDE: usize = 210;
pub(super) const RECENT_MASK: usize = 212;
/// `XT_RECENT_CHECK`, `_SET`, `_UPDATE`, `_REMOVE` and `_REAP`.
pub(super) const RECENT_CHECK: u8 = 1;
pub(super) const RECENT_SET: u8 = 2;
pub(super) const RECENT_UPDATE: u8 = 4;
pub(super) const RECENT_REMOVE: u8 = 8;
pub(super) const RECENT_REAP: u8 = 0x20;
/// `xt_nfacct_match_info_v1`: name 0, then the kernel's pointer.
pub(super) const NFACCT: usize = 40;
pub(super) const NFACCT_NAME_LEN: usize = 32;

/// `nf_nat_range2`: flags 0, lowest address 4, highest 20, ports in network order at 36, 38, 40.
pub(super) const DNAT: usize = 48;
pub(super) const NAT_MIN_ADDR: usize = 4;
pub(super) const NAT_MAX_ADDR: usize = 20;
pub(super) const NAT_MIN_PORT: usize = 36;
pub(super) const NAT_MAX_PORT: usize = 38;
/// `NF_NAT_RANGE_MAP_IPS`, `_PROTO_SPECIFIED` and `_PROTO_RANDOM_FULLY`.
pub(super) const NAT_ADDRESSES: u32 = 1;
pub(super) const NAT_PORTS: u32 = 2;
pub(super) const NAT_RANDOM_FULLY: u32 = 0x10;
/// `xt_mark_tginfo2`: mark 0, mask 4.
pub(super) const MARK_TARGET: usize = 8;
/// `nf_nat_ipv4_multi_range_compat`: count 0, then its only range.
pub(super) const MASQUERADE_V4: usize = 24;
/// `nf_nat_ipv4_range`, behind the count; ports are in network order.
pub(super) const MASQUERADE_RANGE_V4: MasqueradeRange = MasqueradeRange {
    flags: 4,
    first: 16,
    last: 18,
};
/// `nf_nat_range`.
pub(super) const MASQUERADE_V6: usize = 40;
pub(super) const MASQUERADE_RANGE_V6: MasqueradeRange = MasqueradeRange {
    flags: 0,
    first: NAT_MIN_PORT,
    last: NAT_MAX_PORT,
};

/// Where a `MASQUERADE` has what it takes of a range.
#[derive(Clone, Copy)]
pub(super) struct MasqueradeRange {
    pub(super) flags: usize,
    pub(super) first: usize,
    pub(super) last: usize,
}

/// `ipt_reject_info` and `ip6t_reject_info`: the answer at 0.
pub(super) const REJECT: usize = 8;
