//! iptables mode: the chains and rules of kube-proxy's iptables proxier, name for name and line
//! for line (contract 2).

mod options;
mod render;
mod served;
mod settings;

pub use options::Options;
pub use render::{base, entry_points, service};
pub use settings::{Iptables, Settings};
