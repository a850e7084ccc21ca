//! Settings: kube-proxy's file and flags (contract 8), our own beside them, and what they come to.
//!
//! [`Flags`] and a file fill the same [`KubeProxyConfiguration`] and [`OwnSettings`]; these are
//! checked once, and what comes out is an [`Effective`]. [`Reloader`] follows the file.

mod changes;
mod document;
mod duration;
mod effective;
mod fields;
mod file;
mod flags;
mod gates;
mod own;
mod problem;
mod proxy;
mod resolve;
mod watch;

pub use changes::Changes;
pub use duration::{GoDuration, NotADuration};
pub use effective::{Effective, InputSource};
pub use flags::{
    ActionArgs, AgentArgs, DataplaneArgs, EmptyArgs, Flags, InputArgs, IpFamily, IptablesBackend,
    IpvsArgs, LoggingFormat, Output, SharedArgs, VersionArg,
};
pub use own::OwnSettings;
pub use problem::{ConfigError, Problem};
pub use proxy::{
    ClientConnection, ConntrackConfiguration, DetectLocalConfiguration, Flush, FormatOptions,
    IptablesConfiguration, IpvsConfiguration, KubeProxyConfiguration, LoggingConfiguration,
    NftablesConfiguration, OutputRoutingOptions, Quantity, VModuleItem, WinkernelConfiguration,
};
pub use resolve::{Conntrack, Ipvs, NodeFit, ProxyMode, Resolved, SyncPeriods};
pub use watch::{Reloader, ReloaderError};
