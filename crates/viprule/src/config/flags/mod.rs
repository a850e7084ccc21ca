//! Flags: kube-proxy's under its names (contract 8), and our own beside them.
//!
//! A flag only says what was given; [`Flags::fill`] puts that into the same structure that a
//! configuration file fills, and everything is checked there.

mod agent;
mod dataplane;
mod fill;
mod input;
pub(crate) mod value;

use std::path::Path;

pub(crate) use fill::{put, put_list};

pub use agent::{ActionArgs, AgentArgs, VersionArg};
pub use dataplane::{DataplaneArgs, IpFamily};
pub use input::{EmptyArgs, InputArgs, SharedArgs};
pub use value::{BackendChoice, LoggingFormat, Output};

/// All that the command line said.
#[derive(Debug, Clone)]
pub struct Flags {
    /// What every verb takes that plans.
    pub shared: SharedArgs,
    /// What only the agent takes.
    pub agent: Option<AgentArgs>,
    /// The long names of all flags that were given.
    pub given: Vec<String>,
}

impl Flags {
    /// The flags of a verb that ends.
    pub const fn of_verb(shared: SharedArgs, given: Vec<String>) -> Self {
        Self {
            shared,
            agent: None,
            given,
        }
    }

    /// The configuration file.
    pub fn config(&self) -> Option<&Path> {
        let path = self.shared.input.config.as_deref()?;
        (!path.as_os_str().is_empty()).then_some(path)
    }
}
