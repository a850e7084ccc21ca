//! What every virtual IP and port of a Service must do on this node.
//!
//! A plan is neutral: it says which packets are meant (frontends), where they may go (endpoints)
//! and under which conditions, not how a kernel is told.

mod address_text;
mod api_server;
mod backends;
mod config;
mod endpoints;
mod flow_endpoints;
mod flows;
mod frontends;
mod health;
mod node_ports;
mod planner;
mod service_plan;
mod size;
mod source_ranges;
mod terminating;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod topology;
mod traffic_policy;

pub(crate) use api_server::{is_concerned, reached};
pub use config::{Budgets, NodeFacts, PlanConfig};
pub use flow_endpoints::FlowEndpoints;
pub use flows::{AllowedFlows, FlowDestination, FlowFrontend, FlowPlace};
pub(crate) use frontends::{Claim, claims};
pub use frontends::{Frontend, FrontendKind};
pub use node_ports::{NodePortAddresses, NodePortTargets};
pub use planner::plan_service;
pub(crate) use planner::{Lost, plan_without};
pub use service_plan::{
    ApiServerConflict, EndpointPlan, HealthCheck, PortPlan, SchedulerWish, ServicePlan, Unreachable,
};
pub(crate) use size::size;
pub(crate) use topology::depends_on_zone;
