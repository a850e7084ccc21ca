//! Services.

use super::{metadata, object_builder, push};
use crate::wire::Protocol;
use serde_json::{Value, json};

/// A Service under construction; prints as YAML.
#[derive(Debug, Clone, PartialEq)]
pub struct Service(pub(super) Value);

object_builder!(Service);

/// A `ClusterIP` Service named `namespace/name` (or `name`, in `default`), without address and
/// ports.
pub fn service(name: &str) -> Service {
    Service(json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(name),
        "spec": { "type": "ClusterIP" },
    }))
}

impl Service {
    /// The cluster IP; a second call gives the one of the other family.
    #[must_use]
    pub fn cluster_ip(mut self, ip: &str) -> Self {
        let family = if ip.contains(':') { "IPv6" } else { "IPv4" };
        push(&mut self.0, "/spec/clusterIPs", ip.into());
        push(&mut self.0, "/spec/ipFamilies", family.into());
        let two = self.0["spec"]["clusterIPs"][1].is_string();
        let first = self.0["spec"]["clusterIPs"][0].clone();
        let policy = if two {
            "RequireDualStack"
        } else {
            "SingleStack"
        };
        self.set("/spec/clusterIP", first)
            .set("/spec/ipFamilyPolicy", policy)
    }

    /// No cluster IP at all.
    #[must_use]
    pub fn headless(self) -> Self {
        self.set("/spec/clusterIP", "None")
            .set("/spec/clusterIPs", json!(["None"]))
    }

    /// A port; an empty `name` is left out.
    #[must_use]
    pub fn port(mut self, protocol: Protocol, name: &str, port: u16, target: u16) -> Self {
        let mut entry =
            json!({ "protocol": protocol.to_string(), "port": port, "targetPort": target });
        if !name.is_empty() {
            entry["name"] = name.into();
        }
        push(&mut self.0, "/spec/ports", entry);
        self
    }

    /// A TCP port.
    #[must_use]
    pub fn tcp(self, name: &str, port: u16, target: u16) -> Self {
        self.port(Protocol::Tcp, name, port, target)
    }

    /// A UDP port.
    #[must_use]
    pub fn udp(self, name: &str, port: u16, target: u16) -> Self {
        self.port(Protocol::Udp, name, port, target)
    }

    /// An SCTP port.
    #[must_use]
    pub fn sctp(self, name: &str, port: u16, target: u16) -> Self {
        self.port(Protocol::Sctp, name, port, target)
    }

    /// The node port of the port added last; makes a `ClusterIP` Service a `NodePort` one.
    #[must_use]
    pub fn node_port(mut self, node_port: u16) -> Self {
        if let Some(port) = self.0["spec"]["ports"]
            .as_array_mut()
            .and_then(|ports| ports.last_mut())
        {
            port["nodePort"] = node_port.into();
        }
        if self.0["spec"]["type"] == "ClusterIP" {
            return self.set("/spec/type", "NodePort");
        }
        self
    }

    /// Makes it a load balancer Service that was given `ip`, with `ipMode: VIP`.
    #[must_use]
    pub fn load_balancer(self, ip: &str) -> Self {
        self.ingress(json!({ "ip": ip, "ipMode": "VIP" }))
    }

    /// Same with `ipMode: Proxy`: the node doesn't handle the address.
    #[must_use]
    pub fn load_balancer_proxy(self, ip: &str) -> Self {
        self.ingress(json!({ "ip": ip, "ipMode": "Proxy" }))
    }

    fn ingress(mut self, ingress: Value) -> Self {
        push(&mut self.0, "/status/loadBalancer/ingress", ingress);
        self.set("/spec/type", "LoadBalancer")
    }

    /// Adds to `loadBalancerSourceRanges`.
    #[must_use]
    pub fn source_range(mut self, range: &str) -> Self {
        push(&mut self.0, "/spec/loadBalancerSourceRanges", range.into());
        self
    }

    /// Adds to `externalIPs`.
    #[must_use]
    pub fn external_ip(mut self, ip: &str) -> Self {
        push(&mut self.0, "/spec/externalIPs", ip.into());
        self
    }

    /// `ClientIP` session affinity for so many seconds.
    #[must_use]
    pub fn affinity(self, seconds: u32) -> Self {
        self.set("/spec/sessionAffinity", "ClientIP").set(
            "/spec/sessionAffinityConfig/clientIP/timeoutSeconds",
            seconds,
        )
    }

    /// `externalTrafficPolicy: Local`.
    #[must_use]
    pub fn external_local(self) -> Self {
        self.set("/spec/externalTrafficPolicy", "Local")
    }

    /// `internalTrafficPolicy: Local`.
    #[must_use]
    pub fn internal_local(self) -> Self {
        self.set("/spec/internalTrafficPolicy", "Local")
    }

    /// The health check node port of a load balancer Service.
    #[must_use]
    pub fn health_check(self, port: u16) -> Self {
        self.set("/spec/healthCheckNodePort", port)
    }

    /// `trafficDistribution`, such as `PreferClose`.
    #[must_use]
    pub fn traffic_distribution(self, distribution: &str) -> Self {
        self.set("/spec/trafficDistribution", distribution)
    }
}
