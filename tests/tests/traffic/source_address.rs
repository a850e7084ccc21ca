//! The client address that endpoints see: contract 1.7, row by row.

use crate::support::{CLUSTER_CIDR, Stage, at, shared};
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use viprule_testkit::Protocol::Tcp;
use viprule_testkit::client::Client;
use viprule_testkit::manifests::{Service, join, service, slice};
use viprule_testkit::server::Server;
use viprule_testkit::{Mode, World};

const LOCAL: &str = "10.244.0.21:8080";
const REMOTE: &str = "10.244.1.21:8080";
/// Enough to see both endpoints: one of them is missed once in half a million rows.
const ATTEMPTS: usize = 20;

/// Whose connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// Those of a pod on the node.
    Pod,
    /// Those of a process on the node. It uses an address that masquerading would not choose.
    Node,
    /// Those of a process on the node from 127.0.0.1.
    Loopback,
    /// Those of a machine outside the cluster.
    Outside,
}

/// What they call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    ClusterIp,
    NodePort,
    LoadBalancer,
}

/// What becomes of them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Fate {
    remote: bool,
    masqueraded: bool,
}

impl fmt::Debug for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints = if self.remote { "L,R" } else { "L" };
        let snat = if self.masqueraded { "SNAT" } else { "no SNAT" };
        write!(f, "{endpoints} {snat}")
    }
}

const fn fate(remote: bool, masqueraded: bool) -> Fate {
    Fate {
        remote,
        masqueraded,
    }
}
const BOTH_MASQUERADED: Fate = fate(true, true);
const BOTH_KEPT: Fate = fate(true, false);
const LOCAL_MASQUERADED: Fate = fate(false, true);
const LOCAL_KEPT: Fate = fate(false, false);

/// A Service's traffic policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Cluster,
    ExternalLocal,
    InternalLocal,
}

impl Policy {
    const ALL: [Self; 3] = [Self::Cluster, Self::ExternalLocal, Self::InternalLocal];

    fn last_digits(self) -> u8 {
        21 + self as u8
    }

    fn target(self, to: To) -> SocketAddr {
        let last = self.last_digits();
        match to {
            To::ClusterIp => SocketAddr::from(([10, 1, 0, last], 80)),
            To::NodePort => SocketAddr::from(([192, 168, 77, 2], 30_000 + u16::from(last))),
            To::LoadBalancer => SocketAddr::from(([203, 0, 113, last], 80)),
        }
    }

    fn service(self) -> Service {
        let last = self.last_digits();
        let service = service(&format!("svc-{last}"))
            .cluster_ip(&self.target(To::ClusterIp).ip().to_string())
            .tcp("", 80, 8080)
            .node_port(self.target(To::NodePort).port())
            .load_balancer(&self.target(To::LoadBalancer).ip().to_string());
        match self {
            Self::Cluster => service,
            Self::ExternalLocal => service.external_local(),
            Self::InternalLocal => service.internal_local(),
        }
    }
}

/// A node with one Service of each policy, all with the same two endpoints.
#[derive(Debug)]
struct Scene {
    stage: Stage,
    _servers: Vec<Server>,
}

impl Scene {
    /// Without a detector nothing outgoing is masqueraded for cluster IPs, and endpoints on other
    /// nodes have to answer by way of this one.
    fn new(flags: &str, replies_via_node: bool) -> Self {
        let builder = World::builder().node_address("198.51.100.2");
        let builder = builder.pods(["10.244.0.21", "10.244.1.21"]);
        let builder = if replies_via_node {
            builder.replies_via_node()
        } else {
            builder
        };
        let stage = Stage::new(shared(), builder);
        let servers = stage.world.serve_all(Tcp, [LOCAL, REMOTE]).unwrap();
        let documents = Policy::ALL.iter().flat_map(|policy| {
            let name = format!("svc-{}", policy.last_digits());
            let slice = slice(&format!("{name}-1"), &name).tcp("", 8080);
            let slice = slice
                .ready("10.244.0.21", "node-0")
                .ready("10.244.1.21", "node-1");
            [policy.service().to_string(), slice.to_string()]
        });
        stage.write("services.yaml", &join(documents));
        stage.apply(flags);
        Self {
            stage,
            _servers: servers,
        }
    }

    fn client(&self, from: From) -> (Client<'_>, IpAddr) {
        let world = &self.stage.world;
        let source = match from {
            From::Pod => [10, 244, 0, 200],
            From::Node => [198, 51, 100, 2],
            From::Loopback => [127, 0, 0, 1],
            From::Outside => [192, 168, 77, 100],
        };
        let source = IpAddr::from(source);
        let client = match from {
            From::Pod => return (world.in_pod("10.244.0.200").unwrap(), source),
            From::Node | From::Loopback => world.on_node(),
            From::Outside => world.outside(),
        };
        (client.from_address(source), source)
    }

    /// What becomes of connections; fails if the same kind of connection has several fates.
    #[track_caller]
    fn fate(&self, from: From, to: To, policy: Policy) -> Fate {
        let (client, source) = self.client(from);
        let mut target = policy.target(to);
        if from == From::Loopback {
            target.set_ip(IpAddr::from([127, 0, 0, 1]));
        }
        let answers: BTreeSet<_> = (0..ATTEMPTS)
            .map(|_| {
                let attempt = client.tcp(target).unwrap();
                let answer = attempt.result.unwrap_or_else(|failure| {
                    panic!("{from:?} to {to:?} {target}, {policy:?}: {failure}")
                });
                let kept = answer.peer.ip() == source;
                let node = if answer.backend == at(LOCAL) {
                    [10, 244, 0, 1]
                } else {
                    [192, 168, 77, 2]
                };
                let known = kept || answer.peer.ip() == IpAddr::from(node);
                assert!(
                    known,
                    "{from:?} to {to:?}, {policy:?}: {answer:?} is nobody's address"
                );
                (answer.backend, !kept)
            })
            .collect();
        let masqueraded: BTreeSet<_> = answers
            .iter()
            .map(|(_, masqueraded)| *masqueraded)
            .collect();
        assert_eq!(
            masqueraded.len(),
            1,
            "{from:?} to {to:?}, {policy:?}: {answers:?}"
        );
        let has = |backend: &str| answers.iter().any(|(answered, _)| *answered == at(backend));
        assert!(has(LOCAL), "{from:?} to {to:?}, {policy:?}: {answers:?}");
        fate(has(REMOTE), masqueraded.contains(&true))
    }

    /// Fails unless the fates under each policy, in the order of [`Policy::ALL`], are these.
    #[track_caller]
    fn expect(&self, from: From, to: To, fates: [Fate; 3]) {
        for (policy, expected) in Policy::ALL.into_iter().zip(fates) {
            let found = self.fate(from, to, policy);
            assert_eq!(found, expected, "{from:?} to {to:?}, {policy:?}");
        }
    }
}

#[test]
fn endpoints_see_the_address_that_kubernetes_promises() {
    let scene = Scene::new(CLUSTER_CIDR, false);
    let kept = [BOTH_KEPT, BOTH_KEPT, LOCAL_KEPT];
    let masqueraded = [BOTH_MASQUERADED, BOTH_MASQUERADED, LOCAL_MASQUERADED];
    scene.expect(From::Pod, To::ClusterIp, kept);
    scene.expect(From::Node, To::ClusterIp, masqueraded);
    scene.expect(From::Outside, To::ClusterIp, masqueraded);
    let (pod, node) = local_policy_inside(BOTH_KEPT);
    for to in [To::NodePort, To::LoadBalancer] {
        scene.expect(From::Pod, to, [BOTH_MASQUERADED, pod, BOTH_MASQUERADED]);
        scene.expect(From::Node, to, [BOTH_MASQUERADED, node, BOTH_MASQUERADED]);
        scene.expect(
            From::Outside,
            to,
            [BOTH_MASQUERADED, LOCAL_KEPT, BOTH_MASQUERADED],
        );
    }
    if Mode::of_this_run() == Mode::Iptables {
        scene.expect(From::Loopback, To::NodePort, [BOTH_MASQUERADED; 3]);
    }
}

/// What becomes of connections of a pod and of the node to an external address with the local
/// policy: in iptables mode of a pod's `pod`, and the node's are as without the policy; in IPVS
/// mode the policy is the same for everybody (contract 3.4).
fn local_policy_inside(pod: Fate) -> (Fate, Fate) {
    match Mode::of_this_run() {
        Mode::Iptables | Mode::Nftables => (pod, BOTH_MASQUERADED),
        Mode::Ipvs => (LOCAL_KEPT, LOCAL_KEPT),
    }
}

#[test]
fn masquerade_all_masquerades_every_connection_to_a_cluster_ip() {
    let scene = Scene::new(&format!("{CLUSTER_CIDR} --masquerade-all"), false);
    for from in [From::Pod, From::Node, From::Outside] {
        let masqueraded = [BOTH_MASQUERADED, BOTH_MASQUERADED, LOCAL_MASQUERADED];
        scene.expect(from, To::ClusterIp, masqueraded);
    }
    for to in [To::NodePort, To::LoadBalancer] {
        scene.expect(
            From::Outside,
            to,
            [BOTH_MASQUERADED, LOCAL_KEPT, BOTH_MASQUERADED],
        );
    }
}

#[test]
fn without_a_detector_cluster_ips_keep_every_address() {
    let scene = Scene::new("", true);
    for from in [From::Pod, From::Node, From::Outside] {
        scene.expect(from, To::ClusterIp, [BOTH_KEPT, BOTH_KEPT, LOCAL_KEPT]);
    }
    // Nobody can tell that it comes from a pod.
    let (pod, node) = local_policy_inside(LOCAL_KEPT);
    for to in [To::NodePort, To::LoadBalancer] {
        scene.expect(From::Pod, to, [BOTH_MASQUERADED, pod, BOTH_MASQUERADED]);
        scene.expect(From::Node, to, [BOTH_MASQUERADED, node, BOTH_MASQUERADED]);
        scene.expect(
            From::Outside,
            to,
            [BOTH_MASQUERADED, LOCAL_KEPT, BOTH_MASQUERADED],
        );
    }
}

#[test]
fn an_endpoint_that_reaches_itself_sees_a_masqueraded_address() {
    let scene = Scene::new(CLUSTER_CIDR, false);
    let client = scene.stage.world.in_pod("10.244.0.21").unwrap();
    for policy in Policy::ALL {
        for to in [To::ClusterIp, To::NodePort, To::LoadBalancer] {
            let mut itself = 0;
            for _ in 0..ATTEMPTS {
                let answer = client.tcp(policy.target(to)).unwrap().result.unwrap();
                if answer.backend == at(LOCAL) {
                    itself += 1;
                    assert_eq!(
                        answer.peer.ip(),
                        IpAddr::from([10, 244, 0, 1]),
                        "{to:?} {policy:?}"
                    );
                } else if to == To::ClusterIp {
                    assert_eq!(
                        answer.peer.ip(),
                        IpAddr::from([10, 244, 0, 21]),
                        "{policy:?}"
                    );
                }
            }
            assert!(itself > 0, "{to:?} {policy:?}");
        }
    }
}
