//! IPVS mode: virtual servers, the sets and static chains around them, and the link that carries
//! their addresses, as kube-proxy's IPVS proxier has them (contract 3).

mod balancing;
mod dataplane;
mod key;
mod observe;
mod ownership;
mod render;
mod save;
mod served;
mod settings;

pub use dataplane::Ipvs;
pub use key::{Key, Object, Piece};
pub use observe::{Netfilter, Observation, Observed};
pub use ownership::{owns_server, signs};
pub use save::{SaveError, Saves, Section, line, print_save, section, sections};
pub use settings::Settings;

/// The desired state, its contents in full.
pub type Desired = crate::State<Key, Object>;
