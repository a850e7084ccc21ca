//! What viprule's tests are made of: network namespaces, a small cluster's wiring, servers that say
//! who they are, clients that say who answered, the agent as a process, manifests and dumps.
//!
//! Nothing here touches the machine's own network namespace. Everything needs root, or a user
//! namespace in which the tests are root: see [`netns::require_privileges`].

pub mod agent;
pub mod api_server;
mod background;
pub mod chance;
pub mod client;
pub mod cluster;
pub mod dump;
mod error;
pub mod fake;
pub mod flows;
pub mod golden;
pub mod kubelet;
pub mod leftovers;
pub mod manifests;
pub mod memory;
pub mod mode;
pub mod netns;
pub mod objects;
pub mod programmed;
pub mod rival;
pub mod sctp;
pub mod semantics;
pub mod server;
pub mod steps;
pub mod strategy;
mod suite;
pub mod topology;
pub mod walker;
mod wire;

use std::time::Duration;

pub use error::{Error, Result};
/// Kubernetes objects, for tests that ask [`cluster::Api`] for them.
pub use k8s_openapi;
pub use mode::Mode;
pub use netns::Namespace;
pub use topology::World;
pub use wire::{Answer, Protocol};

/// How long a test waits for what has to come before it fails. No test passes or fails by how fast
/// the machine is, so this is far more than the slowest machine needs.
pub const LIMIT: Duration = Duration::from_secs(180);
