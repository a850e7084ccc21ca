//! This node (contract 1.3, 6.1).

use std::net::IpAddr;

use k8s_openapi::api::core::v1;
use viprule_service::model::Node;

use super::{Converted, FieldError, ObjectError, Outcome, Warning, field};

/// Label with the node's zone.
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
/// Taint of nodes that the autoscaler is about to remove; any value and effect (KEP-3836).
const DELETION_TAINT: &str = "ToBeDeletedByClusterAutoscaler";

/// Converts a Node. Addresses and ranges that can't be read are skipped with a warning.
pub fn node(object: &v1::Node) -> Result<Converted<Node>, ObjectError> {
    let metadata = &object.metadata;
    let Some(name) = metadata.name.clone().filter(|name| !name.is_empty()) else {
        return Err(FieldError::new("metadata.name", "must not be empty").of("Node", metadata));
    };
    let mut warnings = Vec::new();
    let zone = metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(ZONE_LABEL));
    let taints = object
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.as_deref())
        .unwrap_or_default();
    let node = Node {
        name,
        addresses: addresses(object, &mut warnings),
        zone: zone.filter(|zone| !zone.is_empty()).cloned(),
        pod_cidrs: pod_cidrs(object, &mut warnings),
        eligible_for_load_balancers: metadata.deletion_timestamp.is_none()
            && !taints.iter().any(|taint| taint.key == DELETION_TAINT),
    };
    Ok(Converted {
        outcome: Outcome::Programmed(node),
        warnings,
    })
}

/// Every `InternalIP` in order, then every `ExternalIP` in order.
fn addresses(object: &v1::Node, warnings: &mut Vec<Warning>) -> Vec<IpAddr> {
    let listed = object
        .status
        .as_ref()
        .and_then(|status| status.addresses.as_deref())
        .unwrap_or_default();
    let mut addresses = Vec::new();
    for kind in ["InternalIP", "ExternalIP"] {
        for (index, entry) in listed
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.type_ == kind)
        {
            match field::ip(
                &entry.address,
                format!("status.addresses[{index}].address"),
                warnings,
            ) {
                Ok(address) => field::push_new(&mut addresses, address),
                Err(error) => warnings.push(Warning::skipped(error)),
            }
        }
    }
    addresses
}

fn pod_cidrs(object: &v1::Node, warnings: &mut Vec<Warning>) -> Vec<ipnet::IpNet> {
    let Some(spec) = &object.spec else {
        return Vec::new();
    };
    let listed = spec.pod_cidrs.as_deref().unwrap_or_default();
    let mut fields: Vec<(String, &str)> = listed
        .iter()
        .enumerate()
        .map(|(index, range)| (format!("spec.podCIDRs[{index}]"), range.as_str()))
        .collect();
    if fields.is_empty() {
        fields.extend(
            spec.pod_cidr
                .as_deref()
                .map(|range| ("spec.podCIDR".to_owned(), range)),
        );
    }
    let mut ranges = Vec::with_capacity(fields.len());
    for (path, text) in fields.into_iter().filter(|(_, text)| !text.is_empty()) {
        match field::range(text, path) {
            Ok(range) => ranges.push(range),
            Err(error) => warnings.push(Warning::skipped(error)),
        }
    }
    ranges
}
