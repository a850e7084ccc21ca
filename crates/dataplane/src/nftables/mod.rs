//! nftables mode: one table for each family, in which a Service is elements of sets and maps.
//!
//! Chains and rules are the same whatever the Services are, but for the timeouts of session affinity
//! in use. A packet's frontend is looked up in sets that say what is so of it; one of them says how
//! many slots its row has. A slot is drawn at random and looked up in one map for all Services.
//!
//! Every lookup of a packet sees what was committed last, so one packet may see a half of a change
//! and a half of what was before. Slot 0 is therefore tried last, wherever there is an endpoint.

mod base;
mod chain;
mod counts;
mod dataplane;
mod decode;
mod element;
mod key;
mod listing;
mod observe;
mod row;
mod served;
mod service;
mod set;
mod settings;
mod statements;

pub use chain::{BaseChain, Chain};
pub use counts::ObjectCounts;
pub use dataplane::Nftables;
pub use decode::decode;
pub use element::{Element, ElementContent};
pub use key::{Condition, Key, Object, Piece};
pub use listing::listing;
pub use observe::{Observation, observed};
pub use set::{FrontendSet, LARGEST_LOCAL_ROW, LARGEST_ROW, Lookup, Row, Set, SetName};
pub use settings::Settings;

/// The name of our table in each family.
pub const TABLE: &str = "viprule";

/// The desired state, its contents in full.
pub type Desired = crate::State<Key, Object>;
