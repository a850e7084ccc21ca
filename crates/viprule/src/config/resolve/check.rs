//! Problems on the way, under the names that the operator used.

use crate::config::problem::Problem;

/// Fields and the flags that fill them.
const FLAGS: [(&str, &str); 43] = [
    ("bindAddress", "bind-address"),
    ("clientConnection.burst", "kube-api-burst"),
    ("clusterCIDR", "cluster-cidr"),
    ("configSyncPeriod", "config-sync-period"),
    ("conntrack.maxPerCore", "conntrack-max-per-core"),
    ("conntrack.min", "conntrack-min"),
    (
        "conntrack.tcpCloseWaitTimeout",
        "conntrack-tcp-timeout-close-wait",
    ),
    (
        "conntrack.tcpEstablishedTimeout",
        "conntrack-tcp-timeout-established",
    ),
    ("conntrack.udpStreamTimeout", "conntrack-udp-timeout-stream"),
    ("conntrack.udpTimeout", "conntrack-udp-timeout"),
    ("detectLocal.bridgeInterface", "pod-bridge-interface"),
    (
        "detectLocal.interfaceNamePrefix",
        "pod-interface-name-prefix",
    ),
    ("detectLocalMode", "detect-local-mode"),
    ("healthzBindAddress", "healthz-bind-address"),
    ("hostnameOverride", "hostname-override"),
    ("ipFamilies", "ip-family"),
    ("iptables.masqueradeBit", "iptables-masquerade-bit"),
    ("iptables.minSyncPeriod", "iptables-min-sync-period"),
    ("iptables.syncPeriod", "iptables-sync-period"),
    ("iptablesBackend", "iptables-backend"),
    ("ipvs.excludeCIDRs", "ipvs-exclude-cidrs"),
    ("ipvs.minSyncPeriod", "ipvs-min-sync-period"),
    ("ipvs.scheduler", "ipvs-scheduler"),
    ("ipvs.syncPeriod", "ipvs-sync-period"),
    ("ipvs.tcpFinTimeout", "ipvs-tcpfin-timeout"),
    ("ipvs.tcpTimeout", "ipvs-tcp-timeout"),
    ("ipvs.udpTimeout", "ipvs-udp-timeout"),
    ("ipvsDrainTimeout", "ipvs-drain-timeout"),
    ("logLevel", "log-level"),
    ("logging.flushFrequency", "log-flush-frequency"),
    ("logging.format", "logging-format"),
    (
        "masqueradeOutsideNodePorts",
        "masquerade-outside-node-ports",
    ),
    ("metricsBindAddress", "metrics-bind-address"),
    ("mode", "mode"),
    // kube-proxy's flags for iptables mode serve nftables mode as well.
    ("nftables.minSyncPeriod", "iptables-min-sync-period"),
    ("nftables.syncPeriod", "iptables-sync-period"),
    ("nodePortAddresses", "nodeport-addresses"),
    ("oomScoreAdj", "oom-score-adj"),
    ("seccomp", "seccomp"),
    ("serviceBudget", "service-budget"),
    ("serviceNodePortRange", "service-node-port-range"),
    (
        "showHiddenMetricsForVersion",
        "show-hidden-metrics-for-version",
    ),
    ("totalBudget", "total-budget"),
];

/// Fields whose flags count beside a file: all of our own, and the node's name.
const BESIDE_FILE: [&str; 10] = [
    "hostnameOverride",
    "ipFamilies",
    "iptablesBackend",
    "ipvsDrainTimeout",
    "logLevel",
    "masqueradeOutsideNodePorts",
    "seccomp",
    "serviceBudget",
    "serviceNodePortRange",
    "totalBudget",
];

/// Whether a flag fills a field that it counts for beside a file.
pub(in crate::config) fn fills_beside_file(flag: &str) -> bool {
    FLAGS
        .iter()
        .any(|(field, name)| *name == flag && BESIDE_FILE.contains(field))
}

/// Where settings came from, which decides what they are called.
#[derive(Debug, Clone)]
pub(in crate::config) struct Names {
    /// There is a file.
    pub(in crate::config) file: bool,
    /// The long names of all flags that were given.
    pub(in crate::config) given: Vec<String>,
}

impl Names {
    fn is_given(&self, flag: &str) -> bool {
        self.given.iter().any(|name| name == flag)
    }

    /// What a field is called: the flag that filled it, or could have, or its path in the file.
    pub(in crate::config) fn of(&self, field: &str) -> String {
        let (base, _) = field.split_once('[').unwrap_or((field, ""));
        if base == "hostnameOverride" && self.is_given("node") {
            return "--node".to_owned();
        }
        if base.starts_with("featureGates.") && !self.file {
            return format!("--feature-gates: {}", &base["featureGates.".len()..]);
        }
        let flag = FLAGS.iter().find(|(name, _)| *name == base);
        match flag {
            Some((_, flag))
                if !self.file || (BESIDE_FILE.contains(&base) && self.is_given(flag)) =>
            {
                format!("--{flag}")
            }
            _ => field.to_owned(),
        }
    }
}

/// Collects problems.
pub(crate) struct Check<'n> {
    names: &'n Names,
    problems: Vec<Problem>,
}

impl<'n> Check<'n> {
    pub(super) const fn new(names: &'n Names) -> Self {
        Self {
            names,
            problems: Vec::new(),
        }
    }

    /// What the operator calls a field.
    pub(crate) fn name(&self, field: &str) -> String {
        self.names.of(field)
    }

    /// Whether a flag was given.
    pub(super) fn is_given(&self, flag: &str) -> bool {
        self.names.is_given(flag)
    }

    pub(crate) fn wrong(&mut self, field: &str, message: impl Into<String>) {
        self.problems.push(Problem {
            field: self.names.of(field),
            line: None,
            message: message.into(),
        });
    }

    /// A value, or a problem where there is none.
    pub(crate) fn some<T>(
        &mut self,
        field: &str,
        value: Option<T>,
        message: impl FnOnce() -> String,
    ) -> Option<T> {
        if value.is_none() {
            self.wrong(field, message());
        }
        value
    }

    pub(super) fn done(&mut self) -> Result<(), Vec<Problem>> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(std::mem::take(&mut self.problems))
        }
    }
}
