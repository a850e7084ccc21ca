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

use viprule_service::model::Family;

/// A family as Kubernetes spells it in answers and labels (`core/v1` `IPFamily`).
pub const fn family_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}
