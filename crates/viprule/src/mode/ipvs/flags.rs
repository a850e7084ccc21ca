//! How IPVS mode works.

use clap::Args;

use super::Configuration;
use crate::config::flags::{put, put_list, value};
use crate::config::{GoDuration, OwnSettings};

/// How IPVS mode works.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "IPVS mode")]
pub struct Flags {
    /// The scheduler of Services that name none, such as rr, wrr, lc, sh or mh [default: rr]
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub ipvs_scheduler: Option<String>,

    /// Networks whose virtual servers are never removed
    #[arg(
        long,
        value_name = "CIDR",
        value_delimiter = ',',
        hide_short_help = true
    )]
    pub ipvs_exclude_cidrs: Vec<String>,

    /// How long connections may go on to a destination that is not wanted any more
    /// [default: 0s for as long as they last]
    #[arg(long, value_name = "DURATION", hide_short_help = true)]
    pub ipvs_drain_timeout: Option<GoDuration>,

    /// Answer ARP only for addresses of the interface that was asked
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          value_name = "BOOL", value_parser = value::boolean, hide_short_help = true)]
    pub ipvs_strict_arp: Option<bool>,

    /// How long idle TCP connections are kept [default: 0s for the kernel's]
    #[arg(long, value_name = "DURATION", hide_short_help = true)]
    pub ipvs_tcp_timeout: Option<GoDuration>,

    /// How long TCP connections are kept behind a FIN [default: 0s for the kernel's]
    #[arg(long, value_name = "DURATION", hide_short_help = true)]
    pub ipvs_tcpfin_timeout: Option<GoDuration>,

    /// How long UDP flows are kept [default: 0s for the kernel's]
    #[arg(long, value_name = "DURATION", hide_short_help = true)]
    pub ipvs_udp_timeout: Option<GoDuration>,
}

impl Flags {
    pub(in crate::mode) fn fill(&self, ipvs: &mut Configuration) {
        put(self.ipvs_scheduler.as_ref(), &mut ipvs.scheduler);
        put_list(&self.ipvs_exclude_cidrs, &mut ipvs.exclude_cidrs);
        put(self.ipvs_strict_arp.as_ref(), &mut ipvs.strict_arp);
        put(self.ipvs_tcp_timeout.as_ref(), &mut ipvs.tcp_timeout);
        put(self.ipvs_tcpfin_timeout.as_ref(), &mut ipvs.tcp_fin_timeout);
        put(self.ipvs_udp_timeout.as_ref(), &mut ipvs.udp_timeout);
    }

    pub(in crate::mode) fn fill_own(&self, own: &mut OwnSettings) {
        put(
            self.ipvs_drain_timeout.as_ref(),
            &mut own.ipvs_drain_timeout,
        );
    }
}
