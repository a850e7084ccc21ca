//! Where facts come from: Services, `EndpointSlice`s, this node's object and its addresses.
//!
//! Every source yields [`viprule_service::model::Event`]s. [`kube`] watches an API server,
//! [`manifest`] reads files, [`addresses`] asks the kernel; [`convert`] turns Kubernetes API objects
//! into the model for all of them. No other crate reads Kubernetes objects or speaks to an API
//! server.

pub mod addresses;
pub mod convert;
mod doubt;
pub mod escape;
pub mod files;
pub mod kube;
pub mod manifest;
