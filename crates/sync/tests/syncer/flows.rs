//! What becomes of tracked UDP flows when the kernel refuses rules. Flows are the kernel's own, in
//! a network namespace; rules are in memory.

use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver};

use viprule_dataplane::Scope;
use viprule_service::model::{Event, Protocol};
use viprule_service::plan::FlowPlace;
use viprule_testkit::Namespace;
use viprule_testkit::fake::{Blame, Kernel};
use viprule_testkit::flows::{self, NewFlow};
use viprule_testkit::netns::require_privileges;
use viprule_writer::conntrack::{Cleaned, Cleaner};

use crate::world::{FakeSyncer, NAT, balancing_chain, fresh, id, service, slice};

const OLD: &str = "10.244.0.5";
const NEW: &str = "10.244.0.6";

fn udp_service() -> Event {
    let Event::ServiceApplied(mut service) = service("dns") else {
        unreachable!("it is a Service");
    };
    service.ports[0].protocol = Protocol::Udp;
    Event::ServiceApplied(service)
}

fn udp_slice(endpoints: &[&str]) -> Event {
    let Event::SliceApplied(mut slice) = slice("dns", endpoints) else {
        unreachable!("it is a slice");
    };
    slice.ports[0].protocol = Protocol::Udp;
    Event::SliceApplied(slice)
}

/// A node with a UDP Service that has one endpoint.
struct Node {
    namespace: Namespace,
    syncer: FakeSyncer,
    reports: Receiver<Cleaned>,
    sources: u16,
}

impl Node {
    fn new() -> Self {
        require_privileges().unwrap();
        let namespace = Namespace::new("flows").unwrap();
        let (sender, reports) = mpsc::channel();
        let report = move |cleaned| sender.send(cleaned).unwrap();
        let cleaner = namespace.run(|| Cleaner::spawn(report)).unwrap().unwrap();
        let mut syncer = fresh(Kernel::new()).with_cleaner(cleaner);
        syncer.apply(udp_service());
        syncer.apply(udp_slice(&[OLD]));
        syncer.reconcile(Scope::Everything).unwrap();
        let node = Self {
            namespace,
            syncer,
            reports,
            sources: 40_000,
        };
        node.settle();
        node
    }

    fn settle(&self) {
        self.syncer.cleaner().unwrap().wait();
        for cleaned in self.reports.try_iter() {
            assert!(cleaned.failure.is_none(), "{cleaned:?}");
        }
    }

    fn vip(&self) -> SocketAddr {
        let plan = self.syncer.tracker().plan(&id("dns")).unwrap();
        (plan.ports[0].cluster_ip, plan.ports[0].port).into()
    }

    /// A client was sent to this endpoint.
    fn add_flow(&mut self, endpoint: &str) {
        self.sources += 1;
        let flow = NewFlow {
            source: ([10, 9, 9, 9], self.sources).into(),
            destination: self.vip(),
            endpoint: Some(format!("{endpoint}:8080").parse().unwrap()),
            tcp_state: None,
        };
        flows::add(&self.namespace, &[flow]).unwrap();
    }

    /// The endpoints that flows lead to.
    fn flows(&self) -> Vec<String> {
        self.settle();
        let flows = flows::list(&self.namespace).unwrap();
        let endpoint = |flow: &nfnetlink::conntrack::Flow| flow.reply.source.ip().to_string();
        flows.iter().map(endpoint).collect()
    }
}

#[test]
fn flows_of_a_service_whose_chain_is_held_end() {
    let mut node = Node::new();
    node.add_flow(OLD);
    let chain = balancing_chain(&node.syncer, "dns");
    let kernel = node.syncer.writer();
    kernel.foreign_insert(NAT, "CNI-OTHER", 0, &format!("-j {chain}"));
    node.syncer.apply(Event::ServiceDeleted(id("dns")));
    assert_ne!(node.syncer.sync().unwrap().refused, [""; 0]);
    assert_eq!(node.flows(), [""; 0]);
}

#[test]
fn a_refused_service_keeps_the_flows_that_its_old_rules_make_and_no_others() {
    for blame in [Blame::Told, Blame::Untold] {
        let mut node = Node::new();
        let kernel = node.syncer.writer();
        kernel.refuse(blame, |request| request.mentions("shop/dns:http"));
        node.syncer.apply(udp_slice(&[NEW]));
        node.syncer.sync().unwrap();
        assert_eq!(node.syncer.quarantined().len(), 1);
        for endpoint in [OLD, NEW] {
            node.add_flow(endpoint);
        }
        let vip = FlowPlace::at(node.vip()).over(Protocol::Udp);
        node.syncer.cleaner().unwrap().removed([vip]);
        assert_eq!(node.flows(), [OLD], "{blame:?}");
    }
}
