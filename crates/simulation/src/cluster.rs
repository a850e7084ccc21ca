//! What is true of the cluster: what its users made, whatever the server tells of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};
use viprule_service::model::{
    Conditions, CreationTime, Endpoint, EndpointSlice, Event, Family, Node, Protocol, Service,
    ServiceCidr, ServiceId, ServicePort, ServiceType, SliceId, SlicePort,
};
use viprule_source::convert::parse_range;
use viprule_testkit::api_server::{ApiServer, Kind};
use viprule_testkit::chance::Chance;
use viprule_testkit::objects;

use crate::odd;

/// This node.
pub(crate) const NODE: &str = "node-0";
/// The namespace of everything.
const NAMESPACE: &str = "shop";
/// 2026-01-01T00:00:00Z.
const EPOCH: i64 = 1_767_225_600;
/// Services that are there from the beginning to the end, with an endpoint at every moment: so many
/// that it is noticed when a list lacks most of them.
const STEADY: usize = 12;
/// Services at most.
const MOST: usize = 24;

/// What is true.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cluster {
    services: BTreeMap<usize, Kept>,
    node: NodeObject,
    /// Services ask for what others have, too.
    greedy: bool,
}

#[derive(Debug, Clone, Default)]
struct NodeObject {
    zone: u8,
}

/// A Service and its slices.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a condition that the API has, but for one"
)]
#[derive(Debug, Clone)]
struct Kept {
    kind: ServiceType,
    dual: bool,
    ports: Vec<u16>,
    affinity: Option<u32>,
    external_local: bool,
    balancer: bool,
    greedy: bool,
    /// By slice.
    slices: BTreeMap<u8, Vec<Pod>>,
    /// What the Service's object has besides, and each slice's.
    odd: odd::Looks,
    odd_slices: BTreeMap<u8, odd::Looks>,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a condition that the API has"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pod {
    number: u8,
    ready: bool,
    serving: bool,
    terminating: bool,
    here: bool,
}

/// A change that was made.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// In words.
    pub(crate) what: String,
}

impl Cluster {
    /// The steady Services and some more.
    pub(crate) fn new(chance: &mut Chance, greedy: bool) -> Self {
        let mut cluster = Self {
            greedy,
            ..Self::default()
        };
        for number in 0..STEADY + chance.below(4) {
            let kept = Kept::new(number, chance, greedy);
            cluster.services.insert(number, kept);
        }
        cluster
    }

    /// Makes all of it known to a server that has nothing.
    pub(crate) fn publish(&self, server: &ApiServer) {
        server.put(Kind::Node, self.node_object());
        server.put(Kind::ServiceCidr, service_cidr_object());
        for number in self.services.keys() {
            self.put_service(server, *number);
            for slice in self.services[number].slices.keys() {
                self.put_slice(server, *number, *slice);
            }
        }
    }

    /// Changes something.
    pub(crate) fn change(&mut self, server: &ApiServer, chance: &mut Chance) -> Change {
        let what = match chance.within(0..100) {
            0..12 => self.create(server, chance),
            12..22 => self.delete(server, chance),
            22..30 => self.change_service(server, chance),
            30..36 => self.add_slice(server, chance),
            36..42 => self.remove_slice(server, chance),
            42..45 => Some(self.change_node(server, chance)),
            45..62 => self.look_odd(server, chance),
            _ => None,
        };
        let what = what.unwrap_or_else(|| self.change_endpoints(server, chance));
        Change { what }
    }

    /// Changes an endpoint. A Service that is there all the time keeps a ready one.
    pub(crate) fn change_endpoints(&mut self, server: &ApiServer, chance: &mut Chance) -> String {
        let numbers: Vec<usize> = self.services.keys().copied().collect();
        let number = chance.pick(&numbers).copied().unwrap_or_default();
        let Some(kept) = self.services.get_mut(&number) else {
            return "nothing".to_owned();
        };
        let slices: Vec<u8> = kept.slices.keys().copied().collect();
        let Some(slice) = chance.pick(&slices).copied() else {
            return self
                .add_slice_to(server, number, chance)
                .unwrap_or_default();
        };
        let Some(pods) = kept.slices.get_mut(&slice) else {
            return "nothing".to_owned();
        };
        let before = pods.clone();
        while *pods == before {
            change_pods(pods, slice, chance);
            if number < STEADY && slice == 0 && !pods.iter().any(|pod| pod.ready) {
                pods.push(Pod::ready(slice, chance));
            }
        }
        let ready = pods.iter().filter(|pod| pod.ready).count();
        let what = format!(
            "{}: {} endpoints, {ready} ready",
            slice_name(number, slice, Family::Ipv4),
            pods.len()
        );
        self.put_slice(server, number, slice);
        what
    }

    /// Takes away what makes objects be refused; what nobody needs stays as odd as it is.
    pub(crate) fn look_well(&mut self, server: &ApiServer) {
        for number in self.services.keys().copied().collect::<Vec<_>>() {
            let Some(kept) = self.services.get_mut(&number) else {
                continue;
            };
            let service = kept.odd.get_well();
            let slices = kept.odd_slices.iter_mut();
            let slices: Vec<u8> = slices
                .filter_map(|(slice, odd)| odd.get_well().then_some(*slice))
                .collect();
            if service {
                self.put_service(server, number);
            }
            for slice in slices {
                self.put_slice(server, number, slice);
            }
        }
    }

    /// What is true, as events.
    pub(crate) fn events(&self) -> Vec<Event> {
        let mut events = vec![
            Event::NodeApplied(self.node()),
            Event::ServiceCidrApplied(service_cidr()),
        ];
        for (number, kept) in &self.services {
            events.push(Event::ServiceApplied(kept.service(*number)));
            for slice in kept.slices.keys() {
                for family in kept.families() {
                    events.push(Event::SliceApplied(kept.slice(*number, *slice, family)));
                }
            }
        }
        events
    }

    /// The Services that are there all the time.
    pub(crate) fn steady() -> impl Iterator<Item = ServiceId> {
        (0..STEADY).filter_map(id)
    }

    fn create(&mut self, server: &ApiServer, chance: &mut Chance) -> Option<String> {
        let free: Vec<usize> = (STEADY..MOST)
            .filter(|number| !self.services.contains_key(number))
            .collect();
        let number = *chance.pick(&free)?;
        let kept = Kept::new(number, chance, self.greedy);
        let slices: Vec<u8> = kept.slices.keys().copied().collect();
        self.services.insert(number, kept);
        self.put_service(server, number);
        for slice in slices {
            self.put_slice(server, number, slice);
        }
        Some(format!("{} is made", name(number)))
    }

    fn delete(&mut self, server: &ApiServer, chance: &mut Chance) -> Option<String> {
        let passing: Vec<usize> = self.services.range(STEADY..).map(|(it, _)| *it).collect();
        let number = *chance.pick(&passing)?;
        let kept = self.services.remove(&number)?;
        server.delete(Kind::Service, NAMESPACE, &name(number));
        for slice in kept.slices.keys() {
            for family in kept.families() {
                let name = slice_name(number, *slice, family);
                server.delete(Kind::EndpointSlice, NAMESPACE, &name);
            }
        }
        Some(format!("{} is deleted", name(number)))
    }

    fn change_service(&mut self, server: &ApiServer, chance: &mut Chance) -> Option<String> {
        let numbers: Vec<usize> = self.services.keys().copied().collect();
        let number = *chance.pick(&numbers)?;
        let kept = self.services.get_mut(&number)?;
        match chance.below(4) {
            0 => kept.affinity = kept.affinity.is_none().then_some(600),
            1 => kept.external_local = !kept.external_local,
            2 => kept.balancer = !kept.balancer,
            _ if number >= STEADY => kept.ports = ports(chance),
            _ => kept.affinity = Some(60),
        }
        let slices: Vec<u8> = kept.slices.keys().copied().collect();
        self.put_service(server, number);
        for slice in slices {
            self.put_slice(server, number, slice);
        }
        Some(format!("{} is another", name(number)))
    }

    fn add_slice(&mut self, server: &ApiServer, chance: &mut Chance) -> Option<String> {
        let numbers: Vec<usize> = self.services.keys().copied().collect();
        let number = *chance.pick(&numbers)?;
        self.add_slice_to(server, number, chance)
    }

    fn add_slice_to(
        &mut self,
        server: &ApiServer,
        number: usize,
        chance: &mut Chance,
    ) -> Option<String> {
        let kept = self.services.get_mut(&number)?;
        let slice = (0..4).find(|slice| !kept.slices.contains_key(slice))?;
        let pods = (0..=chance.below(3)).map(|_| Pod::ready(slice, chance));
        kept.slices.insert(slice, distinct(pods.collect()));
        self.put_slice(server, number, slice);
        Some(format!(
            "{} is made",
            slice_name(number, slice, Family::Ipv4)
        ))
    }

    fn remove_slice(&mut self, server: &ApiServer, chance: &mut Chance) -> Option<String> {
        let numbers: Vec<usize> = self.services.keys().copied().collect();
        let number = *chance.pick(&numbers)?;
        let kept = self.services.get_mut(&number)?;
        let first = u8::from(number < STEADY);
        let slices: Vec<u8> = kept.slices.range(first..).map(|(it, _)| *it).collect();
        let slice = *chance.pick(&slices)?;
        kept.slices.remove(&slice);
        kept.odd_slices.remove(&slice);
        for family in kept.families() {
            let name = slice_name(number, slice, family);
            server.delete(Kind::EndpointSlice, NAMESPACE, &name);
        }
        Some(format!(
            "{} is deleted",
            slice_name(number, slice, Family::Ipv4)
        ))
    }

    fn change_node(&mut self, server: &ApiServer, chance: &mut Chance) -> String {
        self.node.zone = u8::try_from(chance.below(3)).unwrap_or_default();
        server.put(Kind::Node, self.node_object());
        format!("{NODE} is in zone {}", self.node.zone)
    }

    fn look_odd(&mut self, server: &ApiServer, chance: &mut Chance) -> Option<String> {
        let numbers: Vec<usize> = self.services.keys().copied().collect();
        let number = *chance.pick(&numbers)?;
        let looks = odd::Looks::any(chance);
        let kept = self.services.get_mut(&number)?;
        if chance.per_mille(500) {
            kept.odd = looks;
            self.put_service(server, number);
            return Some(format!("{} looks {looks:?}", name(number)));
        }
        let slices: Vec<u8> = kept.slices.keys().copied().collect();
        let slice = *chance.pick(&slices)?;
        kept.odd_slices.insert(slice, looks);
        self.put_slice(server, number, slice);
        let name = slice_name(number, slice, Family::Ipv4);
        Some(format!("{name} looks {looks:?}"))
    }

    fn put_service(&self, server: &ApiServer, number: usize) {
        if let Some(kept) = self.services.get(&number) {
            let mut object = service_object(&kept.service(number));
            let created = format!("2026-01-01T00:00:0{}Z", age(number));
            object["metadata"]["creationTimestamp"] = json!(created);
            kept.odd.service(&mut object);
            server.put(Kind::Service, object);
        }
    }

    fn put_slice(&self, server: &ApiServer, number: usize, slice: u8) {
        let Some(kept) = self.services.get(&number) else {
            return;
        };
        for family in kept.families() {
            let mut object = slice_object(&kept.slice(number, slice, family));
            if let Some(odd) = kept.odd_slices.get(&slice) {
                odd.slice(&mut object);
            }
            server.put(Kind::EndpointSlice, object);
        }
    }

    fn node(&self) -> Node {
        Node {
            zone: Some(format!("zone-{}", self.node.zone)),
            ..objects::node(NODE, &node_addresses())
        }
    }

    fn node_object(&self) -> Value {
        let addresses = node_addresses().into_iter();
        let addresses: Vec<Value> = addresses
            .map(|ip| json!({"type": "InternalIP", "address": ip}))
            .collect();
        json!({
            "metadata": {
                "name": NODE,
                "labels": {"topology.kubernetes.io/zone": format!("zone-{}", self.node.zone)},
            },
            "status": {"addresses": addresses},
        })
    }
}

const SERVICE_CIDRS: [&str; 2] = ["10.96.0.0/12", "fd00:96::/112"];

/// Where cluster IPs are from.
fn service_cidr() -> ServiceCidr {
    ServiceCidr {
        name: "kubernetes".into(),
        networks: SERVICE_CIDRS.into_iter().filter_map(parse_range).collect(),
    }
}

fn service_cidr_object() -> Value {
    json!({"metadata": {"name": "kubernetes"}, "spec": {"cidrs": SERVICE_CIDRS}})
}

fn node_addresses() -> Vec<IpAddr> {
    vec![
        Ipv4Addr::new(192, 0, 2, 1).into(),
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    ]
}

/// The addresses on this node's interfaces at first, and with another one.
pub(crate) fn interfaces(more: bool) -> Vec<IpAddr> {
    let mut addresses = vec![Ipv4Addr::LOCALHOST.into()];
    addresses.extend(node_addresses());
    if more {
        addresses.push(Ipv4Addr::new(198, 51, 100, 7).into());
    }
    addresses.sort();
    addresses
}

/// When a Service was created: so many seconds after [`EPOCH`], 0 to 4, in another order than that of
/// their names.
fn age(number: usize) -> u8 {
    u8::try_from(number * 7 % 5).unwrap_or_default()
}

fn cluster_ip(low: u8) -> IpAddr {
    Ipv4Addr::new(10, 96, 0, low + 1).into()
}

fn balancer_ip(low: u8) -> IpAddr {
    Ipv4Addr::new(203, 0, 113, low + 1).into()
}

impl Kept {
    fn new(number: usize, chance: &mut Chance, greedy: bool) -> Self {
        let kinds = [
            ServiceType::ClusterIp,
            ServiceType::NodePort,
            ServiceType::LoadBalancer,
        ];
        let kind = *chance.pick(&kinds).unwrap_or(&ServiceType::ClusterIp);
        let first = distinct(
            (0..=chance.below(3))
                .map(|_| Pod::ready(0, chance))
                .collect(),
        );
        let ports = if number < STEADY {
            vec![80]
        } else {
            ports(chance)
        };
        Self {
            kind,
            dual: chance.per_mille(300),
            ports,
            affinity: chance.per_mille(100).then_some(10_800),
            external_local: false,
            balancer: chance.per_mille(500),
            greedy,
            slices: BTreeMap::from([(0, first)]),
            odd: odd::Looks::Well,
            odd_slices: BTreeMap::new(),
        }
    }

    fn families(&self) -> Vec<Family> {
        if self.dual {
            vec![Family::Ipv4, Family::Ipv6]
        } else {
            vec![Family::Ipv4]
        }
    }

    /// What other Services have or ask for, too. A balancer is nothing that another type has, and says
    /// that it does.
    fn external_ips(&self, number: usize) -> Vec<IpAddr> {
        if !self.greedy || !self.balancer || self.kind == ServiceType::LoadBalancer {
            return Vec::new();
        }
        let other = |distance: usize| u8::try_from((number + distance) % MOST).unwrap_or_default();
        let shared = Ipv4Addr::new(198, 51, 100, 99);
        vec![cluster_ip(other(1)), balancer_ip(other(2)), shared.into()]
    }

    fn service(&self, number: usize) -> Service {
        let low = u8::try_from(number).unwrap_or_default();
        let exposed = self.kind != ServiceType::ClusterIp;
        let port = |(at, port): (usize, &u16)| ServicePort {
            name: format!("p{port}").into(),
            protocol: Protocol::Tcp,
            port: *port,
            node_port: if exposed {
                30_000 + u16::try_from(number * 8 + at).unwrap_or_default()
            } else {
                0
            },
        };
        let ips = self.families().into_iter().map(|family| match family {
            Family::Ipv4 => cluster_ip(low),
            Family::Ipv6 => Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, u16::from(low) + 1).into(),
        });
        let balanced = self.balancer && self.kind == ServiceType::LoadBalancer;
        let balancers: &[IpAddr] = &[balancer_ip(low)];
        // Numbers make names.
        let id = id(number).unwrap_or_else(|| unreachable!("{number}"));
        Service {
            created: CreationTime::at(EPOCH + i64::from(age(number))),
            kind: self.kind,
            cluster_ips: ips.collect(),
            ports: self.ports.iter().enumerate().map(port).collect(),
            external_ips: self.external_ips(number).into(),
            load_balancer_ips: if balanced { balancers } else { &[] }.into(),
            affinity_seconds: self.affinity,
            external_policy_local: self.external_local && exposed,
            ..objects::bare_service(id)
        }
    }

    fn slice(&self, number: usize, slice: u8, family: Family) -> EndpointSlice {
        let service = id(number).unwrap_or_else(|| unreachable!("{number}"));
        let name = slice_name(number, slice, family);
        let pods = self.slices.get(&slice).into_iter().flatten();
        let low = u8::try_from(number).unwrap_or_default();
        let endpoint = |pod: &Pod| Endpoint {
            address: match family {
                Family::Ipv4 => Ipv4Addr::new(10, 244, low, pod.number).into(),
                Family::Ipv6 => {
                    let (low, pod) = (u16::from(low), u16::from(pod.number));
                    Ipv6Addr::new(0xfd00, 0x244, 0, 0, 0, 0, low, pod).into()
                }
            },
            conditions: Conditions {
                ready: pod.ready,
                serving: pod.serving,
                terminating: pod.terminating,
            },
            node: Some(if pod.here { NODE } else { "node-1" }.into()),
            hints: None,
        };
        let port = |port: &u16| SlicePort {
            name: format!("p{port}").into(),
            protocol: Protocol::Tcp,
            port: 8000 + *port,
        };
        EndpointSlice {
            id: SliceId::new(service, &name).unwrap_or_else(|_| unreachable!("{name}")),
            family,
            ports: self.ports.iter().map(port).collect(),
            endpoints: pods.map(endpoint).collect(),
        }
    }
}

impl Pod {
    fn ready(slice: u8, chance: &mut Chance) -> Self {
        Self {
            number: 60 * slice + 1 + u8::try_from(chance.below(50)).unwrap_or_default(),
            ready: true,
            serving: true,
            terminating: false,
            here: chance.per_mille(500),
        }
    }
}

fn change_pods(pods: &mut Vec<Pod>, slice: u8, chance: &mut Chance) {
    let at = chance.below(pods.len());
    let has_room = pods.len() < 6;
    match (chance.below(5), pods.get_mut(at)) {
        (0 | 1, _) | (_, None) if has_room => pods.push(Pod::ready(slice, chance)),
        (2, Some(pod)) => {
            pod.ready = !pod.ready;
            pod.serving = pod.ready;
            pod.terminating = false;
        }
        (3, Some(pod)) => {
            (pod.ready, pod.terminating) = (false, true);
            pod.serving = chance.per_mille(500);
        }
        _ => {
            if at < pods.len() {
                pods.remove(at);
            }
        }
    }
    let all = std::mem::take(pods);
    *pods = distinct(all);
}

/// Each address once.
fn distinct(mut pods: Vec<Pod>) -> Vec<Pod> {
    pods.sort_by_key(|pod| pod.number);
    pods.dedup_by_key(|pod| pod.number);
    pods
}

fn ports(chance: &mut Chance) -> Vec<u16> {
    [80, 443, 53][..=chance.below(3)].to_vec()
}

fn name(number: usize) -> String {
    format!("s{number:02}")
}

fn id(number: usize) -> Option<ServiceId> {
    ServiceId::new(NAMESPACE, &name(number)).ok()
}

fn slice_name(number: usize, slice: u8, family: Family) -> String {
    let end = match family {
        Family::Ipv4 => "",
        Family::Ipv6 => "-v6",
    };
    format!("{}-{slice}{end}", name(number))
}

fn service_object(service: &Service) -> Value {
    let ports: Vec<Value> = service
        .ports
        .iter()
        .map(|port| {
            let mut object = json!({
                "name": port.name,
                "protocol": "TCP",
                "port": port.port,
                "targetPort": 8000 + port.port,
            });
            if port.node_port > 0 {
                object["nodePort"] = json!(port.node_port);
            }
            object
        })
        .collect();
    let mut spec = json!({
        "type": match service.kind {
            ServiceType::ClusterIp => "ClusterIP",
            ServiceType::NodePort => "NodePort",
            ServiceType::LoadBalancer => "LoadBalancer",
        },
        "clusterIP": service.cluster_ips.first(),
        "clusterIPs": service.cluster_ips,
        "ports": ports,
        "internalTrafficPolicy": "Cluster",
    });
    if let Some(seconds) = service.affinity_seconds {
        spec["sessionAffinity"] = json!("ClientIP");
        spec["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": seconds}});
    }
    if service.kind != ServiceType::ClusterIp {
        let local = service.external_policy_local;
        spec["externalTrafficPolicy"] = json!(if local { "Local" } else { "Cluster" });
    }
    if !service.external_ips.is_empty() {
        spec["externalIPs"] = json!(service.external_ips);
    }
    let balancers = service.load_balancer_ips.iter();
    let balancers: Vec<Value> = balancers.map(|ip| json!({"ip": ip})).collect();
    json!({
        "metadata": {"namespace": service.id.namespace(), "name": service.id.name()},
        "spec": spec,
        "status": {"loadBalancer": {"ingress": balancers}},
    })
}

fn slice_object(slice: &EndpointSlice) -> Value {
    let endpoints: Vec<Value> = slice
        .endpoints
        .iter()
        .map(|endpoint| {
            json!({
                "addresses": [endpoint.address],
                "conditions": {
                    "ready": endpoint.conditions.ready,
                    "serving": endpoint.conditions.serving,
                    "terminating": endpoint.conditions.terminating,
                },
                "nodeName": endpoint.node.as_deref(),
            })
        })
        .collect();
    let ports = slice.ports.iter();
    let ports: Vec<Value> = ports
        .map(|port| json!({"name": port.name, "protocol": "TCP", "port": port.port}))
        .collect();
    json!({
        "metadata": {
            "namespace": slice.id.service.namespace(),
            "name": slice.id.name,
            "labels": {"kubernetes.io/service-name": slice.id.service.name()},
        },
        "addressType": slice.family.as_str(),
        "ports": ports,
        "endpoints": endpoints,
    })
}
