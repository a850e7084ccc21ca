//! From Kubernetes API objects to the model; the only reader of `k8s-openapi`.
//!
//! Every source goes through here, so that an object means the same wherever it comes from. An
//! object either becomes a model object, or is ignored with a reason, or is refused with an
//! [`ObjectError`] that names the field.

mod balancing;
mod error;
mod field;
mod interner;
mod node;
mod service;
mod slice;

pub use error::{Ignored, ObjectError, Outcome, Warning};
pub use field::{parse_ip, parse_range};
pub use interner::Interner;
pub use node::node;
pub use service::service;
pub(crate) use service::service_id;
pub use slice::endpoint_slice;

pub(crate) use error::{FieldError, label, quoted};
pub(crate) use slice::{SERVICE_NAME_FIELD, slice_id};

/// What became of an object that is not refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted<T> {
    /// The model object, or why there is none.
    pub outcome: Outcome<T>,
    /// What was skipped or read with a guess, in the object's order.
    pub warnings: Vec<Warning>,
}

#[cfg(test)]
mod tests;
