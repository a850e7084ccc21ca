//! This node (contract 1.3, 6.1).

use std::net::IpAddr;

use viprule_service::model::Node;

use super::object::{self, NodeSpec, NodeStatus, Text};
use super::{Converted, FieldError, ObjectError, Outcome, Warning, field};

/// Taint of nodes that the autoscaler is about to remove; any value and effect (KEP-3836).
const DELETION_TAINT: &str = "ToBeDeletedByClusterAutoscaler";

/// Converts a Node. Addresses and ranges that can't be read are skipped with a warning.
pub fn node(object: &object::Node<'_>) -> Result<Converted<Node>, ObjectError> {
    let metadata = &object.metadata;
    let Some(name) = metadata.name.filled() else {
        return Err(FieldError::new("metadata.name", "must not be empty").of("Node", metadata));
    };
    let mut warnings = Vec::new();
    let zone = metadata.labels.zone.as_ref().and_then(Text::filled);
    let mut taints = object.spec.taints.iter();
    let node = Node {
        name: name.to_owned(),
        addresses: addresses(&object.status, &mut warnings),
        zone: zone.map(str::to_owned),
        pod_cidrs: pod_cidrs(&object.spec, &mut warnings),
        eligible_for_load_balancers: metadata.deletion_timestamp.is_none()
            && !taints.any(|taint| *taint.key == *DELETION_TAINT),
    };
    Ok(Converted {
        outcome: Outcome::Programmed(node),
        warnings,
    })
}

/// Every `InternalIP` in order, then every `ExternalIP` in order.
fn addresses(status: &NodeStatus<'_>, warnings: &mut Vec<Warning>) -> Vec<IpAddr> {
    let mut addresses = field::Distinct::default();
    for kind in ["InternalIP", "ExternalIP"] {
        let listed = status.addresses.iter().enumerate();
        for (index, entry) in listed.filter(|(_, entry)| *entry.kind == *kind) {
            let path = format_args!("status.addresses[{index}].address");
            match field::ip(&entry.address, path, warnings) {
                Ok(address) => addresses.add(address),
                Err(error) => warnings.push(Warning::skipped(error)),
            }
        }
    }
    addresses.into_list()
}

fn pod_cidrs(spec: &NodeSpec<'_>, warnings: &mut Vec<Warning>) -> Vec<ipnet::IpNet> {
    let listed = spec.pod_cidrs.iter().enumerate();
    let mut fields: Vec<(String, &str)> = listed
        .map(|(index, range)| (format!("spec.podCIDRs[{index}]"), &**range))
        .collect();
    if fields.is_empty() {
        fields.push(("spec.podCIDR".to_owned(), &spec.pod_cidr));
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
