//! `EndpointSlice`s (contract 1.1, 1.6).

use std::collections::HashMap;
use std::net::IpAddr;

use viprule_service::model::{
    Conditions, Endpoint, EndpointSlice, Family, Hints, ServiceId, SliceId, SlicePort,
};

use super::object::{self, EndpointPort, Hint, Metadata, Text};
use super::service::protocol_name;
use super::{
    Converted, FieldError, Ignored, Interner, ObjectError, Outcome, Warning, field, quoted,
};

/// The path of the label that names a slice's Service, for messages.
pub(crate) const SERVICE_NAME_FIELD: &str = "metadata.labels[\"kubernetes.io/service-name\"]";

/// Converts an `EndpointSlice`. Node names come from `names`.
///
/// One endpoint that can't be understood refuses the whole slice, so that a Service never loses
/// endpoints silently.
pub fn endpoint_slice(
    object: &object::EndpointSlice<'_>,
    names: &mut Interner,
) -> Result<Converted<EndpointSlice>, ObjectError> {
    let mut warnings = Vec::new();
    let outcome = convert(object, names, &mut warnings)
        .map_err(|error| error.of("EndpointSlice", &object.metadata))?;
    Ok(Converted { outcome, warnings })
}

/// The names of a slice that belongs to a Service.
pub(crate) fn slice_id(metadata: &Metadata<'_>) -> Option<SliceId> {
    let service = metadata.labels.service_name.as_ref()?;
    let service = ServiceId::new(&metadata.namespace, service).ok()?;
    SliceId::new(service, &metadata.name).ok()
}

fn convert(
    object: &object::EndpointSlice<'_>,
    names: &mut Interner,
    warnings: &mut Vec<Warning>,
) -> Result<Outcome<EndpointSlice>, FieldError> {
    let metadata = &object.metadata;
    if metadata.labels.headless.is_some() {
        return Ok(Outcome::Ignored(Ignored::Headless));
    }
    let family = match &*object.address_type {
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
    let service = match service(metadata) {
        Ok(service) => service,
        Err(error) if error.field == SERVICE_NAME_FIELD => {
            warnings.push(Warning {
                field: error.field,
                message: format!(
                    "{}, so the slice belongs to no Service and is ignored",
                    error.message
                ),
            });
            return Ok(Outcome::Ignored(Ignored::NoServiceName));
        }
        Err(error) => return Err(error),
    };
    let id = SliceId::new(service, &metadata.name)
        .map_err(|error| FieldError::new("metadata.name", error.to_string()))?;

    Ok(Outcome::Programmed(EndpointSlice {
        id,
        family,
        ports: ports(&object.ports, warnings)?,
        endpoints: endpoints(&object.endpoints, family, names, warnings)?,
    }))
}

/// The Service of a slice. The label may have values that no Service can be named.
fn service(metadata: &Metadata<'_>) -> Result<ServiceId, FieldError> {
    let label = metadata.labels.service_name.as_ref();
    let Some(name) = label.and_then(Text::filled) else {
        return Err(FieldError::new(SERVICE_NAME_FIELD, "is missing"));
    };
    ServiceId::new(&metadata.namespace, name).map_err(|(part, error)| {
        let is_label = part == "metadata.name";
        FieldError::new(
            if is_label { SERVICE_NAME_FIELD } else { part },
            error.to_string(),
        )
    })
}

/// Ports without a number select nothing (contract 1.6); those with an impossible one, which the
/// API server does not look at, neither.
pub(super) fn ports(
    listed: &[EndpointPort<'_>],
    warnings: &mut Vec<Warning>,
) -> Result<Box<[SlicePort]>, FieldError> {
    let mut ports = Vec::with_capacity(listed.len());
    let mut taken = HashMap::new();
    for (index, port) in listed.iter().enumerate() {
        let Some(number) = port.port.filter(|port| *port != 0) else {
            continue;
        };
        let number = match field::port(number, format_args!("ports[{index}].port")) {
            Ok(number) => number,
            Err(error) => {
                warnings.push(Warning::skipped(error));
                continue;
            }
        };
        let new = SlicePort {
            name: field::port_name(&port.name, format_args!("ports[{index}].name"))?,
            protocol: field::protocol(&port.protocol, format_args!("ports[{index}].protocol"))?,
            port: number,
        };
        if let Some(other) = taken.insert((new.protocol, &*port.name), index) {
            return Err(FieldError::new(
                format_args!("ports[{index}].name"),
                format!(
                    "{:?} with {} is taken by ports[{other}]",
                    new.name,
                    protocol_name(new.protocol)
                ),
            ));
        }
        ports.push(new);
    }
    Ok(ports.into())
}

fn endpoints(
    listed: &[object::Endpoint<'_>],
    family: Family,
    names: &mut Interner,
    warnings: &mut Vec<Warning>,
) -> Result<Box<[Endpoint]>, FieldError> {
    let mut endpoints = Vec::with_capacity(listed.len());
    for (index, endpoint) in listed.iter().enumerate() {
        let Some(text) = &endpoint.addresses.0 else {
            continue;
        };
        endpoints.push(Endpoint {
            address: address(text, family, index, warnings)?,
            conditions: conditions(&endpoint.conditions),
            node: endpoint.node_name.filled().map(|name| names.intern(name)),
            hints: hints(&endpoint.hints),
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
    let path = format_args!("endpoints[{index}].addresses[0]");
    let address = field::ip(text, path, warnings)?;
    if Family::of(&address) == family {
        return Ok(address);
    }
    let wanted = family.as_str();
    Err(FieldError::new(
        path,
        format!("{address} is not an {wanted} address, which addressType says it is"),
    ))
}

fn conditions(object: &object::Conditions) -> Conditions {
    let default = Conditions::default();
    Conditions {
        ready: object.ready.unwrap_or(default.ready),
        serving: object.serving.unwrap_or(default.serving),
        terminating: object.terminating.unwrap_or(default.terminating),
    }
}

fn hints(object: &object::Hints<'_>) -> Option<Box<Hints>> {
    let names = |hints: &[Hint<'_>]| hints.iter().map(|hint| (*hint.name).into()).collect();
    let zones: Box<[Box<str>]> = names(&object.for_zones);
    let nodes: Box<[Box<str>]> = names(&object.for_nodes);
    (!zones.is_empty() || !nodes.is_empty()).then(|| Box::new(Hints { zones, nodes }))
}
