//! `Endpoints` as the `EndpointSlice`s that an API server mirrors them to (KEP-752).

use std::collections::BTreeSet;

use viprule_service::model::{
    Conditions, Endpoint, EndpointSlice, Family, ServiceId, SliceId, SlicePort,
};

use super::object::{self, EndpointPort, Subset};
use super::slice::ports;
use super::{Converted, FieldError, Ignored, Interner, ObjectError, Outcome, Warning, field};

/// Most addresses of a subset that are mirrored (kube-controller-manager's
/// `--mirroring-max-endpoints-per-subset`).
const SUBSET_LIMIT: usize = 1000;

/// Converts Endpoints to slices: one for each subset and family. Node names come from `names`.
///
/// Whether an API server would mirror them depends on the Service as well: on those that have a
/// selector it doesn't look.
pub fn endpoints(
    object: &object::Endpoints<'_>,
    names: &mut Interner,
) -> Result<Converted<Vec<EndpointSlice>>, ObjectError> {
    let mut warnings = Vec::new();
    let outcome = convert(object, names, &mut warnings)
        .map_err(|error| error.of("Endpoints", &object.metadata))?;
    Ok(Converted { outcome, warnings })
}

fn convert(
    object: &object::Endpoints<'_>,
    names: &mut Interner,
    warnings: &mut Vec<Warning>,
) -> Result<Outcome<Vec<EndpointSlice>>, FieldError> {
    let metadata = &object.metadata;
    if metadata.annotations.leader.is_some() {
        return Ok(Outcome::Ignored(Ignored::LeaderElection));
    }
    if metadata.labels.skip_mirror.as_deref() == Some("true") {
        return Ok(Outcome::Ignored(Ignored::SkipMirror));
    }
    let service = match ServiceId::new(&metadata.namespace, &metadata.name) {
        Ok(service) => service,
        Err(("metadata.name", error)) if metadata.name.filled().is_some() => {
            warnings.push(Warning {
                field: "metadata.name".to_owned(),
                message: format!("{error}, so the Endpoints belong to no Service and are ignored"),
            });
            return Ok(Outcome::Ignored(Ignored::NoServiceName));
        }
        Err((field, error)) => return Err(FieldError::new(field, error.to_string())),
    };
    let mut slices = Vec::new();
    for (index, subset) in object.subsets.iter().enumerate() {
        let of_subset = |error: FieldError| FieldError {
            field: format!("subsets[{index}].{}", error.field),
            ..error
        };
        let ports = subset_ports(&subset.ports).map_err(of_subset)?;
        let begin = warnings.len();
        let endpoints = addresses(subset, names, warnings).map_err(of_subset)?;
        for warning in &mut warnings[begin..] {
            warning.field = format!("subsets[{index}].{}", warning.field);
        }
        for family in Family::ALL {
            let of_family = |endpoint: &&Endpoint| Family::of(&endpoint.address) == family;
            let endpoints: Box<[_]> = endpoints.iter().filter(of_family).cloned().collect();
            if !endpoints.is_empty() {
                slices.push(EndpointSlice {
                    id: id(&service, index, family),
                    family,
                    ports: ports.clone(),
                    endpoints,
                });
            }
        }
    }
    Ok(Outcome::Programmed(slices))
}

/// A name that no real slice can have.
fn id(service: &ServiceId, subset: usize, family: Family) -> SliceId {
    let family = match family {
        Family::Ipv4 => "ipv4",
        Family::Ipv6 => "ipv6",
    };
    SliceId {
        service: service.clone(),
        name: format!("endpoints/{subset}/{family}").into(),
    }
}

/// Unlike a slice's, ports of Endpoints must have numbers.
fn subset_ports(listed: &[EndpointPort<'_>]) -> Result<Box<[SlicePort]>, FieldError> {
    for (index, listed) in listed.iter().enumerate() {
        let number = listed.port.unwrap_or_default();
        field::port(number, format_args!("ports[{index}].port"))?;
    }
    ports(listed, &mut Vec::new())
}

fn addresses(
    subset: &Subset<'_>,
    names: &mut Interner,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Endpoint>, FieldError> {
    let mut endpoints = Vec::new();
    let mut known = BTreeSet::new();
    for (list, is_ready, listed) in [
        ("addresses", true, &subset.addresses),
        ("notReadyAddresses", false, &subset.not_ready_addresses),
    ] {
        for (index, listed) in listed.iter().enumerate() {
            let address = field::ip(&listed.ip, format_args!("{list}[{index}].ip"), warnings)?;
            if endpoints.len() < SUBSET_LIMIT && known.insert(address) {
                endpoints.push(Endpoint {
                    address,
                    conditions: Conditions {
                        ready: is_ready,
                        ..Conditions::default()
                    },
                    node: listed.node_name.filled().map(|name| names.intern(name)),
                    hints: None,
                });
            }
        }
    }
    let all = subset.addresses.len() + subset.not_ready_addresses.len();
    if all > SUBSET_LIMIT {
        warnings.push(Warning {
            field: "addresses".to_owned(),
            message: format!(
                "there are {all} addresses, and an API server mirrors the first {SUBSET_LIMIT} of \
                 a subset: the others are left out; EndpointSlices can have them all"
            ),
        });
    }
    Ok(endpoints)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &serde_json::Value) -> Result<Converted<Vec<EndpointSlice>>, ObjectError> {
        let object: object::Endpoints<'_> = object::decode_value(value).unwrap();
        endpoints(&object, &mut Interner::default())
    }

    fn with(subsets: &serde_json::Value) -> serde_json::Value {
        serde_json::json!({"metadata": {"name": "db", "namespace": "shop"}, "subsets": subsets})
    }

    fn slices(subsets: &serde_json::Value) -> (Vec<EndpointSlice>, Vec<String>) {
        let converted = read(&with(subsets)).unwrap();
        let Outcome::Programmed(slices) = converted.outcome else {
            panic!("{:?}", converted.outcome);
        };
        let warnings = converted.warnings.into_iter();
        let told = warnings.map(|warning| format!("{}: {}", warning.field, warning.message));
        (slices, told.collect())
    }

    #[test]
    fn each_subset_is_a_slice_for_each_family() {
        let (slices, warnings) = slices(&serde_json::json!([
            {
                "addresses": [
                    {"ip": "10.0.0.1", "nodeName": "n1", "targetRef": {"kind": "Pod"}},
                    {"ip": "fd00::1", "hostname": "x"},
                    {"ip": "10.0.0.1"},
                ],
                "notReadyAddresses": [{"ip": "10.0.0.2"}, {"ip": "10.0.0.1"}],
                "ports": [
                    {"name": "http", "port": 8080, "appProtocol": "http"},
                    {"name": "dns", "port": 53, "protocol": "UDP"},
                ],
            },
            {"addresses": [{"ip": "10.0.0.3"}], "ports": [{"port": 1}]},
            {"ports": [{"port": 2}]},
        ]));
        assert!(warnings.is_empty(), "{warnings:?}");
        let told: Vec<_> = slices
            .iter()
            .map(|slice| {
                let endpoints = slice.endpoints.iter().map(|endpoint| {
                    let node = endpoint.node.as_deref().unwrap_or("-");
                    let Conditions {
                        ready,
                        serving,
                        terminating,
                    } = endpoint.conditions;
                    format!(
                        "{} {node} {ready} {serving} {terminating}",
                        endpoint.address
                    )
                });
                let ports = slice.ports.iter();
                let ports =
                    ports.map(|port| format!("{}={}/{}", port.name, port.port, port.protocol));
                (
                    format!("{} {}", slice.id.service, slice.id.name),
                    endpoints.collect::<Vec<_>>().join(", "),
                    ports.collect::<Vec<_>>().join(", "),
                )
            })
            .collect();
        let expected = [
            (
                "shop/db endpoints/0/ipv4",
                "10.0.0.1 n1 true true false, 10.0.0.2 - false true false",
                "http=8080/tcp, dns=53/udp",
            ),
            (
                "shop/db endpoints/0/ipv6",
                "fd00::1 - true true false",
                "http=8080/tcp, dns=53/udp",
            ),
            (
                "shop/db endpoints/1/ipv4",
                "10.0.0.3 - true true false",
                "=1/tcp",
            ),
        ];
        let expected = expected
            .map(|(id, endpoints, ports)| (id.to_owned(), endpoints.to_owned(), ports.to_owned()));
        assert_eq!(told, expected);
    }

    #[test]
    fn the_first_thousand_addresses_of_a_subset_are_mirrored() {
        let addresses = |count: u32| -> Vec<_> {
            let ips = (0..count).map(|n| format!("10.0.{}.{}", n / 256, n % 256));
            ips.map(|ip| serde_json::json!({"ip": ip})).collect()
        };
        let (ready, late) = (addresses(999), [serde_json::json!({"ip": "10.1.0.0"})]);
        let subset = |late: &[serde_json::Value]| serde_json::json!([{"addresses": ready, "notReadyAddresses": late, "ports": [{"port": 1}]}]);
        let (all, warnings) = slices(&subset(&late));
        assert_eq!((all[0].endpoints.len(), warnings.len()), (1000, 0));
        let (most, warnings) = slices(&subset(&addresses(1500)[998..]));
        assert_eq!(most[0].endpoints.len(), 1000);
        assert!(
            warnings[0].starts_with("subsets[0].addresses: there are 1501 addresses"),
            "{warnings:?}"
        );
    }

    #[test]
    fn what_says_so_is_not_mirrored() {
        for (metadata, why) in [
            (
                serde_json::json!({"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}),
                Some(Ignored::SkipMirror),
            ),
            (
                serde_json::json!({"labels": {"endpointslice.kubernetes.io/skip-mirror": "yes"}}),
                None,
            ),
            (
                serde_json::json!({"annotations": {"control-plane.alpha.kubernetes.io/leader": ""}}),
                Some(Ignored::LeaderElection),
            ),
        ] {
            let mut object = with(&serde_json::json!([]));
            for (key, value) in metadata.as_object().unwrap() {
                object["metadata"][key] = value.clone();
            }
            let outcome = read(&object).unwrap().outcome;
            let expected = why.map_or(Outcome::Programmed(Vec::new()), Outcome::Ignored);
            assert_eq!(outcome, expected, "{metadata}");
        }
        let mut object = with(&serde_json::json!([]));
        object["metadata"]["name"] = "x".repeat(64).into();
        let converted = read(&object).unwrap();
        assert_eq!(converted.outcome, Outcome::Ignored(Ignored::NoServiceName));
        assert_eq!(converted.warnings.len(), 1);
    }

    #[test]
    fn what_an_api_server_refuses_is_an_error_with_its_field() {
        let good = serde_json::json!([{"ip": "10.0.0.1"}]);
        for (subset, field) in [
            (
                serde_json::json!({"addresses": [{"ip": "10.0.0.1"}, {"ip": "db.example"}]}),
                "subsets[1].addresses[1].ip",
            ),
            (
                serde_json::json!({"notReadyAddresses": [{"hostname": "x"}]}),
                "subsets[1].notReadyAddresses[0].ip",
            ),
            (
                serde_json::json!({"addresses": good, "ports": [{"port": 70000}]}),
                "subsets[1].ports[0].port",
            ),
            (
                serde_json::json!({"addresses": good, "ports": [{"port": 1}, {"name": "a"}]}),
                "subsets[1].ports[1].port",
            ),
            (
                serde_json::json!({"addresses": good, "ports": [{"port": 1, "protocol": "ICMP"}]}),
                "subsets[1].ports[0].protocol",
            ),
        ] {
            let error = read(&with(&serde_json::json!([{}, subset]))).unwrap_err();
            assert_eq!((error.kind, error.field.as_str()), ("Endpoints", field));
        }
    }
}
