//! iptables rules: what a rule says, apart from how it is written.
//!
//! A [`Rule`] is one line of `iptables-save` as data. It is read from and printed as that text,
//! and encoded to and decoded from `nf_tables` expressions. Every encoding of the same rule (that of
//! iptables-nft 1.8.7, of 1.8.9, ours) decodes to the same `Rule`, so rules compare by meaning.

mod ask;
mod decode;
mod encode;
mod expr;
mod layout;
pub(crate) mod names;
mod parse;
mod rule;
pub(crate) mod text;

pub use ask::{Direction, Directions, Forwarding, Ipvs, Physdev};
pub use decode::DecodeError;
pub use encode::EncodeOptions;
pub use parse::ParseError;
pub use rule::{
    AddrTypes, CtStates, DnatTo, Interface, Match, NotOr, PortRange, Recent, RecentMode, Reject,
    Rule, Target, protocol,
};
