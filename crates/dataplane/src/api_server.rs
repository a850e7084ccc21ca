//! What a Service is told that asks for the API server's addresses.

use viprule_service::plan::ServicePlan;

/// The frontends that no dataplane makes.
pub(crate) fn objections(plan: &ServicePlan) -> impl Iterator<Item = String> + '_ {
    let withheld = plan.api_server.iter().flat_map(|it| &it.withheld);
    withheld.map(|at| {
        format!(
            "{at} is where this node reaches the API server, so it is left to that: take the \
             address from the Service's external IPs or load balancer, or give the Service another \
             port or node port"
        )
    })
}
