//! Where facts and settings come from.

use std::path::PathBuf;

use clap::Args;

use super::{DataplaneArgs, value};
use crate::mode::ModeArgs;

/// What every verb takes that plans.
#[derive(Debug, Clone, Default, Args)]
pub struct SharedArgs {
    /// Where facts and settings come from.
    #[command(flatten)]
    pub input: InputArgs,
    /// How Services are put into the kernel.
    #[command(flatten)]
    pub dataplane: DataplaneArgs,
    /// How single modes work.
    #[command(flatten)]
    pub modes: ModeArgs,
}

/// What input may be acted on.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = "Input")]
pub struct EmptyArgs {
    /// Act on input without any Service as well, which removes all that is there of any. Without
    /// it, apply fails and run waits for the first Service among its manifests
    #[arg(long, hide_short_help = true)]
    pub allow_empty: bool,
}

/// Where Services come from, for which node they are planned, and the configuration file.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Input")]
pub struct InputArgs {
    /// A kube-proxy configuration file; kube-proxy's own flags don't count then, as with it
    #[arg(long, value_name = "FILE", value_parser = value::path())]
    pub config: Option<PathBuf>,

    /// Services, EndpointSlices and Nodes in place of a cluster: a YAML or JSON file, a folder of
    /// them, or - for standard input; may be given several times
    #[arg(long, value_name = "PATH")]
    pub manifests: Vec<PathBuf>,

    /// How to reach the cluster [default: as a pod in it]
    #[arg(long, value_name = "FILE", value_parser = value::path())]
    pub kubeconfig: Option<PathBuf>,

    /// The API server's URL in place of the kubeconfig's
    #[arg(long, value_name = "URL", hide_short_help = true)]
    pub master: Option<String>,

    /// The node to compute for. If that Node is among the input, its addresses and labels count;
    /// else this machine's interface addresses [default: this machine's host name]
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,

    /// The same under kube-proxy's name; an empty one is no name
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub hostname_override: Option<String>,
}
