//! What kube-proxy leaves behind in other modes, besides chains.

/// The table of nftables mode, in each family (contract 4.1).
pub const NFT_TABLE: &str = "kube-proxy";

/// The link that carries the virtual IPs of IPVS mode, a dummy (contract 3.3).
pub const IPVS_LINK: &str = "kube-ipvs0";
