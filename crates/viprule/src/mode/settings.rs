//! Settings that one mode alone takes.

use clap::Args;
use ipnet::IpNet;

use super::{iptables, ipvs};
use crate::config::resolve::Check;
use crate::config::{KubeProxyConfiguration, OwnSettings};

/// Flags that one mode alone takes.
#[derive(Debug, Clone, Default, Args)]
pub struct ModeArgs {
    /// IPVS mode's.
    #[command(flatten)]
    pub ipvs: ipvs::Flags,
}

impl ModeArgs {
    /// Puts what kube-proxy's flags said into its configuration.
    pub(crate) fn fill(&self, config: &mut KubeProxyConfiguration) {
        self.ipvs.fill(&mut config.ipvs);
    }

    /// Puts our own flags into our own settings.
    pub(crate) fn fill_own(&self, own: &mut OwnSettings) {
        self.ipvs.fill_own(own);
    }
}

/// How packets are masqueraded, as a mode's section of the configuration says it.
pub(crate) struct MasqueradeSettings {
    /// Where the bit stands.
    pub(crate) bit_field: &'static str,
    /// The bit of the packet mark that asks for it.
    pub(crate) bit: Option<i32>,
    /// All traffic to cluster IPs has it.
    pub(crate) all: bool,
}

/// Settings that one mode alone takes, checked and typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModeSettings {
    /// iptables mode's.
    pub iptables: iptables::IptablesSettings,
    /// IPVS mode's.
    pub ipvs: ipvs::IpvsSettings,
}

impl ModeSettings {
    /// For who removes everything but what belongs to these networks.
    pub(crate) fn excluding(networks: Vec<IpNet>) -> Self {
        let mut settings = Self::default();
        settings.ipvs.exclude_cidrs = networks;
        settings
    }

    /// True where the node needs other settings than with these.
    pub(crate) fn differ_on_node(&self, other: &Self) -> bool {
        self.ipvs.differ_on_node(&other.ipvs)
    }
}

/// Checks what each mode takes.
pub(crate) fn resolve(
    proxy: &KubeProxyConfiguration,
    own: &OwnSettings,
    check: &mut Check<'_>,
) -> ModeSettings {
    ModeSettings {
        iptables: iptables::IptablesSettings::resolve(proxy),
        ipvs: ipvs::IpvsSettings::resolve(proxy, own, check),
    }
}
