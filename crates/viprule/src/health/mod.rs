//! Whether this node's dataplane is up to date, as load balancers and the kubelet ask for it.

mod moment;
mod node_ports;
mod proxy;
mod report;
mod serve;

pub use moment::{Clock, Moment};
pub use node_ports::{ListenFailure, Room, ServiceCheckOptions, ServiceChecks};
pub use proxy::ProxyHealth;
pub use report::{Health, Warning};
pub use serve::{HealthEndpoint, Probe};
