//! Where facts come from: Services, `EndpointSlice`s, this node's object and its addresses.
//!
//! Every source yields [`viprule_service::model::Event`]s. [`manifest`] reads files, [`addresses`]
//! asks the kernel, [`convert`] turns Kubernetes API objects into the model for all of them.

pub mod addresses;
pub mod convert;
pub mod manifest;
