//! Services (contract 1.1, 1.4, 1.5).

use std::net::IpAddr;

use ipnet::IpNet;
use viprule_service::model::{CreationTime, Family, Protocol, Service, ServiceId, ServiceType};

use super::balancing::balancing;
use super::object::{self, Metadata, ServiceSpec, ServiceStatus, Text};
use super::ports::ports;
use super::{Converted, FieldError, Ignored, ObjectError, Outcome, Warning, field, quoted};

/// The API's default for `sessionAffinityConfig.clientIP.timeoutSeconds`, seconds.
const DEFAULT_AFFINITY_SECONDS: i32 = 10_800;
/// The API's longest affinity timeout, seconds.
const LONGEST_AFFINITY_SECONDS: u32 = 86_400;

/// Converts a Service.
///
/// A field that would make the Service mean something else than its author wrote is an error;
/// what kube-proxy skips with a log line is skipped with a warning.
pub fn service(object: &object::Service<'_>) -> Result<Converted<Service>, ObjectError> {
    let mut warnings = Vec::new();
    let outcome =
        convert(object, &mut warnings).map_err(|error| error.of("Service", &object.metadata))?;
    Ok(Converted { outcome, warnings })
}

/// The names of a Service that Kubernetes allows.
pub(crate) fn service_id(metadata: &Metadata<'_>) -> Option<ServiceId> {
    ServiceId::new(&metadata.namespace, &metadata.name).ok()
}

fn convert(
    object: &object::Service<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Outcome<Service>, FieldError> {
    let metadata = &object.metadata;
    let id = ServiceId::new(&metadata.namespace, &metadata.name)
        .map_err(|(field, error)| FieldError::new(field, error.to_string()))?;
    let spec = &object.spec;
    if let Some(reason) = ignored(object) {
        return Ok(Outcome::Ignored(reason));
    }

    let kind = service_type(spec)?;
    let external_policy_local =
        local_policy(&spec.external_traffic_policy, "spec.externalTrafficPolicy")?;
    let internal_policy_local =
        local_policy(&spec.internal_traffic_policy, "spec.internalTrafficPolicy")?;
    Ok(Outcome::Programmed(Service {
        id,
        created: created(metadata, warnings),
        kind,
        cluster_ips: cluster_ips(spec, warnings)?,
        ports: ports(spec)?,
        external_ips: external_ips(spec, warnings),
        load_balancer_ips: load_balancer_ips(&object.status, warnings),
        source_ranges: source_ranges(spec)?,
        affinity_seconds: affinity_seconds(spec)?,
        internal_policy_local,
        external_policy_local,
        health_check_node_port: health_check_node_port(
            spec,
            kind == ServiceType::LoadBalancer && external_policy_local,
            warnings,
        )?,
        balancing: balancing(&metadata.annotations, warnings),
    }))
}

/// When it was created. A server always says so, in one form; a manifest seldom does.
pub(super) fn created(metadata: &Metadata<'_>, warnings: &mut Vec<Warning>) -> CreationTime {
    let Some(text) = metadata.creation_timestamp.filled() else {
        return CreationTime::default();
    };
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return CreationTime::at(time.as_second());
    }
    warnings.push(Warning {
        field: "metadata.creationTimestamp".to_owned(),
        message: format!(
            "{} is no time such as 2026-01-31T08:00:00Z; the Service counts as the newest",
            quoted(text)
        ),
    });
    CreationTime::default()
}

pub(super) fn ignored(object: &object::Service<'_>) -> Option<Ignored> {
    if object.metadata.labels.service_proxy_name.is_some() {
        return Some(Ignored::ForeignProxy);
    }
    if &*object.spec.kind == "ExternalName" {
        return Some(Ignored::ExternalName);
    }
    let spec = &object.spec;
    let listed = || spec.cluster_ips.first().and_then(Text::filled);
    match spec.cluster_ip.filled().or_else(listed) {
        None => Some(Ignored::NoClusterIp),
        Some("None") => Some(Ignored::Headless),
        Some(_) => None,
    }
}

fn service_type(spec: &ServiceSpec<'_>) -> Result<ServiceType, FieldError> {
    match &*spec.kind {
        "" | "ClusterIP" => Ok(ServiceType::ClusterIp),
        "NodePort" => Ok(ServiceType::NodePort),
        "LoadBalancer" => Ok(ServiceType::LoadBalancer),
        other => Err(FieldError::new(
            "spec.type",
            format!(
                "{} is not a type of Service; ClusterIP, NodePort, LoadBalancer and \
                 ExternalName are",
                quoted(other)
            ),
        )),
    }
}

fn local_policy(policy: &str, field: &str) -> Result<bool, FieldError> {
    match policy {
        "" | "Cluster" => Ok(false),
        "Local" => Ok(true),
        other => Err(FieldError::new(
            field,
            format!(
                "{} is not a traffic policy; Cluster and Local are",
                quoted(other)
            ),
        )),
    }
}

/// `clusterIPs`, for which `clusterIP` stands where there are none.
pub(super) fn listed_cluster_ips<'s, 'o>(spec: &'s ServiceSpec<'o>) -> &'s [Text<'o>] {
    if spec.cluster_ips.is_empty() {
        std::slice::from_ref(&spec.cluster_ip)
    } else {
        &spec.cluster_ips
    }
}

/// One cluster IP for each family (contract 1.4). Where no families are listed, the addresses say
/// them.
fn cluster_ips(
    spec: &ServiceSpec<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Box<[IpAddr]>, FieldError> {
    let listed = listed_cluster_ips(spec);
    let single = spec.cluster_ip.filled();
    if let (Some(first), Some(single)) = (listed.first(), single)
        && **first != *single
    {
        return Err(FieldError::new(
            "spec.clusterIPs[0]",
            format!(
                "{} must be the same as spec.clusterIP, which is {}",
                quoted(first),
                quoted(single)
            ),
        ));
    }
    let count = match spec.ip_families.len() {
        0 => listed.len(),
        families => families.min(listed.len()),
    };
    let mut addresses: Vec<IpAddr> = Vec::with_capacity(count);
    for (index, text) in listed.iter().enumerate().take(count) {
        // The first one is written in two places; people write the shorter one.
        let path = if index == 0 && single.is_some() {
            "spec.clusterIP"
        } else {
            &format!("spec.clusterIPs[{index}]")
        };
        let address = field::ip(text, path, warnings)?;
        let family = Family::of(&address);
        if let Some(wanted) = spec.ip_families.get(index)
            && ip_family(wanted, index)? != family
        {
            return Err(FieldError::new(
                path,
                format!(
                    "{address} is not of the family {} that spec.ipFamilies has for it",
                    &**wanted
                ),
            ));
        }
        if !addresses.iter().any(|other| Family::of(other) == family) {
            addresses.push(address);
        }
    }
    Ok(addresses.into())
}

fn ip_family(text: &str, index: usize) -> Result<Family, FieldError> {
    match text {
        "IPv4" => Ok(Family::Ipv4),
        "IPv6" => Ok(Family::Ipv6),
        other => Err(FieldError::new(
            format_args!("spec.ipFamilies[{index}]"),
            format!("{} is not an IP family; IPv4 and IPv6 are", quoted(other)),
        )),
    }
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
pub(super) fn external_ips(spec: &ServiceSpec<'_>, warnings: &mut Vec<Warning>) -> Box<[IpAddr]> {
    let mut addresses = field::Distinct::default();
    for (index, text) in spec.external_ips.iter().enumerate() {
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        match field::ip(text, format_args!("spec.externalIPs[{index}]"), warnings) {
            Ok(address) => addresses.add(address),
            Err(error) => warnings.push(Warning::skipped(error)),
        }
    }
    addresses.into_list().into()
}

/// Only what the load balancer delivers with the VIP as destination (KEP-1860).
pub(super) fn load_balancer_ips(
    status: &ServiceStatus<'_>,
    warnings: &mut Vec<Warning>,
) -> Box<[IpAddr]> {
    let mut addresses = field::Distinct::default();
    for (index, entry) in status.load_balancer.ingress.iter().enumerate() {
        let is_vip = entry.ip_mode.as_ref().is_none_or(|mode| &**mode == "VIP");
        let Some(text) = entry.ip.filled().filter(|_| is_vip) else {
            continue;
        };
        let path = format_args!("status.loadBalancer.ingress[{index}].ip");
        match field::ip(text, path, warnings) {
            Ok(address) => addresses.add(address),
            Err(error) => warnings.push(Warning::skipped(error)),
        }
    }
    addresses.into_list().into()
}

/// An invalid one is an error: without it, a list of one would let everybody in.
fn source_ranges(spec: &ServiceSpec<'_>) -> Result<Box<[IpNet]>, FieldError> {
    let listed = spec.load_balancer_source_ranges.iter().enumerate();
    listed
        .map(|(index, text)| {
            let path = format_args!("spec.loadBalancerSourceRanges[{index}]");
            field::range(text.trim(), path)
        })
        .collect()
}

fn affinity_seconds(spec: &ServiceSpec<'_>) -> Result<Option<u32>, FieldError> {
    match &*spec.session_affinity {
        "" | "None" => return Ok(None),
        "ClientIP" => {}
        other => {
            return Err(FieldError::new(
                "spec.sessionAffinity",
                format!(
                    "{} is not a session affinity; None and ClientIP are",
                    quoted(other)
                ),
            ));
        }
    }
    let client = &spec.session_affinity_config.client_ip;
    let seconds = client.timeout_seconds.unwrap_or(DEFAULT_AFFINITY_SECONDS);
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
    spec: &ServiceSpec<'_>,
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
