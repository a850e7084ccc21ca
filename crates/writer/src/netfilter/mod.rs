//! Chains and rules, in whichever of the kernel's two iptables they are.

pub(crate) mod legacy;
mod nft;
mod order;
pub(crate) mod probe;

pub use legacy::LegacyWriter;
pub use nft::NftWriter;
pub use probe::{Support, probe, remove_counters};
