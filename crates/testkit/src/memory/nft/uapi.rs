//! Numbers of `linux/netfilter/nf_tables.h` and `linux/netfilter/nfnetlink.h`.

/// `NFNL_SUBSYS_NFTABLES` in the high byte of a message type.
pub(super) const SUBSYSTEM: u16 = 10 << 8;
/// `NFNLGRP_NFTABLES`.
pub(super) const GROUP: u32 = 7;

/// `NFNL_MSG_BATCH_BEGIN`, `NFNL_MSG_BATCH_END`, `NFNL_BATCH_GENID`.
pub(super) const BATCH_BEGIN: u16 = 0x10;
pub(super) const BATCH_END: u16 = 0x11;
pub(super) const BATCH_GENERATION: u16 = 1;

/// Message types (`NFT_MSG_*`).
pub(super) mod op {
    use super::SUBSYSTEM;
    pub(in super::super) const NEW_TABLE: u16 = SUBSYSTEM;
    pub(in super::super) const GET_TABLE: u16 = SUBSYSTEM | 1;
    pub(in super::super) const DEL_TABLE: u16 = SUBSYSTEM | 2;
    pub(in super::super) const NEW_CHAIN: u16 = SUBSYSTEM | 3;
    pub(in super::super) const GET_CHAIN: u16 = SUBSYSTEM | 4;
    pub(in super::super) const DEL_CHAIN: u16 = SUBSYSTEM | 5;
    pub(in super::super) const NEW_RULE: u16 = SUBSYSTEM | 6;
    pub(in super::super) const GET_RULE: u16 = SUBSYSTEM | 7;
    pub(in super::super) const DEL_RULE: u16 = SUBSYSTEM | 8;
    pub(in super::super) const NEW_GEN: u16 = SUBSYSTEM | 15;
    pub(in super::super) const GET_GEN: u16 = SUBSYSTEM | 16;
    /// `NFT_MSG_GETSETELEM_RESET`.
    pub(in super::super) const LAST: u16 = SUBSYSTEM | 0x22;
}

/// `NFTA_TABLE_*`.
pub(super) mod table {
    pub(in super::super) const NAME: u16 = 1;
    pub(in super::super) const FLAGS: u16 = 2;
    pub(in super::super) const USE: u16 = 3;
    pub(in super::super) const HANDLE: u16 = 4;
}

/// `NFTA_CHAIN_*`, `NFTA_HOOK_*`.
pub(super) mod chain {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const HANDLE: u16 = 2;
    pub(in super::super) const NAME: u16 = 3;
    pub(in super::super) const HOOK: u16 = 4;
    pub(in super::super) const POLICY: u16 = 5;
    pub(in super::super) const USE: u16 = 6;
    pub(in super::super) const TYPE: u16 = 7;
    pub(in super::super) const FLAGS: u16 = 10;
    pub(in super::super) const HOOK_NUMBER: u16 = 1;
    pub(in super::super) const HOOK_PRIORITY: u16 = 2;
    /// `NFT_CHAIN_BASE`.
    pub(in super::super) const FLAG_BASE: u32 = 1;
}

/// `NFTA_RULE_*`.
pub(super) mod rule {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const CHAIN: u16 = 2;
    pub(in super::super) const HANDLE: u16 = 3;
    pub(in super::super) const EXPRESSIONS: u16 = 4;
    pub(in super::super) const POSITION: u16 = 6;
    pub(in super::super) const USERDATA: u16 = 7;
}

/// `NFTA_GEN_*`.
pub(super) mod generation {
    pub(in super::super) const ID: u16 = 1;
    pub(in super::super) const PROCESS_ID: u16 = 2;
    pub(in super::super) const PROCESS_NAME: u16 = 3;
}
