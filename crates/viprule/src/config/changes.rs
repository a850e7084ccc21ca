//! What another configuration means for an agent that runs.

use super::effective::Effective;

/// What differs between two configurations, by what has to be done about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a thing of its own to do"
)]
pub struct Changes {
    /// Plans: [`Resolved::plan`](super::Resolved::plan).
    pub plan: bool,
    /// The dataplane's settings: [`Resolved::common`](super::Resolved::common) and
    /// [`Resolved::modes`](super::Resolved::modes).
    pub dataplane: bool,
    /// Settings of the node that a mode needs, among [`Resolved::modes`](super::Resolved::modes).
    pub node: bool,
    /// When the kernel is written: [`Resolved::sync`](super::Resolved::sync).
    pub sync: bool,
    /// The log's filter: [`Resolved::log_level`](super::Resolved::log_level).
    pub log_level: bool,
    /// Connection tracking: [`Resolved::conntrack`](super::Resolved::conntrack).
    pub conntrack: bool,
    /// [`Resolved::oom_score_adj`](super::Resolved::oom_score_adj).
    pub oom_score_adj: bool,
    /// Health is to be served elsewhere, or no more.
    pub health: bool,
    /// Metrics are to be served elsewhere.
    pub metrics: bool,
    /// The API server is to be reached another way.
    pub source: bool,
    /// `/configz` has something else to say, be it without effect.
    pub shown: bool,
    /// Fields that only a restart changes. The old values stay.
    pub restart: Vec<&'static str>,
}

impl Changes {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes over what can be taken over while the agent runs: the configuration from now on, and
    /// what differs from the old one.
    pub fn adopt(old: &Effective, mut new: Effective) -> (Effective, Self) {
        let mut changes = Self {
            restart: keep(old, &mut new),
            ..Self::default()
        };
        let (was, is) = (&old.resolved, &new.resolved);
        changes.plan = was.plan != is.plan;
        changes.dataplane = was.common != is.common || was.modes != is.modes;
        changes.node = was.modes.differ_on_node(&is.modes);
        changes.sync = was.sync != is.sync;
        changes.log_level = was.log_level != is.log_level;
        changes.conntrack = was.conntrack != is.conntrack;
        changes.oom_score_adj = was.oom_score_adj != is.oom_score_adj;
        changes.health = was.health != is.health;
        changes.metrics = was.metrics != is.metrics;
        changes.source = old.input != new.input;
        changes.shown = old.proxy != new.proxy;
        (new, changes)
    }
}

/// Puts back what can't change without a restart, and names it.
fn keep(old: &Effective, new: &mut Effective) -> Vec<&'static str> {
    let mut kept = Vec::new();
    let (was, is) = (&old.resolved, &mut new.resolved);
    if old.proxy.mode != new.proxy.mode {
        kept.push("mode");
        // With all that the mode decides.
        new.proxy.mode.clone_from(&old.proxy.mode);
        new.proxy.iptables.clone_from(&old.proxy.iptables);
        new.proxy.ipvs.clone_from(&old.proxy.ipvs);
        new.proxy.nftables.clone_from(&old.proxy.nftables);
        new.proxy
            .node_port_addresses
            .clone_from(&old.proxy.node_port_addresses);
        is.sync = was.sync;
        is.mode = was.mode;
        is.common.clone_from(&was.common);
        is.modes.clone_from(&was.modes);
    }
    if was.plan.node_name != is.plan.node_name {
        kept.push("hostnameOverride");
        new.proxy
            .hostname_override
            .clone_from(&old.proxy.hostname_override);
        is.plan.node_name.clone_from(&was.plan.node_name);
    }
    if was.log_format != is.log_format {
        kept.push("logging.format");
        new.proxy
            .logging
            .format
            .clone_from(&old.proxy.logging.format);
        is.log_format = was.log_format;
    }
    if was.common.families != is.common.families || was.families_chosen != is.families_chosen {
        kept.push("ipFamilies");
        new.own.ip_families.clone_from(&old.own.ip_families);
        is.common.families.clone_from(&was.common.families);
        is.families_chosen = was.families_chosen;
    }
    if was.backend != is.backend {
        kept.push("iptablesBackend");
        new.own
            .iptables_backend
            .clone_from(&old.own.iptables_backend);
        is.backend = was.backend;
    }
    if was.seccomp != is.seccomp {
        kept.push("seccomp");
        new.own.seccomp = old.own.seccomp;
        is.seccomp = was.seccomp;
    }
    kept
}
