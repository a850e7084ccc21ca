//! What operators do to Services and Deployments, while clients go on connecting: nobody may notice.
//!
//! Real pods come and go: Deployment, `ReplicaSet` and EndpointSlice controllers are real, test
//! kubelets run the pods. All scenarios play on one cluster, one after the other. Which proxies run
//! is told by `VIPRULE_PROXIES`, see [`stage`].

mod affinity;
mod app;
mod balancer;
mod drain;
mod pods;
mod readiness;
mod report;
mod rollout;
mod scale;
mod stage;
mod switch;
mod traffic;

pub(crate) use app::App;
pub(crate) use stage::{Stage, play};
