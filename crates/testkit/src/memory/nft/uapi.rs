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
    pub(in super::super) const NEW_SET: u16 = SUBSYSTEM | 9;
    pub(in super::super) const GET_SET: u16 = SUBSYSTEM | 0xa;
    pub(in super::super) const DEL_SET: u16 = SUBSYSTEM | 0xb;
    pub(in super::super) const NEW_ELEMENT: u16 = SUBSYSTEM | 0xc;
    pub(in super::super) const GET_ELEMENT: u16 = SUBSYSTEM | 0xd;
    pub(in super::super) const DEL_ELEMENT: u16 = SUBSYSTEM | 0xe;
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

/// `NFTA_SET_*`, `NFTA_SET_DESC_*`, `NFTA_SET_FIELD_LEN`, `NFTA_LIST_ELEM`.
pub(super) mod set {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const NAME: u16 = 2;
    pub(in super::super) const FLAGS: u16 = 3;
    pub(in super::super) const KEY_TYPE: u16 = 4;
    pub(in super::super) const KEY_LEN: u16 = 5;
    pub(in super::super) const DATA_TYPE: u16 = 6;
    pub(in super::super) const DATA_LEN: u16 = 7;
    pub(in super::super) const DESCRIPTION: u16 = 9;
    pub(in super::super) const ID: u16 = 10;
    pub(in super::super) const TIMEOUT: u16 = 11;
    pub(in super::super) const GC_INTERVAL: u16 = 12;
    pub(in super::super) const USERDATA: u16 = 13;
    pub(in super::super) const HANDLE: u16 = 16;
    pub(in super::super) const EXPRESSION: u16 = 17;
    pub(in super::super) const EXPRESSIONS: u16 = 18;
    pub(in super::super) const BACKEND: u16 = 19;
    pub(in super::super) const COUNT: u16 = 20;
    pub(in super::super) const DESCRIPTION_SIZE: u16 = 1;
    pub(in super::super) const DESCRIPTION_CONCAT: u16 = 2;
    pub(in super::super) const FIELD_LEN: u16 = 1;
    pub(in super::super) const LIST_ELEM: u16 = 1;
    /// `NFT_SET_ANONYMOUS`, `NFT_SET_INTERVAL`, `NFT_SET_MAP`, `NFT_SET_CONCAT`.
    pub(in super::super) const FLAG_ANONYMOUS: u32 = 1;
    pub(in super::super) const FLAG_INTERVAL: u32 = 4;
    pub(in super::super) const FLAG_MAP: u32 = 8;
    pub(in super::super) const FLAG_CONCAT: u32 = 0x80;
}

/// `NFTA_SET_ELEM_LIST_*`, `NFTA_SET_ELEM_*`, `NFTA_DATA_VALUE`.
pub(super) mod element {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const SET: u16 = 2;
    pub(in super::super) const ELEMENTS: u16 = 3;
    pub(in super::super) const KEY: u16 = 1;
    pub(in super::super) const DATA: u16 = 2;
    pub(in super::super) const FLAGS: u16 = 3;
    pub(in super::super) const TIMEOUT: u16 = 4;
    pub(in super::super) const USERDATA: u16 = 6;
    pub(in super::super) const EXPRESSION: u16 = 7;
    pub(in super::super) const KEY_END: u16 = 10;
    pub(in super::super) const VALUE: u16 = 1;
}

/// `NFTA_GEN_*`.
pub(super) mod generation {
    pub(in super::super) const ID: u16 = 1;
    pub(in super::super) const PROCESS_ID: u16 = 2;
    pub(in super::super) const PROCESS_NAME: u16 = 3;
}
