//! `EndpointSlice`s (contract 1.1, 1.6).

use std::net::IpAddr;

use k8s_openapi::api::discovery::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use viprule_service::model::{
    Conditions, Endpoint, EndpointSlice, Family, Hints, ServiceId, SliceId, SlicePort,
};

use super::service::protocol_name;
use super::{
    Converted, FieldError, Ignored, Interner, ObjectError, Outcome, Warning, field, quoted,
};

/// Label of slices that belong to headless Services; any value.
const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";
/// Label that names the Service of a slice, in the slice's namespace.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";
/// The path of [`SERVICE_NAME_LABEL`] in messages.
pub(crate) const SERVICE_NAME_FIELD: &str = "metadata.labels[\"kubernetes.io/service-name\"]";

/// Converts an `EndpointSlice`. Node names come from `names`.
///
/// One endpoint that can't be understood refuses the whole slice, so that a Service never loses
/// endpoints silently.
pub fn endpoint_slice(
    object: &v1::EndpointSlice,
    names: &mut Interner,
) -> Result<Converted<EndpointSlice>, ObjectError> {
    let mut warnings = Vec::new();
    let outcome = convert(object, names, &mut warnings)
        .map_err(|error| error.of("EndpointSlice", &object.metadata))?;
    Ok(Converted { outcome, warnings })
}

/// The names of a slice that belongs to a Service.
pub(crate) fn slice_id(metadata: &ObjectMeta) -> Option<SliceId> {
    let service = metadata.labels.as_ref()?.get(SERVICE_NAME_LABEL)?;
    let service = ServiceId::new(metadata.namespace.as_deref()?, service).ok()?;
    SliceId::new(service, metadata.name.as_deref()?).ok()
}

fn convert(
    object: &v1::EndpointSlice,
    names: &mut Interner,
    warnings: &mut Vec<Warning>,
) -> Result<Outcome<EndpointSlice>, FieldError> {
    let metadata = &object.metadata;
    let label = |key| metadata.labels.as_ref().and_then(|labels| labels.get(key));
    if label(HEADLESS_LABEL).is_some() {
        return Ok(Outcome::Ignored(Ignored::Headless));
    }
    let family = match object.address_type.as_str() {
        "IPv4" => Family::Ipv4,
        "IPv6" => Family::Ipv6,
        "FQDN" => return Ok(Outcome::Ignored(Ignored::Fqdn)),
        other => {
            return Err(FieldError::new(
                "addressType",
                format!(
                    "{} is not an address type; IPv4, IPv6 and FQDN are",
                    quoted(other)
                ),
            ));
        }
    };
    let Some(service) = label(SERVICE_NAME_LABEL).filter(|name| !name.is_empty()) else {
        warnings.push(Warning {
            field: SERVICE_NAME_FIELD.to_owned(),
            message: "is missing, so the slice belongs to no Service and is ignored".to_owned(),
        });
        return Ok(Outcome::Ignored(Ignored::NoServiceName));
    };
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let service = ServiceId::new(namespace, service).map_err(|(part, error)| {
        let field = if part == "metadata.name" {
            SERVICE_NAME_FIELD
        } else {
            part
        };
        FieldError::new(field, error.to_string())
    })?;
    let id = SliceId::new(service, metadata.name.as_deref().unwrap_or_default())
        .map_err(|error| FieldError::new("metadata.name", error.to_string()))?;

    Ok(Outcome::Programmed(EndpointSlice {
        id,
        family,
        ports: ports(object.ports.as_deref().unwrap_or_default())?,
        endpoints: endpoints(&object.endpoints, family, names, warnings)?,
    }))
}

/// Ports without a name or a number select nothing (contract 1.6).
fn ports(listed: &[v1::EndpointPort]) -> Result<Box<[SlicePort]>, FieldError> {
    let mut ports: Vec<(usize, SlicePort)> = Vec::with_capacity(listed.len());
    for (index, port) in listed.iter().enumerate() {
        let (Some(name), Some(number)) = (&port.name, port.port.filter(|port| *port != 0)) else {
            continue;
        };
        let new = SlicePort {
            name: field::port_name(name, format!("ports[{index}].name"))?,
            protocol: field::protocol(
                port.protocol.as_deref(),
                format!("ports[{index}].protocol"),
            )?,
            port: field::port(number, format!("ports[{index}].port"))?,
        };
        let same = |(_, known): &&(usize, SlicePort)| {
            known.name == new.name && known.protocol == new.protocol
        };
        if let Some((other, _)) = ports.iter().find(same) {
            return Err(FieldError::new(
                format!("ports[{index}].name"),
                format!(
                    "{name:?} with {} is taken by ports[{other}]",
                    protocol_name(new.protocol)
                ),
            ));
        }
        ports.push((index, new));
    }
    Ok(ports.into_iter().map(|(_, port)| port).collect())
}

fn endpoints(
    listed: &[v1::Endpoint],
    family: Family,
    names: &mut Interner,
    warnings: &mut Vec<Warning>,
) -> Result<Box<[Endpoint]>, FieldError> {
    let mut endpoints = Vec::with_capacity(listed.len());
    for (index, endpoint) in listed.iter().enumerate() {
        let Some(text) = endpoint.addresses.first() else {
            continue;
        };
        endpoints.push(Endpoint {
            address: address(text, family, index, warnings)?,
            conditions: conditions(endpoint.conditions.as_ref()),
            node: endpoint.node_name.as_deref().map(|name| names.intern(name)),
            hints: endpoint.hints.as_ref().and_then(hints),
        });
    }
    Ok(endpoints.into())
}

fn address(
    text: &str,
    family: Family,
    index: usize,
    warnings: &mut Vec<Warning>,
) -> Result<IpAddr, FieldError> {
    let path = || format!("endpoints[{index}].addresses[0]");
    let address = match text.parse::<IpAddr>() {
        // The path is only spelt out where it is needed: slices are many.
        Ok(address) => address.to_canonical(),
        Err(_) => field::ip(text, path(), warnings)?,
    };
    if Family::of(&address) == family {
        return Ok(address);
    }
    let wanted = match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    };
    Err(FieldError::new(
        path(),
        format!("{address} is not an {wanted} address, which addressType says it is"),
    ))
}

fn conditions(object: Option<&v1::EndpointConditions>) -> Conditions {
    let default = Conditions::default();
    object.map_or(default, |object| Conditions {
        ready: object.ready.unwrap_or(default.ready),
        serving: object.serving.unwrap_or(default.serving),
        terminating: object.terminating.unwrap_or(default.terminating),
    })
}

fn hints(object: &v1::EndpointHints) -> Option<Box<Hints>> {
    let zones: Box<[Box<str>]> = object
        .for_zones
        .iter()
        .flatten()
        .map(|zone| zone.name.as_str().into())
        .collect();
    let nodes: Box<[Box<str>]> = object
        .for_nodes
        .iter()
        .flatten()
        .map(|node| node.name.as_str().into())
        .collect();
    (!zones.is_empty() || !nodes.is_empty()).then(|| Box::new(Hints { zones, nodes }))
}
