//! How IPVS mode works.

use clap::Args;

use super::value;
use crate::config::duration::GoDuration;

/// How IPVS mode works.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "IPVS mode")]
pub struct IpvsArgs {
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
