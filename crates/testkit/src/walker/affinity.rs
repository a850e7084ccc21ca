//! What session affinity remembers.

use std::net::{IpAddr, SocketAddr};

use viprule_service::model::{Protocol, ServiceId, ServicePortName};

/// The connections that session affinity remembers, in no particular order.
pub type Affinity = [Remembered];

/// A client's connection to an endpoint of a Service port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The Service.
    pub service: ServiceId,
    /// The Service port's name.
    pub port: Box<str>,
    /// The Service port's protocol.
    pub protocol: Protocol,
    /// The client's address.
    pub client: IpAddr,
    /// Which of the Service port's addresses the client used.
    pub frontend: SocketAddr,
    /// Where the client was sent.
    pub endpoint: SocketAddr,
    /// How long ago, in seconds.
    pub seconds_ago: u32,
}

impl Remembered {
    /// The Service port's name in full.
    pub fn port_name(&self) -> ServicePortName<'_> {
        ServicePortName {
            service: &self.service,
            port: &self.port,
        }
    }
}
