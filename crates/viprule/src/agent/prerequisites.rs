//! What the first sync waits for, besides everything having been told (contract 1.3), and whether
//! settings fit the node then.

use std::time::Duration;

use tokio::time::{self, Instant};
use viprule_dataplane::DetectLocal;
use viprule_service::model::Family;
use viprule_service::plan::NodePortAddresses;
use viprule_service::tracker::Tracker;

use crate::config::Resolved;

/// The Node's fields that are waited for.
const ADDRESSES: &str = "status.addresses";
const POD_CIDRS: &str = "spec.podCIDRs";
/// How long to wait for the Node's addresses; then the sync goes on without.
const ADDRESSES_WITHIN: Duration = Duration::from_secs(30);
/// How long to wait for the Node's podCIDRs; then the agent ends.
const POD_CIDRS_WITHIN: Duration = Duration::from_secs(300);

/// Facts of the Node without which the first sync would write what has to be taken back.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Prerequisites {
    /// The Node comes from a cluster.
    from_cluster: bool,
    /// `nodePortAddresses: [primary]`.
    addresses: bool,
    /// `detectLocalMode: NodeCIDR`.
    pod_cidrs: bool,
    deadline: Option<Instant>,
}

impl Prerequisites {
    /// What these settings need of a Node that comes from a cluster.
    pub(super) fn of(resolved: &Resolved) -> Self {
        let mut prerequisites = Self {
            from_cluster: true,
            ..Self::default()
        };
        prerequisites.adapt(resolved);
        prerequisites
    }

    /// Settings are these now.
    pub(super) fn adapt(&mut self, resolved: &Resolved) {
        let settings = &resolved.common;
        let of = |needs: bool| self.from_cluster && needs;
        let addresses = of(settings.node_port_addresses == NodePortAddresses::Primary);
        let pod_cidrs = of(settings.detect_local == DetectLocal::NodeCidr);
        (self.addresses, self.pod_cidrs) = (addresses, pod_cidrs);
    }

    /// What is still missing, as the Node's field.
    pub(super) fn missing(&self, tracker: &Tracker) -> Option<&'static str> {
        let node = tracker.node();
        if self.pod_cidrs && node.is_none_or(|node| node.pod_cidrs.is_empty()) {
            Some(POD_CIDRS)
        } else if self.addresses && node.is_none_or(|node| node.addresses.is_empty()) {
            Some(ADDRESSES)
        } else {
            None
        }
    }

    /// Everything has been told; from now on time counts.
    pub(super) fn begin(&mut self, tracker: &Tracker) {
        if self.deadline.is_none()
            && let Some(field) = self.missing(tracker)
        {
            let name = &tracker.config().node_name;
            tracing::warn!(node = name, "waiting for the Node's {field}");
            let within = match field {
                POD_CIDRS => POD_CIDRS_WITHIN,
                _ => ADDRESSES_WITHIN,
            };
            self.deadline = Some(Instant::now() + within);
        }
    }

    /// Returns when it is time to give up.
    pub(super) async fn over(&self) {
        match self.deadline {
            Some(deadline) => time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }

    /// Goes on without, or says why that is not possible.
    pub(super) fn give_up(&mut self, tracker: &Tracker) -> anyhow::Result<()> {
        self.deadline = None;
        match self.missing(tracker) {
            Some(POD_CIDRS) => anyhow::bail!(
                "detectLocalMode NodeCIDR: the Node has no {POD_CIDRS} after \
                 {POD_CIDRS_WITHIN:?}; let the cluster allocate them or choose another mode"
            ),
            Some(field) => {
                tracing::error!(
                    "the Node has no {field}; node ports answer on every local address"
                );
                self.addresses = false;
            }
            None => {}
        }
        Ok(())
    }

    /// Tells what does not fit a Node that comes from a cluster; an error where nothing could
    /// work (contract 8, startup warnings). `families` are those that this kernel serves.
    pub(super) fn check_fit(
        &self,
        resolved: &Resolved,
        tracker: &Tracker,
        families: &[Family],
    ) -> anyhow::Result<()> {
        if !self.from_cluster {
            return Ok(());
        }
        let Some(node) = tracker.node() else {
            let name = &tracker.config().node_name;
            tracing::warn!(
                "the cluster has no Node {name}: no endpoint counts as local unless its nodeName is \
                 {name}; if this node has another name, set hostnameOverride or --node"
            );
            return Ok(());
        };
        let primary = match families {
            [only] if resolved.families_chosen => *only,
            _ => tracker.primary_family(),
        };
        anyhow::ensure!(
            families.contains(&primary),
            "the node's first address is {}, which this kernel does not serve",
            primary.as_str()
        );
        let fit = resolved.fit(primary, families.len() > 1, &node.pod_cidrs);
        // The primary family is told above.
        let others = families.iter().copied().filter(|family| {
            *family != primary && node.addresses.iter().any(|ip| Family::of(ip) == *family)
        });
        let others: Vec<Family> = others.collect();
        let without = resolved.without_local(&others, &node.pod_cidrs);
        for warning in fit.warnings.into_iter().chain(without) {
            tracing::warn!("{warning}");
        }
        match fit.fatal {
            Some(problem) => Err(anyhow::anyhow!("{problem}; correct the configuration")),
            None => Ok(()),
        }
    }
}
