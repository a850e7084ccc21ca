//! `ServiceCIDR`s.

use super::{Metadata, Text, fields};

fields! {
    /// A `ServiceCIDR` (`networking.k8s.io/v1`).
    struct ServiceCidr<'o> {
        /// What it says that it is; servers leave it out in lists.
        "kind" => kind: Text<'o>,
        /// The version of the API that it is of, likewise.
        "apiVersion" => api_version: Text<'o>,
        /// `metadata`.
        "metadata" => metadata: Metadata<'o>,
        /// `spec`.
        "spec" => spec: ServiceCidrSpec<'o>,
    }
}

fields! {
    /// `spec` of a `ServiceCIDR`.
    struct ServiceCidrSpec<'o> {
        /// Ranges that cluster IPs are given out from, at most one of each family.
        "cidrs" => cidrs: Vec<Text<'o>>,
    }
}
