//! What elements count, by Service and by endpoint.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use prometheus::{IntCounterVec, Opts, Registry, TextEncoder};
use viprule_dataplane::nftables::{Element, ElementContent, FrontendSet, Key};
use viprule_service::model::ServiceId;
use viprule_service::plan::Frontend;
use viprule_writer::nftables::{Count, Counters};

use crate::debug::Fallible;
use crate::mode::owners::Owners;

/// Which Service a frontend is of.
pub(super) type FrontendOwners = Owners<Key, Frontend>;

/// Hears of them.
pub(super) fn owners() -> FrontendOwners {
    Owners::new(|key| match key {
        Key::Element(Element::Frontend { frontend, .. }) => Some(*frontend),
        _ => None,
    })
}

/// The text of what the kernel has counted by now.
pub(super) fn text(owners: FrontendOwners) -> Fallible {
    Arc::new(move || {
        let counted = Counters::open()?.read()?;
        Ok(render(&sums(&owners, &counted))?)
    })
}

/// What a Service's elements count.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    connections: u64,
    rejected: u64,
    without_local: u64,
    /// Those that restricted frontends found, and of these what was allowed.
    restricted: u64,
    allowed: u64,
    endpoints: BTreeMap<SocketAddr, u64>,
}

/// The sums by Service, without those of frontends that are nobody's.
fn sums(owners: &FrontendOwners, counted: &BTreeMap<Element, Count>) -> BTreeMap<ServiceId, Sum> {
    let mut sums: BTreeMap<ServiceId, Sum> = BTreeMap::new();
    owners.read(|owners| {
        for (element, Count { content, packets }) in counted {
            let owner = element.frontend().and_then(|it| owners.get(&it));
            let Some(service) = owner else {
                continue;
            };
            let sum = sums.entry(service.clone()).or_default();
            let of = match (element, content) {
                (Element::Frontend { set, .. }, _) => match set {
                    FrontendSet::Services => &mut sum.connections,
                    FrontendSet::Rejected => &mut sum.rejected,
                    FrontendSet::Dropped => &mut sum.without_local,
                    FrontendSet::Restricted => &mut sum.restricted,
                    FrontendSet::Size { .. } | FrontendSet::Sticky(_) | FrontendSet::Local => {
                        continue;
                    }
                },
                (Element::Allowed { .. }, _) => &mut sum.allowed,
                (
                    Element::Endpoint { .. } | Element::StickyEndpoint { .. },
                    ElementContent::Endpoint(endpoint),
                ) => sum.endpoints.entry(*endpoint).or_default(),
                _ => continue,
            };
            *of = of.wrapping_add(*packets);
        }
    });
    sums
}

/// These sums in Prometheus' text format 0.0.4.
fn render(sums: &BTreeMap<ServiceId, Sum>) -> Result<String, prometheus::Error> {
    const SERVICE: [&str; 2] = ["namespace", "service"];
    const DROPPED: [&str; 3] = ["namespace", "service", "reason"];
    const ENDPOINT: [&str; 3] = ["namespace", "service", "endpoint"];
    // Made anew each time: a Service that is gone is not told of any more.
    let registry = Registry::new();
    let add = |name: &str, help: &str, labels: &[&str]| {
        let vector = IntCounterVec::new(Opts::new(name, help), labels)?;
        registry.register(Box::new(vector.clone()))?;
        Ok::<_, prometheus::Error>(vector)
    };
    let connections = add(
        "viprule_service_connections_total",
        "Connections to a Service's addresses",
        &SERVICE,
    )?;
    let rejected = add(
        "viprule_service_rejected_total",
        "Packets to a Service's addresses that were refused as it has no endpoints",
        &SERVICE,
    )?;
    let dropped = add(
        "viprule_service_dropped_total",
        "Packets to a Service's addresses that were dropped, by why",
        &DROPPED,
    )?;
    let by_endpoint = add(
        "viprule_endpoint_connections_total",
        "Connections to a Service's addresses that went to an endpoint, since it got its place among them",
        &ENDPOINT,
    )?;
    for (service, sum) in sums {
        let (namespace, name) = (service.namespace(), service.name());
        let of_service = [namespace, name];
        connections
            .with_label_values(&of_service)
            .inc_by(sum.connections);
        rejected.with_label_values(&of_service).inc_by(sum.rejected);
        for (reason, packets) in [
            ("local_policy", sum.without_local),
            ("source_ranges", sum.restricted.saturating_sub(sum.allowed)),
        ] {
            let labels = [namespace, name, reason];
            dropped.with_label_values(&labels).inc_by(packets);
        }
        for (endpoint, packets) in &sum.endpoints {
            let labels = [namespace, name, &endpoint.to_string()];
            by_endpoint.with_label_values(&labels).inc_by(*packets);
        }
    }
    TextEncoder::new().encode_to_string(&registry.gather())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use viprule_dataplane::{Fingerprint, State};
    use viprule_service::model::Protocol;
    use viprule_sync::Listener as _;

    use super::*;

    const fn frontend(port: u16) -> Frontend {
        Frontend::Address {
            address: IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 0, 1)),
            port,
            protocol: Protocol::Tcp,
        }
    }

    const fn is_in(set: FrontendSet, port: u16) -> Element {
        let frontend = frontend(port);
        Element::Frontend { set, frontend }
    }

    fn state(ports: &[u16]) -> State<Key, Fingerprint> {
        let keys = ports.iter().map(|port| is_in(FrontendSet::Services, *port));
        keys.map(|element| (Key::Element(element), Fingerprint::of(&())))
            .collect()
    }

    fn counted() -> BTreeMap<Element, Count> {
        let endpoint = |slot, last: u8| {
            let element = Element::Endpoint {
                local: false,
                frontend: frontend(1),
                slot,
            };
            let endpoint = SocketAddr::from(([10, 2, 0, last], 8080));
            (element, ElementContent::Endpoint(endpoint))
        };
        let allowed = Element::Allowed {
            frontend: frontend(2),
            sources: "10.0.0.0/8".parse().unwrap(),
        };
        let members = [
            (is_in(FrontendSet::Services, 1), 7),
            (is_in(FrontendSet::Services, 2), 5),
            (is_in(FrontendSet::Services, 9), 100),
            (is_in(FrontendSet::Rejected, 1), 3),
            (is_in(FrontendSet::Dropped, 2), 2),
            (is_in(FrontendSet::Restricted, 2), 9),
            (allowed, 5),
        ];
        let members = members.map(|(element, packets)| (element, ElementContent::Member, packets));
        let endpoints = [
            (endpoint(0, 5), 4),
            (endpoint(1, 6), 2),
            (endpoint(2, 5), 1),
        ];
        let endpoints = endpoints.map(|((element, content), packets)| (element, content, packets));
        let all = members.into_iter().chain(endpoints);
        all.map(|(element, content, packets)| (element, Count { content, packets }))
            .collect()
    }

    #[test]
    fn elements_are_summed_by_service_and_endpoint() {
        let mut owners = owners();
        let [a, b] = ["a", "b"].map(|name| ServiceId::new("shop", name).unwrap());
        owners.changed(&a, &state(&[]), &state(&[1, 2]));
        // It moves before its former owner is told to have lost it.
        owners.changed(&b, &state(&[]), &state(&[2]));
        owners.changed(&a, &state(&[1, 2]), &state(&[1]));
        let text = render(&sums(&owners, &counted())).unwrap();
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            "viprule_endpoint_connections_total{endpoint=\"10.2.0.5:8080\",namespace=\"shop\",service=\"a\"} 5",
            "viprule_endpoint_connections_total{endpoint=\"10.2.0.6:8080\",namespace=\"shop\",service=\"a\"} 2",
            "viprule_service_connections_total{namespace=\"shop\",service=\"a\"} 7",
            "viprule_service_connections_total{namespace=\"shop\",service=\"b\"} 5",
            "viprule_service_dropped_total{namespace=\"shop\",reason=\"local_policy\",service=\"a\"} 0",
            "viprule_service_dropped_total{namespace=\"shop\",reason=\"local_policy\",service=\"b\"} 2",
            "viprule_service_dropped_total{namespace=\"shop\",reason=\"source_ranges\",service=\"a\"} 0",
            "viprule_service_dropped_total{namespace=\"shop\",reason=\"source_ranges\",service=\"b\"} 4",
            "viprule_service_rejected_total{namespace=\"shop\",service=\"a\"} 3",
            "viprule_service_rejected_total{namespace=\"shop\",service=\"b\"} 0",
        ];
        assert_eq!(lines, expected);
        owners.changed(&b, &state(&[2]), &state(&[]));
        let text = render(&sums(&owners, &counted())).unwrap();
        assert!(!text.contains("\"b\""), "{text}");
    }
}
