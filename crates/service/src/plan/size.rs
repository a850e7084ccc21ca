//! How large a Service is, before anything is made of it.

use std::collections::HashMap;

use super::PlanConfig;
use crate::model::{EndpointSlice, Family, Service, ServicePort, SlicePort};

/// So many ports of a Service are compared with every port of its slices; nearly all have no more.
const FEW: usize = 4;

/// How many pairs of a frontend and an endpoint a Service asks for over all of its ports, and how
/// many pairs of a load balancer IP and a source range: about what it costs any dataplane. Objects
/// of some kilobytes can ask for millions.
///
/// Costs what reading the objects cost.
pub(crate) fn size<'a>(
    service: &Service,
    slices: &(impl Iterator<Item = &'a EndpointSlice> + Clone),
    config: &PlanConfig,
) -> u64 {
    let families = Family::ALL
        .into_iter()
        .filter(|family| service.cluster_ip(*family).is_some());
    let all = families.map(|family| {
        let of_family = slices.clone().filter(move |slice| slice.family == family);
        self::of_family(service, &of_family, config, family)
    });
    all.fold(0, u64::saturating_add)
}

fn of_family<'a>(
    service: &Service,
    slices: &(impl Iterator<Item = &'a EndpointSlice> + Clone),
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

    let of_port = |port: &ServicePort, endpoints: u64| {
        let frontends = frontends + u64::from(port.node_port != 0);
        frontends
            .saturating_mul(endpoints.max(1))
            .saturating_add(balancers.saturating_mul(ranges))
    };
    let ports = service.ports.iter();
    if service.ports.len() <= FEW {
        let endpoints = |port: &ServicePort| {
            let of_slice = |slice: &EndpointSlice| {
                let ports = slice.ports.iter();
                let is_it = |it: &&SlicePort| it.protocol == port.protocol && it.name == port.name;
                count(ports.filter(is_it).count()).saturating_mul(count(slice.endpoints.len()))
            };
            slices.clone().map(of_slice).fold(0, u64::saturating_add)
        };
        let sizes = ports.map(|port| of_port(port, endpoints(port)));
        return sizes.fold(0, u64::saturating_add);
    }
    let mut endpoints: HashMap<_, u64> = HashMap::with_capacity(service.ports.len());
    for slice in slices.clone() {
        for port in &slice.ports {
            let of_port = endpoints.entry((&*port.name, port.protocol)).or_default();
            *of_port = of_port.saturating_add(count(slice.endpoints.len()));
        }
    }
    let endpoints = |port: &ServicePort| endpoints.get(&(&*port.name, port.protocol)).copied();
    let sizes = ports.map(|port| of_port(port, endpoints(port).unwrap_or_default()));
    sizes.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Budgets;
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
            budgets: Budgets {
                service: 10,
                ..Budgets::default()
            },
            ..config()
        };
        let (mut service, slice) = large(10, 20);
        let sized = |service: &Service| size(service, &std::iter::once(&slice), &budget);
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
            budgets: Budgets {
                service: 10,
                ..Budgets::default()
            },
            ..config()
        };
        let (service, mut slice) = large(10, 20);
        let mut other = slice.clone();
        other.family = Family::Ipv6;
        slice.ports = slice.ports[..1].into();
        assert_eq!(size(&service, &[slice, other].iter(), &budget), 20 + 9);
    }
}
