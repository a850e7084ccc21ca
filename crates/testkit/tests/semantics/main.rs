//! Rendered dataplanes do with packets what Kubernetes says: for generated clusters, for the tables
//! of the kube-proxy contract, and for what kube-proxy itself wrote. And the comparison notices
//! when they don't.

#![expect(clippy::panic, reason = "helpers of tests fail as tests do")]

mod agreement;
mod contract;
mod generated;
mod ipvs;
mod kube_proxy;
mod memory;
mod mutations;
mod refusals;
mod world;
