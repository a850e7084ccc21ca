//! What IPVS counts, by Service.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipvs_netlink::{ServerId, Stats};
use prometheus::{IntCounterVec, Opts, Registry, TextEncoder};
use viprule_dataplane::ipvs::Key;
use viprule_service::model::ServiceId;
use viprule_writer::ipvs::Counters;

use crate::debug::Fallible;
use crate::mode::owners::Owners;

/// Which Service a virtual server is of.
pub(super) type ServerOwners = Owners<Key, ServerId>;

/// Hears of them.
pub(super) fn owners() -> ServerOwners {
    Owners::new(|key| match key {
        Key::Server(server) => Some(*server),
        _ => None,
    })
}

/// The text of what the kernel has counted by now.
pub(super) fn text(owners: ServerOwners) -> Fallible {
    Arc::new(move || {
        let counted = Counters::open()?.read()?;
        Ok(render(&owners, counted)?)
    })
}

/// What these virtual servers count, summed by Service, in Prometheus' text format 0.0.4.
fn render(
    owners: &ServerOwners,
    counted: impl Iterator<Item = (ServerId, Stats)>,
) -> Result<String, prometheus::Error> {
    const SERVICE: [&str; 2] = ["namespace", "service"];
    const DIRECTED: [&str; 3] = ["namespace", "service", "direction"];
    // Made anew each time: a Service that is gone is not told of any more.
    let registry = Registry::new();
    let add = |name: &str, help: &str, labels: &[&str]| {
        let vector = IntCounterVec::new(Opts::new(name, help), labels)?;
        registry.register(Box::new(vector.clone()))?;
        Ok::<_, prometheus::Error>(vector)
    };
    let all_connections = add(
        "viprule_service_connections_total",
        "Connections to a Service's virtual servers",
        &SERVICE,
    )?;
    let all_packets = add(
        "viprule_service_packets_total",
        "Packets through a Service's virtual servers; in is from clients",
        &DIRECTED,
    )?;
    let all_bytes = add(
        "viprule_service_bytes_total",
        "Bytes through a Service's virtual servers; in is from clients",
        &DIRECTED,
    )?;
    for (service, sum) in sum(owners, counted) {
        let (namespace, name) = (service.namespace(), service.name());
        all_connections
            .with_label_values(&[namespace, name])
            .inc_by(sum.connections);
        for (direction, packets, bytes) in [
            ("in", sum.packets_in, sum.bytes_in),
            ("out", sum.packets_out, sum.bytes_out),
        ] {
            let labels = [namespace, name, direction];
            all_packets.with_label_values(&labels).inc_by(packets);
            all_bytes.with_label_values(&labels).inc_by(bytes);
        }
    }
    TextEncoder::new().encode_to_string(&registry.gather())
}

/// The sums of these counts by Service, without those of servers that are nobody's.
fn sum(
    owners: &ServerOwners,
    counted: impl Iterator<Item = (ServerId, Stats)>,
) -> BTreeMap<ServiceId, Stats> {
    let mut sums: BTreeMap<ServiceId, Stats> = BTreeMap::new();
    owners.read(|owners| {
        for (server, stats) in counted {
            let Some(service) = owners.get(&server) else {
                continue;
            };
            let sum = sums.entry(service.clone()).or_default();
            sum.connections = sum.connections.wrapping_add(stats.connections);
            sum.packets_in = sum.packets_in.wrapping_add(stats.packets_in);
            sum.packets_out = sum.packets_out.wrapping_add(stats.packets_out);
            sum.bytes_in = sum.bytes_in.wrapping_add(stats.bytes_in);
            sum.bytes_out = sum.bytes_out.wrapping_add(stats.bytes_out);
        }
    });
    sums
}

#[cfg(test)]
mod tests {
    use viprule_dataplane::{Fingerprint, State};
    use viprule_sync::Listener as _;

    use super::*;

    fn server(port: u16) -> ServerId {
        ServerId::Address {
            address: [10, 1, 0, 1].into(),
            port,
            protocol: ipvs_netlink::Protocol::Tcp,
        }
    }

    fn servers_on<const N: usize>(ports: [u16; N]) -> State<Key, Fingerprint> {
        let objects = ports.map(|port| (Key::Server(server(port)), Fingerprint::of(&())));
        objects.into_iter().collect()
    }

    fn counted(port: u16) -> (ServerId, Stats) {
        let mut stats = Stats::default();
        stats.connections = port.into();
        stats.packets_in = 2 * u64::from(port);
        stats.packets_out = 3;
        stats.bytes_in = 1 << 40;
        stats.bytes_out = 5;
        (server(port), stats)
    }

    #[test]
    fn servers_are_summed_by_service() {
        let mut owners = owners();
        let [a, b] = ["a", "b"].map(|name| ServiceId::new("shop", name).unwrap());
        owners.changed(&a, &servers_on([]), &servers_on([1, 2]));
        // It moves before its former owner is told to have lost it.
        owners.changed(&b, &servers_on([]), &servers_on([2, 4]));
        owners.changed(&a, &servers_on([1, 2]), &servers_on([1]));
        let text = render(&owners, (1..6).map(counted)).unwrap();
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            "viprule_service_bytes_total{direction=\"in\",namespace=\"shop\",service=\"a\"} 1099511627776",
            "viprule_service_bytes_total{direction=\"in\",namespace=\"shop\",service=\"b\"} 2199023255552",
            "viprule_service_bytes_total{direction=\"out\",namespace=\"shop\",service=\"a\"} 5",
            "viprule_service_bytes_total{direction=\"out\",namespace=\"shop\",service=\"b\"} 10",
            "viprule_service_connections_total{namespace=\"shop\",service=\"a\"} 1",
            "viprule_service_connections_total{namespace=\"shop\",service=\"b\"} 6",
            "viprule_service_packets_total{direction=\"in\",namespace=\"shop\",service=\"a\"} 2",
            "viprule_service_packets_total{direction=\"in\",namespace=\"shop\",service=\"b\"} 12",
            "viprule_service_packets_total{direction=\"out\",namespace=\"shop\",service=\"a\"} 3",
            "viprule_service_packets_total{direction=\"out\",namespace=\"shop\",service=\"b\"} 6",
        ];
        assert_eq!(lines, expected);
        owners.changed(&b, &servers_on([2, 4]), &servers_on([]));
        owners.changed(&a, &servers_on([1]), &servers_on([]));
        let text = render(&owners, (1..6).map(counted)).unwrap();
        assert!(!text.contains("shop"), "{text}");
    }
}
