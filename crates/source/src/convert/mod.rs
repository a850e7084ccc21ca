//! From Kubernetes API objects to the model.
//!
//! Every source goes through here, so that an object means the same wherever it comes from: it is
//! read into the fields of [`object`], which either become a model object, or are ignored with a
//! reason, or are refused with an [`ObjectError`] that names the field.
//!
//! What an API server would have filled in before anybody could see the object is filled in here,
//! for every source: manifests leave it out, and of a server's objects it changes nothing. Values
//! that the API server (1.36) stores although they mean nothing are left out with a warning; all
//! else that can't be programmed refuses the object.

mod asked;
mod balancing;
mod endpoints;
mod error;
mod field;
mod interner;
mod node;
pub mod object;
mod ports;
mod service;
mod service_cidr;
mod slice;

pub use asked::{asked, asked_of_value};
pub use endpoints::endpoints;
pub use error::{Ignored, ObjectError, Outcome, Warning};
pub use field::{parse_ip, parse_range};
pub use interner::Interner;
pub use node::node;
pub use service::service;
pub(crate) use service::service_id;
pub use service_cidr::service_cidr;
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
