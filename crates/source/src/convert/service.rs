//! Services (contract 1.1, 1.4, 1.5).

use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use viprule_service::model::{Family, Protocol, Service, ServiceId, ServicePort, ServiceType};

use super::balancing::balancing;
use super::{Converted, FieldError, Ignored, ObjectError, Outcome, Warning, field, quoted};

/// Label of Services that another proxy serves; any value (KEP-2447).
const PROXY_NAME_LABEL: &str = "service.kubernetes.io/service-proxy-name";
/// The API's default for `sessionAffinityConfig.clientIP.timeoutSeconds`, seconds.
const DEFAULT_AFFINITY_SECONDS: i32 = 10_800;
/// The API's longest affinity timeout, seconds.
const LONGEST_AFFINITY_SECONDS: u32 = 86_400;

/// Converts a Service.
///
/// A field that would make the Service mean something else than its author wrote is an error;
/// what kube-proxy skips with a log line is skipped with a warning.
pub fn service(object: &v1::Service) -> Result<Converted<Service>, ObjectError> {
    let mut warnings = Vec::new();
    let outcome =
        convert(object, &mut warnings).map_err(|error| error.of("Service", &object.metadata))?;
    Ok(Converted { outcome, warnings })
}

/// The names of a Service that Kubernetes allows.
pub(crate) fn service_id(metadata: &ObjectMeta) -> Option<ServiceId> {
    let namespace = metadata.namespace.as_deref()?;
    ServiceId::new(namespace, metadata.name.as_deref()?).ok()
}

fn convert(
    object: &v1::Service,
    warnings: &mut Vec<Warning>,
) -> Result<Outcome<Service>, FieldError> {
    let metadata = &object.metadata;
    let id = ServiceId::new(
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
    )
    .map_err(|(field, error)| FieldError::new(field, error.to_string()))?;
    let Some(spec) = &object.spec else {
        return Ok(Outcome::Ignored(Ignored::NoClusterIp));
    };
    if let Some(reason) = ignored(object, spec) {
        return Ok(Outcome::Ignored(reason));
    }

    let kind = service_type(spec)?;
    let external_policy_local = local_policy(
        spec.external_traffic_policy.as_deref(),
        "spec.externalTrafficPolicy",
    )?;
    let internal_policy_local = local_policy(
        spec.internal_traffic_policy.as_deref(),
        "spec.internalTrafficPolicy",
    )?;
    Ok(Outcome::Programmed(Service {
        id,
        kind,
        cluster_ips: cluster_ips(spec, warnings)?,
        ports: ports(spec)?,
        external_ips: external_ips(spec, warnings),
        load_balancer_ips: load_balancer_ips(object, warnings),
        source_ranges: source_ranges(spec)?,
        affinity_seconds: affinity_seconds(spec)?,
        internal_policy_local,
        external_policy_local,
        health_check_node_port: health_check_node_port(
            spec,
            kind == ServiceType::LoadBalancer && external_policy_local,
            warnings,
        )?,
        balancing: balancing(metadata, warnings),
    }))
}

fn ignored(object: &v1::Service, spec: &v1::ServiceSpec) -> Option<Ignored> {
    let labels = object.metadata.labels.as_ref();
    if labels.is_some_and(|labels| labels.contains_key(PROXY_NAME_LABEL)) {
        return Some(Ignored::ForeignProxy);
    }
    if spec.type_.as_deref() == Some("ExternalName") {
        return Some(Ignored::ExternalName);
    }
    match spec.cluster_ip.as_deref().unwrap_or_default() {
        "" => Some(Ignored::NoClusterIp),
        "None" => Some(Ignored::Headless),
        _ => None,
    }
}

fn service_type(spec: &v1::ServiceSpec) -> Result<ServiceType, FieldError> {
    match spec.type_.as_deref() {
        None | Some("" | "ClusterIP") => Ok(ServiceType::ClusterIp),
        Some("NodePort") => Ok(ServiceType::NodePort),
        Some("LoadBalancer") => Ok(ServiceType::LoadBalancer),
        Some(other) => Err(FieldError::new(
            "spec.type",
            format!(
                "{} is not a type of Service; ClusterIP, NodePort, LoadBalancer and \
                 ExternalName are",
                quoted(other)
            ),
        )),
    }
}

fn local_policy(policy: Option<&str>, field: &str) -> Result<bool, FieldError> {
    match policy {
        None | Some("" | "Cluster") => Ok(false),
        Some("Local") => Ok(true),
        Some(other) => Err(FieldError::new(
            field,
            format!(
                "{} is not a traffic policy; Cluster and Local are",
                quoted(other)
            ),
        )),
    }
}

/// One cluster IP for each family (contract 1.4).
fn cluster_ips(
    spec: &v1::ServiceSpec,
    warnings: &mut Vec<Warning>,
) -> Result<Box<[IpAddr]>, FieldError> {
    let first = spec.cluster_ip.as_deref().unwrap_or_default();
    let families = spec.ip_families.as_deref().unwrap_or_default();
    let listed = spec.cluster_ips.as_deref().unwrap_or_default();
    if families.is_empty() || listed.is_empty() {
        return Ok([field::ip(first, "spec.clusterIP", warnings)?].into());
    }
    if let Some(listed) = listed.first().filter(|listed| listed.as_str() != first) {
        return Err(FieldError::new(
            "spec.clusterIPs[0]",
            format!(
                "{} must be the same as spec.clusterIP, which is {}",
                quoted(listed),
                quoted(first)
            ),
        ));
    }
    let mut addresses = Vec::with_capacity(families.len());
    for (index, (family, text)) in families.iter().zip(listed).enumerate() {
        // The first one is written in two places; people write the shorter one.
        let path = if index == 0 {
            "spec.clusterIP".to_owned()
        } else {
            format!("spec.clusterIPs[{index}]")
        };
        let wanted = match family.as_str() {
            "IPv4" => Family::Ipv4,
            "IPv6" => Family::Ipv6,
            other => {
                return Err(FieldError::new(
                    format!("spec.ipFamilies[{index}]"),
                    format!("{} is not an IP family; IPv4 and IPv6 are", quoted(other)),
                ));
            }
        };
        let address = field::ip(text, path.clone(), warnings)?;
        if Family::of(&address) != wanted {
            return Err(FieldError::new(
                path,
                format!("{address} is not of the family {family} that spec.ipFamilies has for it"),
            ));
        }
        if !addresses.iter().any(|other| Family::of(other) == wanted) {
            addresses.push(address);
        }
    }
    Ok(addresses.into())
}

fn ports(spec: &v1::ServiceSpec) -> Result<Box<[ServicePort]>, FieldError> {
    let listed = spec.ports.as_deref().unwrap_or_default();
    let mut ports: Vec<ServicePort> = Vec::with_capacity(listed.len());
    for (index, port) in listed.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        let new = ServicePort {
            name: field::port_name(
                port.name.as_deref().unwrap_or_default(),
                format!("{path}.name"),
            )?,
            protocol: field::protocol(port.protocol.as_deref(), format!("{path}.protocol"))?,
            port: field::port(port.port, format!("{path}.port"))?,
            node_port: field::optional_port(port.node_port, format!("{path}.nodePort"))?,
        };
        for (other, known) in ports.iter().enumerate() {
            collision(known, &new, other, &path)?;
        }
        ports.push(new);
    }
    Ok(ports.into())
}

/// What two ports of one Service must not share.
fn collision(
    known: &ServicePort,
    new: &ServicePort,
    other: usize,
    path: &str,
) -> Result<(), FieldError> {
    if known.protocol != new.protocol {
        return Ok(());
    }
    let protocol = protocol_name(new.protocol);
    let (field, what) = if known.name == new.name {
        ("name", format!("{:?} with {protocol}", new.name))
    } else if known.port == new.port {
        ("port", format!("{}/{protocol}", new.port))
    } else if known.node_port == new.node_port && new.node_port != 0 {
        ("nodePort", format!("{}/{protocol}", new.node_port))
    } else {
        return Ok(());
    };
    Err(FieldError::new(
        format!("{path}.{field}"),
        format!("{what} is taken by spec.ports[{other}]"),
    ))
}

/// As `Protocol` is spelt in objects.
pub(super) fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Sctp => "SCTP",
    }
}

/// Invalid ones are skipped with a warning, blank ones without (contract 1.4).
fn external_ips(spec: &v1::ServiceSpec, warnings: &mut Vec<Warning>) -> Box<[IpAddr]> {
    let mut addresses = Vec::new();
    for (index, text) in spec.external_ips.iter().flatten().enumerate() {
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        match field::ip(text, format!("spec.externalIPs[{index}]"), warnings) {
            Ok(address) => field::push_new(&mut addresses, address),
            Err(error) => warnings.push(Warning::skipped(error)),
        }
    }
    addresses.into()
}

/// Only what the load balancer delivers with the VIP as destination (KEP-1860).
fn load_balancer_ips(object: &v1::Service, warnings: &mut Vec<Warning>) -> Box<[IpAddr]> {
    let status = object
        .status
        .as_ref()
        .and_then(|status| status.load_balancer.as_ref());
    let ingress = status
        .and_then(|balancer| balancer.ingress.as_deref())
        .unwrap_or_default();
    let mut addresses = Vec::new();
    for (index, entry) in ingress.iter().enumerate() {
        let text = entry.ip.as_deref().unwrap_or_default();
        if text.is_empty() || !matches!(entry.ip_mode.as_deref(), None | Some("VIP")) {
            continue;
        }
        match field::ip(
            text,
            format!("status.loadBalancer.ingress[{index}].ip"),
            warnings,
        ) {
            Ok(address) => field::push_new(&mut addresses, address),
            Err(error) => warnings.push(Warning::skipped(error)),
        }
    }
    addresses.into()
}

/// An invalid one is an error: without it, a list of one would let everybody in.
fn source_ranges(spec: &v1::ServiceSpec) -> Result<Box<[IpNet]>, FieldError> {
    let listed = spec
        .load_balancer_source_ranges
        .iter()
        .flatten()
        .enumerate();
    listed
        .map(|(index, text)| {
            field::range(
                text.trim(),
                format!("spec.loadBalancerSourceRanges[{index}]"),
            )
        })
        .collect()
}

fn affinity_seconds(spec: &v1::ServiceSpec) -> Result<Option<u32>, FieldError> {
    match spec.session_affinity.as_deref() {
        None | Some("" | "None") => return Ok(None),
        Some("ClientIP") => {}
        Some(other) => {
            return Err(FieldError::new(
                "spec.sessionAffinity",
                format!(
                    "{} is not a session affinity; None and ClientIP are",
                    quoted(other)
                ),
            ));
        }
    }
    let client = spec
        .session_affinity_config
        .as_ref()
        .and_then(|config| config.client_ip.as_ref());
    let seconds = client
        .and_then(|client| client.timeout_seconds)
        .unwrap_or(DEFAULT_AFFINITY_SECONDS);
    match u32::try_from(seconds) {
        Ok(seconds) if (1..=LONGEST_AFFINITY_SECONDS).contains(&seconds) => Ok(Some(seconds)),
        _ => Err(FieldError::new(
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
            format!("{seconds} is not an affinity timeout, 1 to {LONGEST_AFFINITY_SECONDS} are"),
        )),
    }
}

/// Kept only where the policy needs it (contract 1.4).
fn health_check_node_port(
    spec: &v1::ServiceSpec,
    needed: bool,
    warnings: &mut Vec<Warning>,
) -> Result<u16, FieldError> {
    const FIELD: &str = "spec.healthCheckNodePort";
    if !needed {
        return Ok(0);
    }
    let port = field::optional_port(spec.health_check_node_port, FIELD)?;
    if port == 0 {
        warnings.push(Warning {
            field: FIELD.to_owned(),
            message: "is missing, so load balancers can't see which nodes have endpoints; an API \
                      server would have assigned one"
                .to_owned(),
        });
    }
    Ok(port)
}
