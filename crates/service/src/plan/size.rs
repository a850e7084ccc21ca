//! How large a Service is, before anything is made of it.

use std::collections::HashMap;

use super::PlanConfig;
use crate::model::{EndpointSlice, Family, Service};

/// How many pairs of a frontend and an endpoint a Service asks for over all of its ports, and how
/// many pairs of a load balancer IP and a source range: about what it costs any dataplane. Objects
/// of some kilobytes can ask for millions.
///
/// Costs what reading the objects cost.
pub(crate) fn size(service: &Service, slices: &[EndpointSlice], config: &PlanConfig) -> u64 {
    let families = Family::ALL
        .into_iter()
        .filter(|family| service.cluster_ip(*family).is_some());
    let all = families.map(|family| of_family(service, slices, config, family));
    all.fold(0, u64::saturating_add)
}

fn of_family(
    service: &Service,
    slices: &[EndpointSlice],
    config: &PlanConfig,
    family: Family,
) -> u64 {
    let count = |matching: usize| u64::try_from(matching).unwrap_or(u64::MAX);
    let external_ips = service.external_ips.iter();
    let external_ips =
        external_ips.filter(|ip| config.allow_external_ips && Family::of(ip) == family);
    let balancers = service.load_balancer_ips.iter();
    let balancers = count(balancers.filter(|ip| Family::of(ip) == family).count());
    let ranges = count(service.source_ranges.len());
    // The cluster IP among them.
    let frontends = count(external_ips.count()) + balancers + 1;

    let slices = || slices.iter().filter(move |slice| slice.family == family);
    let endpoints: u64 = slices().map(|slice| count(slice.endpoints.len())).sum();
    let ports = count(service.ports.len());
    let most = ports.saturating_mul(
        (frontends + 1)
            .saturating_mul(endpoints.max(1))
            .saturating_add(balancers.saturating_mul(ranges)),
    );
    // Nearly always; else it is worth a look which ports the endpoints have.
    if most <= config.service_budget {
        return most;
    }
    let mut of_ports: HashMap<_, u64> = HashMap::with_capacity(service.ports.len());
    for slice in slices() {
        for port in &slice.ports {
            *of_ports.entry((&*port.name, port.protocol)).or_default() +=
                count(slice.endpoints.len());
        }
    }
    let of_port = service.ports.iter().map(|port| {
        let endpoints = of_ports.get(&(&*port.name, port.protocol));
        let frontends = frontends + u64::from(port.node_port != 0);
        frontends
            .saturating_mul(endpoints.copied().unwrap_or_default().max(1))
            .saturating_add(balancers.saturating_mul(ranges))
    });
    of_port.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ServicePort;
    use crate::plan::testing::{READY, config, endpoint, ip, service, slice, slice_port};

    fn large(ports: u16, endpoints: u8) -> (Service, EndpointSlice) {
        let mut service = service("a");
        let port = |port: u16| ServicePort {
            name: format!("p{port}").into(),
            port,
            ..service.ports[0].clone()
        };
        service.ports = (1..=ports).map(port).collect();
        let mut slice = slice("a-1", []);
        slice.ports = (1..=ports)
            .map(|port| slice_port(&format!("p{port}"), port))
            .collect();
        slice.endpoints = (1..=endpoints)
            .map(|last| endpoint(&format!("10.244.0.{last}"), READY, "node-0"))
            .collect();
        (service, slice)
    }

    #[test]
    fn each_port_counts_its_endpoints_for_each_of_its_frontends() {
        let budget = PlanConfig {
            service_budget: 10,
            ..config()
        };
        let (mut service, slice) = large(10, 20);
        let sized = |service: &Service| size(service, std::slice::from_ref(&slice), &budget);
        assert_eq!(sized(&service), 200);
        service.ports[0].node_port = 30_080;
        assert_eq!(sized(&service), 220);
        service.external_ips = [ip("198.51.100.1"), ip("2001:db8::1")].into();
        assert_eq!(sized(&service), 420);
        service.load_balancer_ips = [ip("203.0.113.1")].into();
        service.source_ranges = ["192.0.2.0/24".parse().unwrap(); 3].into();
        assert_eq!(sized(&service), 620 + 30);
    }

    #[test]
    fn endpoints_of_other_ports_and_families_do_not_count() {
        let budget = PlanConfig {
            service_budget: 10,
            ..config()
        };
        let (service, mut slice) = large(10, 20);
        let mut other = slice.clone();
        other.family = Family::Ipv6;
        slice.ports = slice.ports[..1].into();
        assert_eq!(size(&service, &[slice, other], &budget), 20 + 9);
    }
}
