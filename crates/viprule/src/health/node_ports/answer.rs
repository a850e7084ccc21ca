//! The answer to a health check of a Service.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use viprule_service::model::ServiceId;

use crate::health::{Clock, ProxyHealth};
use crate::http::{Handler, Reply, Request, json};

/// How many endpoints stand behind this node, for load balancers that weigh nodes.
const WEIGHT: HeaderName = HeaderName::from_static("x-load-balancing-endpoint-weight");

/// Answers for one Service in one family, whatever the path.
#[derive(Debug)]
pub(super) struct ServiceEndpoint {
    pub(super) service: ServiceId,
    pub(super) local_endpoints: Arc<AtomicUsize>,
    pub(super) health: Option<Arc<ProxyHealth>>,
    pub(super) clock: Clock,
}

impl Handler for ServiceEndpoint {
    async fn answer(&self, _: &Request<()>) -> Reply {
        let count = self.local_endpoints.load(Ordering::Relaxed);
        let now = (self.clock)();
        let healthy = self
            .health
            .as_ref()
            .is_none_or(|health| health.is_healthy(now));
        let status = if count > 0 && healthy {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let (namespace, name) = (self.service.namespace(), self.service.name());
        // Names are DNS labels: they need no escapes.
        let body = format!(
            "{{\n\t\"service\": {{\n\t\t\"namespace\": \"{namespace}\",\n\t\t\"name\": \"{name}\"\n\t}},\n\
             \t\"localEndpoints\": {count},\n\t\"serviceProxyHealthy\": {healthy}\n}}"
        );
        let mut reply = json(status, body);
        reply.headers_mut().insert(WEIGHT, HeaderValue::from(count));
        reply
    }
}
