//! The proxy health server's paths (contract 6.1).

use std::sync::Arc;

use super::{Clock, ProxyHealth};
use crate::http::{Handler, Reply, Request, not_found};
use crate::metrics::Metrics;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// `/healthz`: may load balancers send this node traffic?
    Healthz,
    /// `/livez`: does the proxy itself work?
    Livez,
}

/// Answers `/healthz` and `/livez`, for `healthzBindAddress`.
#[derive(Debug)]
pub struct HealthEndpoint {
    health: Arc<ProxyHealth>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl HealthEndpoint {
    /// Answers from `health` and counts answers in `metrics`.
    pub const fn new(health: Arc<ProxyHealth>, metrics: Arc<Metrics>, clock: Clock) -> Self {
        Self {
            health,
            metrics,
            clock,
        }
    }
}

impl Handler for HealthEndpoint {
    async fn answer(&self, request: &Request<()>) -> Reply {
        let probe = match request.uri().path() {
            "/healthz" => Probe::Healthz,
            "/livez" => Probe::Livez,
            _ => return not_found(),
        };
        let health = self.health.health((self.clock)());
        self.metrics
            .health_answered(probe, health.status(probe).as_u16());
        health.reply(probe)
    }
}
