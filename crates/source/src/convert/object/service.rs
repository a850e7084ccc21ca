//! Services.

use super::{Metadata, Text, fields};

fields! {
    /// A Service (`v1`).
    struct Service<'o> {
        /// What it says that it is; servers leave it out in lists.
        "kind" => kind: Text<'o>,
        /// The version of the API that it is of, likewise.
        "apiVersion" => api_version: Text<'o>,
        /// `metadata`.
        "metadata" => metadata: Metadata<'o>,
        /// `spec`.
        "spec" => spec: ServiceSpec<'o>,
        /// `status`.
        "status" => status: ServiceStatus<'o>,
    }
}

fields! {
    /// `spec` of a Service.
    struct ServiceSpec<'o> {
        /// `ClusterIP` where it is empty.
        "type" => kind: Text<'o>,
        /// The first cluster IP, `None` of headless Services.
        "clusterIP" => cluster_ip: Text<'o>,
        /// Cluster IPs, in the order of `ip_families`.
        "clusterIPs" => cluster_ips: Vec<Text<'o>>,
        /// `IPv4`, `IPv6`.
        "ipFamilies" => ip_families: Vec<Text<'o>>,
        /// Ports.
        "ports" => ports: Vec<ServicePort<'o>>,
        /// External IPs.
        "externalIPs" => external_ips: Vec<Text<'o>>,
        /// Who may come through a load balancer; everybody where it is empty.
        "loadBalancerSourceRanges" => load_balancer_source_ranges: Vec<Text<'o>>,
        /// `None` where it is empty, or `ClientIP`.
        "sessionAffinity" => session_affinity: Text<'o>,
        /// How long `ClientIP` affinity holds.
        "sessionAffinityConfig" => session_affinity_config: SessionAffinityConfig,
        /// `Cluster` where it is empty, or `Local`.
        "internalTrafficPolicy" => internal_traffic_policy: Text<'o>,
        /// `Cluster` where it is empty, or `Local`.
        "externalTrafficPolicy" => external_traffic_policy: Text<'o>,
        /// The port at which load balancers ask for this node's endpoints; 0 for none.
        "healthCheckNodePort" => health_check_node_port: i32,
    }
}

fields! {
    /// One of `spec.ports`.
    struct ServicePort<'o> {
        /// The name, empty where the Service has one unnamed port.
        "name" => name: Text<'o>,
        /// `TCP` where it is empty.
        "protocol" => protocol: Text<'o>,
        /// The port on every virtual IP.
        "port" => port: i32,
        /// The port on the node's addresses; 0 for none.
        "nodePort" => node_port: i32,
    }
}

fields! {
    /// `spec.sessionAffinityConfig`.
    struct SessionAffinityConfig {
        /// For `ClientIP`.
        "clientIP" => client_ip: ClientIp,
    }
}

fields! {
    /// `spec.sessionAffinityConfig.clientIP`.
    struct ClientIp {
        /// Seconds.
        "timeoutSeconds" => timeout_seconds: Option<i32>,
    }
}

fields! {
    /// `status` of a Service, without its conditions.
    struct ServiceStatus<'o> {
        /// What the load balancer says.
        "loadBalancer" => load_balancer: LoadBalancerStatus<'o>,
    }
}

fields! {
    /// `status.loadBalancer`.
    struct LoadBalancerStatus<'o> {
        /// Where it takes traffic.
        "ingress" => ingress: Vec<Ingress<'o>>,
    }
}

fields! {
    /// One of `status.loadBalancer.ingress`.
    struct Ingress<'o> {
        /// The address, empty where it has a host name.
        "ip" => ip: Text<'o>,
        /// `VIP` where there is none, or `Proxy` (KEP-1860).
        "ipMode" => ip_mode: Option<Text<'o>>,
    }
}
