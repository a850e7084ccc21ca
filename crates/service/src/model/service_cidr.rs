//! Where cluster IPs are from.

use ipnet::IpNet;

/// A `ServiceCIDR` object (KEP-1880): ranges that the API server gives out cluster IPs from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceCidr {
    /// `metadata.name`.
    pub name: Box<str>,
    /// `spec.cidrs`.
    pub networks: Vec<IpNet>,
}
