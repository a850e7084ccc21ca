//! The body of an answer about the proxy's health (contract 6.1).

use std::collections::BTreeMap;

use hyper::StatusCode;
use serde::Serialize;

use super::Moment;
use super::moment::NEVER;
use super::serve::Probe;
use crate::http::{Reply, json};

/// The proxy's health at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// No family's request waits too long.
    pub healthy: bool,
    /// Load balancers may send this node traffic.
    pub node_eligible: bool,
    /// The latest successful sync of any family.
    pub last_updated: Option<Moment>,
    /// The moment.
    pub now: Moment,
    pub(super) status: BTreeMap<&'static str, FamilyHealth>,
    /// What is wrong beside the dataplane.
    pub warnings: Vec<Warning>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FamilyHealth {
    pub(super) last_updated: String,
    pub(super) healthy: bool,
}

/// Something is wrong that leaves the dataplane right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// What: `watch services`, `quarantine`.
    pub subject: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// What is wrong with it.
    pub message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    last_updated: &'a str,
    current_time: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_eligible: Option<bool>,
    healthy: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    status: &'a BTreeMap<&'static str, FamilyHealth>,
    /// Ours; kube-proxy's body has no such key.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [Warning],
}

impl Health {
    /// What the probe makes of it.
    pub fn status(&self, probe: Probe) -> StatusCode {
        let well = match probe {
            Probe::Healthz => self.healthy && self.node_eligible,
            Probe::Livez => self.healthy,
        };
        if well {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }

    /// kube-proxy's answer: keys in its order, and a last update of "now" while all is well.
    pub fn reply(&self, probe: Probe) -> Reply {
        let status = self.status(probe);
        let now = self.now.rfc3339();
        let last = self.last_updated.map(|last| last.rfc3339());
        let last_updated = match (status, &last) {
            (StatusCode::OK, _) => &now,
            (_, Some(last)) => last,
            (_, None) => NEVER,
        };
        let body = Body {
            last_updated,
            current_time: &now,
            node_eligible: (probe == Probe::Healthz).then_some(self.node_eligible),
            healthy: self.healthy,
            status: &self.status,
            warnings: &self.warnings,
        };
        // Strings, booleans and maps with string keys always serialise.
        json(status, serde_json::to_string(&body).unwrap_or_default())
    }
}
