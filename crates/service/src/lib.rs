//! Kubernetes Service semantics, without I/O.
//!
//! [`model`] holds validated facts, [`tracker`] applies events to them and knows which Services
//! they concern, [`plan`] works out what each virtual IP and port must do on this node. A plan
//! knows no dataplane.

pub mod model;
pub mod plan;
pub mod tracker;
