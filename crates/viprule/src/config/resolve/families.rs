//! Whether settings fit the node's IP families, which are known later than settings.

use std::net::SocketAddr;

use ipnet::IpNet;
use viprule_dataplane::DetectLocal;
use viprule_service::model::Family;
use viprule_service::plan::NodePortAddresses;

use super::Resolved;

/// What the operator should know of settings on this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFit {
    /// To be logged.
    pub warnings: Vec<String>,
    /// Why the agent can't work with these settings here, as kube-proxy couldn't.
    pub fatal: Option<String>,
}

impl Resolved {
    /// Compares settings with the node: the family of its first address, whether it has both,
    /// and its `podCIDRs`, which count in mode `NodeCIDR` only (contract 8, startup warnings).
    pub fn fit(&self, primary: Family, dual_stack: bool, pod_cidrs: &[IpNet]) -> NodeFit {
        let mut fit = NodeFit::default();
        let (cluster_cidrs, pod_cidrs) = match &self.common.detect_local {
            DetectLocal::ClusterCidr(networks) => (networks.as_slice(), [].as_slice()),
            DetectLocal::NodeCidr => ([].as_slice(), pod_cidrs),
            _ => ([].as_slice(), [].as_slice()),
        };
        let name = primary.as_str();
        let node = format!(
            "the node is {name}{}",
            if dual_stack { " first" } else { "" }
        );
        if misses(cluster_cidrs, primary) {
            let text = format!("{node}, but clusterCIDR has no {name} network");
            if dual_stack {
                fit.warnings.push(text);
            } else {
                fit.fatal = Some(text);
            }
        }
        if misses(pod_cidrs, primary) {
            fit.fatal = Some(format!("{node}, but its podCIDRs have no {name} network"));
        }
        for (field, address) in [
            ("healthzBindAddress", self.health),
            ("metricsBindAddress", Some(self.metrics)),
        ] {
            if !dual_stack && address.is_some_and(|address| is_foreign(address, primary)) {
                fit.warnings.push(format!("{node}, but {field} is not"));
            }
        }
        let dual = [cluster_cidrs, pod_cidrs].into_iter().any(has_both);
        fit.warnings
            .extend(node_ports(&self.common.node_port_addresses, primary, dual));
        fit
    }

    /// Tells for which of the node's families there is no network to tell pods' traffic by: there it
    /// counts as traffic from outside, as with kube-proxy.
    pub fn without_local(&self, families: &[Family], pod_cidrs: &[IpNet]) -> Vec<String> {
        let (networks, field) = match &self.common.detect_local {
            DetectLocal::ClusterCidr(networks) => (networks.as_slice(), "ClusterCIDR: clusterCIDR"),
            DetectLocal::NodeCidr => (pod_cidrs, "NodeCIDR: the Node's spec.podCIDRs"),
            _ => return Vec::new(),
        };
        let families = families.iter().filter(|it| misses(networks, **it));
        let families = families.map(|it| it.as_str());
        let tell = |name| {
            format!(
                "detectLocalMode {field} has no {name} network, but the node has {name} addresses: \
                 {name} traffic from pods counts as from outside the cluster"
            )
        };
        families.map(tell).collect()
    }
}

/// Which families node ports are open in without a limit.
fn node_ports(addresses: &NodePortAddresses, primary: Family, dual: bool) -> Option<String> {
    let open = |family: Family| {
        let name = family.as_str();
        format!(
            "nodePortAddresses has no {name} network: node ports answer on every {name} address"
        )
    };
    match addresses {
        NodePortAddresses::All => Some(
            "nodePortAddresses is not set: node ports answer on every local address; \
             \"primary\" limits them to the node's own"
                .to_owned(),
        ),
        NodePortAddresses::Primary => None,
        NodePortAddresses::Networks(networks) if misses(networks, primary) => Some(open(primary)),
        NodePortAddresses::Networks(networks) => {
            let other = Family::ALL.into_iter().find(|family| *family != primary)?;
            let dual = dual || has_both(networks);
            (dual && misses(networks, other)).then(|| open(other))
        }
    }
}

/// There are networks, and none of this family.
fn misses(networks: &[IpNet], family: Family) -> bool {
    !networks.is_empty() && networks.iter().all(|net| Family::of(&net.addr()) != family)
}

fn has_both(networks: &[IpNet]) -> bool {
    Family::ALL
        .into_iter()
        .all(|family| !networks.is_empty() && !misses(networks, family))
}

fn is_foreign(address: SocketAddr, primary: Family) -> bool {
    !address.ip().is_unspecified() && Family::of(&address.ip()) != primary
}
