//! What only the agent takes.

use clap::Args;

use super::EmptyArgs;
use super::value::{self, LoggingFormat};
use crate::config::duration::GoDuration;
use crate::config::proxy::Quantity;

/// What only the agent takes.
#[derive(Debug, Clone, Default, Args)]
pub struct AgentArgs {
    /// What input may be acted on.
    #[command(flatten)]
    pub empty: EmptyArgs,
    /// When the kernel is written.
    #[command(flatten)]
    pub sync: SyncArgs,
    /// What is served.
    #[command(flatten)]
    pub serve: ServeArgs,
    /// This machine.
    #[command(flatten)]
    pub host: HostArgs,
    /// What is logged.
    #[command(flatten)]
    pub log: LogArgs,
    /// Flags without effect.
    #[command(flatten)]
    pub idle: IdleArgs,
}

/// When the kernel is written.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Sync")]
#[expect(
    clippy::struct_field_names,
    reason = "flags are called as their fields"
)]
pub struct SyncArgs {
    /// How often the kernel is checked without any change being known, such as 30s or 1m
    /// [default: 30s]
    #[arg(long, value_name = "DURATION")]
    pub iptables_sync_period: Option<GoDuration>,

    /// How long to wait between the end of one sync and the next, such as 1s or 500ms
    /// [default: 0s]
    #[arg(long, value_name = "DURATION")]
    pub iptables_min_sync_period: Option<GoDuration>,

    /// The same in IPVS mode, where this is also how often virtual servers and IP sets are read
    /// [default: 30s]
    #[arg(long, value_name = "DURATION", hide_short_help = true)]
    pub ipvs_sync_period: Option<GoDuration>,

    /// The same in IPVS mode [default: 0s]
    #[arg(long, value_name = "DURATION", hide_short_help = true)]
    pub ipvs_min_sync_period: Option<GoDuration>,
}

/// What is served.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Health and metrics")]
pub struct ServeArgs {
    /// Where health is served, IP or IP:port [default: 0.0.0.0:10256]
    #[arg(long, value_name = "IP:PORT")]
    pub healthz_bind_address: Option<String>,

    /// Where metrics are served, IP or IP:port [default: 127.0.0.1:10249]
    #[arg(long, value_name = "IP:PORT")]
    pub metrics_bind_address: Option<String>,

    /// End where one of them can't be bound, rather than try again
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", value_parser = value::boolean, hide_short_help = true)]
    pub bind_address_hard_fail: Option<bool>,

    /// The port where --healthz-bind-address has none; 0 switches health off (deprecated)
    #[arg(long, value_name = "PORT", hide_short_help = true)]
    pub healthz_port: Option<u16>,

    /// The port where --metrics-bind-address has none (deprecated)
    #[arg(long, value_name = "PORT", hide_short_help = true)]
    pub metrics_port: Option<u16>,
}

/// This machine.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Host")]
pub struct HostArgs {
    /// Tracked connections for each core; 0 leaves the limit [default: 32768]
    #[arg(
        long,
        value_name = "NUMBER",
        allow_negative_numbers = true,
        hide_short_help = true
    )]
    pub conntrack_max_per_core: Option<i32>,

    /// Tracked connections at least [default: 131072]
    #[arg(
        long,
        value_name = "NUMBER",
        allow_negative_numbers = true,
        hide_short_help = true
    )]
    pub conntrack_min: Option<i32>,

    /// Of idle established TCP connections; 0 leaves it [default: 24h]
    #[arg(long, value_name = "DURATION", hide_short_help = true)]
    pub conntrack_tcp_timeout_established: Option<GoDuration>,

    /// Of TCP connections that the other side has closed; 0 leaves it [default: 1h]
    #[arg(long, value_name = "DURATION", hide_short_help = true)]
    pub conntrack_tcp_timeout_close_wait: Option<GoDuration>,

    /// Track TCP packets outside of the window as well
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", value_parser = value::boolean, hide_short_help = true)]
    pub conntrack_tcp_be_liberal: Option<bool>,

    /// Of UDP flows without an answer; 0 leaves it [default: 0s]
    #[arg(long, value_name = "DURATION", hide_short_help = true)]
    pub conntrack_udp_timeout: Option<GoDuration>,

    /// Of UDP flows in both directions; 0 leaves it [default: 0s]
    #[arg(long, value_name = "DURATION", hide_short_help = true)]
    pub conntrack_udp_timeout_stream: Option<GoDuration>,

    /// How early this process goes when memory runs out, -1000 to 1000 [default: -999]
    #[arg(
        long,
        value_name = "NUMBER",
        allow_negative_numbers = true,
        hide_short_help = true
    )]
    pub oom_score_adj: Option<i32>,

    /// Give up the system calls that the agent does not need, once it has started [default: true]
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", value_parser = value::boolean, hide_short_help = true)]
    pub seccomp: Option<bool>,
}

/// What is logged.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// How log lines look [default: text]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub logging_format: Option<LoggingFormat>,

    /// How much is logged: error, warn, info, debug or trace; wins over -v [default: info]
    #[arg(long, value_name = "LEVEL", env = "VIPRULE_LOG")]
    pub log_level: Option<String>,

    /// The same as kube-proxy counts: 0 to 2 for info, 3 and 4 for debug, more for trace
    #[arg(long, value_name = "NUMBER", short = 'v')]
    pub v: Option<u32>,
}

/// Flags that mean nothing here.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Taken from kube-proxy, without effect")]
pub struct IdleArgs {
    /// Files with a boot id
    #[arg(long, value_name = "FILES", hide_short_help = true)]
    pub boot_id_file: Option<String>,

    /// Files with a machine id
    #[arg(long, value_name = "FILES", hide_short_help = true)]
    pub machine_id_file: Option<String>,

    /// How often informers tell everything again
    #[arg(long, value_name = "DURATION", hide_short_help = true)]
    pub config_sync_period: Option<GoDuration>,

    /// Requests to the API server at once
    #[arg(
        long,
        value_name = "NUMBER",
        allow_negative_numbers = true,
        hide_short_help = true
    )]
    pub kube_api_burst: Option<i32>,

    /// Content type of requests to the API server
    #[arg(long, value_name = "TYPE", hide_short_help = true)]
    pub kube_api_content_type: Option<String>,

    /// Requests to the API server a second
    #[arg(
        long,
        value_name = "NUMBER",
        allow_negative_numbers = true,
        hide_short_help = true
    )]
    pub kube_api_qps: Option<f64>,

    /// How often buffered log lines are written
    #[arg(long, value_name = "DURATION", hide_short_help = true)]
    pub log_flush_frequency: Option<GoDuration>,

    /// How much of a JSON log is buffered
    #[arg(long, value_name = "AMOUNT", value_parser = value::amount, hide_short_help = true)]
    pub log_json_info_buffer_size: Option<Quantity>,

    /// Errors in a JSON log go to a stream of their own
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", value_parser = value::boolean, hide_short_help = true)]
    pub log_json_split_stream: Option<bool>,

    /// How much of a text log is buffered
    #[arg(long, value_name = "AMOUNT", value_parser = value::amount, hide_short_help = true)]
    pub log_text_info_buffer_size: Option<Quantity>,

    /// Errors in a text log go to a stream of their own
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", value_parser = value::boolean, hide_short_help = true)]
    pub log_text_split_stream: Option<bool>,

    /// Profiles over HTTP
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", value_parser = value::boolean, hide_short_help = true)]
    pub profiling: Option<bool>,

    /// Metrics that are about to go
    #[arg(long, value_name = "VERSION", hide_short_help = true)]
    pub show_hidden_metrics_for_version: Option<String>,

    /// Verbosity of single source files
    #[arg(long, value_name = "PATTERN=N", value_delimiter = ',', value_parser = value::module, hide_short_help = true)]
    pub vmodule: Vec<(String, u32)>,
}

/// What is done in place of keeping the kernel right.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Instead of running")]
pub struct ActionArgs {
    /// Remove everything that is ours from the kernel, as viprule cleanup does
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", value_parser = value::boolean, hide_short_help = true)]
    pub cleanup: Option<bool>,

    /// Make the settings of this machine that take root, and end
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", value_parser = value::boolean, hide_short_help = true)]
    pub init_only: Option<bool>,

    /// Write the configuration as it comes out into a file, and end
    #[arg(long, value_name = "FILE", hide_short_help = true, value_parser = value::path())]
    pub write_config_to: Option<std::path::PathBuf>,

    /// Print the version, or all about it with =raw
    #[arg(short = 'V', long, num_args = 0..=1, default_missing_value = "true",
          require_equals = true, value_name = "raw", value_parser = version)]
    pub version: Option<VersionArg>,
}

/// What `--version` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionArg {
    /// Nothing: `--version=false`, or a version that kube-proxy would claim to be.
    Nothing,
    /// One line.
    Line,
    /// All about it.
    Raw,
}

fn version(text: &str) -> Result<VersionArg, String> {
    match text {
        "raw" => Ok(VersionArg::Raw),
        claimed if claimed.starts_with('v') => Ok(VersionArg::Nothing),
        text => value::boolean(text).map(|wanted| {
            if wanted {
                VersionArg::Line
            } else {
                VersionArg::Nothing
            }
        }),
    }
}
