//! Settings: kube-proxy's file and flags (contract 8), our own beside them, and what they come to.
//!
//! [`Flags`] and a file fill the same [`KubeProxyConfiguration`] and [`OwnSettings`]; these are
//! checked once, and what comes out is an [`Effective`]. [`Reloader`] follows the file.

mod changes;
pub(crate) mod document;
mod duration;
mod effective;
pub(crate) mod fields;
mod file;
pub(crate) mod flags;
mod gates;
mod own;
mod problem;
mod proxy;
pub(crate) mod resolve;
mod watch;

pub use changes::Changes;
pub use duration::{GoDuration, NotADuration};
pub use effective::{Effective, InputSource};
pub use flags::{
    ActionArgs, AgentArgs, BackendChoice, DataplaneArgs, EmptyArgs, Flags, InputArgs, IpFamily,
    LoggingFormat, Output, SharedArgs, VersionArg,
};
pub use own::OwnSettings;
pub use problem::{ConfigError, Problem};
pub use proxy::{
    ClientConnection, ConntrackConfiguration, DetectLocalConfiguration, Flush, FormatOptions,
    KubeProxyConfiguration, LoggingConfiguration, OutputRoutingOptions, Quantity, VModuleItem,
    WinkernelConfiguration,
};
pub use resolve::{Conntrack, NodeFit, Resolved, SyncPeriods};
pub use watch::{Reloader, ReloaderError};
