//! Where clients are.

use super::Stage;
use std::net::SocketAddr;
use viprule_testkit::client::Client;

/// A side from which Services are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A machine that belongs to no cluster.
    Outside,
    /// The node's own network.
    Node,
    /// A pod on the node that is no endpoint, [`super::stage::BYSTANDER`].
    Pod,
}

impl Place {
    pub(crate) const ALL: [Self; 3] = [Self::Outside, Self::Node, Self::Pod];
}

impl Stage {
    /// A client at this place for a target of this family.
    pub(crate) fn client(&self, place: Place, target: SocketAddr) -> Client<'_> {
        match place {
            Place::Outside => self.world.outside(),
            Place::Node => self.world.on_node(),
            Place::Pod => {
                let [v4, v6] = super::stage::BYSTANDER;
                let own = if target.is_ipv4() { v4 } else { v6 };
                self.world.in_pod(own).unwrap()
            }
        }
    }
}

/// An address and port as text, such as `10.1.0.20:80` or `[fd00::1]:80`.
#[track_caller]
pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse()
        .unwrap_or_else(|_| panic!("{text} is no address and port"))
}
