//! One node's dataplane, worked out both ways.

use nfnetlink::xtables::Interface;
use proptest::test_runner::TestCaseError;
use viprule_dataplane::State;
use viprule_dataplane::iptables::{self, Options};
use viprule_dataplane::netfilter::{self, Key, Masquerade, Object};
use viprule_service::model::{Event, Family};
use viprule_service::plan::{Budgets, NodePortAddresses, PlanConfig};
use viprule_service::tracker::Tracker;
use viprule_testkit::semantics::{Cluster, Detector, NodePorts, Settings, expected};
use viprule_testkit::walker::iptables::{Unordered, Walker};
use viprule_testkit::walker::{Affinity, Distribution, Host, Packet, Walk, WalkError};

/// Probabilities are kept in 31 bits and written with 10 decimals.
pub(crate) const TOLERANCE: f64 = 1e-6;

/// A node's objects and settings, and the state rendered from them.
pub(crate) struct Node<'a> {
    cluster: &'a Cluster,
    settings: &'a Settings,
    pub(crate) host: Host,
    /// What iptables mode wants in the kernel.
    pub(crate) state: State<Key, Object>,
}

impl<'a> Node<'a> {
    /// Plans and renders with default options.
    pub(crate) fn new(cluster: &'a Cluster, settings: &'a Settings) -> Self {
        Self::with_options(cluster, settings, |_| ())
    }

    /// Plans and renders with options of iptables mode that packets don't notice.
    pub(crate) fn with_options(
        cluster: &'a Cluster,
        settings: &'a Settings,
        change: impl FnOnce(&mut Options),
    ) -> Self {
        let tracker = tracker(cluster, settings);
        let mut options = options(settings, &tracker);
        change(&mut options);
        let mut state = iptables::base(&options);
        for id in tracker.services() {
            let plan = tracker.plan(&id).expect("the tracker lists it");
            state = state.merged(iptables::service(&plan, &options));
        }
        let state = state.merged(iptables::entry_points(&options));
        Self {
            cluster,
            settings,
            host: cluster.host(settings),
            state,
        }
    }

    /// Walks packets through this node's rules.
    pub(crate) fn walkers(&self) -> Walkers<'_> {
        self.walkers_of(&self.state)
            .expect("a state that the kernel takes")
    }

    /// Walks packets through somebody else's rules on this node.
    pub(crate) fn walkers_of<'s>(
        &'s self,
        state: &'s State<Key, Object>,
    ) -> Result<Walkers<'s>, WalkError> {
        let walker = |order| Walker::new(state, &self.host, order);
        Ok(Walkers {
            node: self,
            walkers: [walker(Unordered::Forward)?, walker(Unordered::Backward)?],
        })
    }

    /// What Kubernetes says about it.
    pub(crate) fn expected(&self, packet: &Packet, affinity: &Affinity) -> Distribution {
        expected(self.cluster, self.settings, packet, affinity)
    }
}

/// Rules, walked in both orders that the kernel may have unordered ones in.
pub(crate) struct Walkers<'n> {
    node: &'n Node<'n>,
    walkers: [Walker<'n>; 2],
}

impl Walkers<'_> {
    /// How the packet ends, in both orders.
    pub(crate) fn walk(
        &self,
        packet: &Packet,
        affinity: &Affinity,
    ) -> Result<[Distribution; 2], WalkError> {
        let [forward, backward] = &self.walkers;
        Ok([
            forward.walk(packet, affinity)?,
            backward.walk(packet, affinity)?,
        ])
    }

    /// Fails where a packet ends otherwise than Kubernetes says.
    pub(crate) fn agree(&self, packet: &Packet, affinity: &Affinity) -> Result<(), TestCaseError> {
        let expected = self.node.expected(packet, affinity);
        let walked = self
            .walk(packet, affinity)
            .map_err(|error| TestCaseError::fail(format!("{packet}: {error}")))?;
        for walked in walked {
            if !walked.is_close_to(&expected, TOLERANCE) {
                let message = format!("{packet}\nexpected: {expected}\nwalked:   {walked}");
                return Err(TestCaseError::fail(message));
            }
        }
        Ok(())
    }
}

/// A tracker that knows all of a cluster.
pub(crate) fn tracker(cluster: &Cluster, settings: &Settings) -> Tracker {
    let mut tracker = Tracker::new(PlanConfig {
        node_name: settings.node_name.clone(),
        bind_address: settings.bind_address,
        allow_external_ips: settings.allow_external_ips,
        budgets: Budgets::default(),
    });
    tracker.apply(Event::LocalAddresses(cluster.local_addresses.clone()));
    tracker.apply(Event::ApiServer(
        cluster.api_server.iter().copied().collect(),
    ));
    if let Some(node) = &cluster.node {
        tracker.apply(Event::NodeApplied(node.clone()));
    }
    for service in &cluster.services {
        tracker.apply(Event::ServiceApplied(service.clone()));
    }
    for slice in &cluster.slices {
        tracker.apply(Event::SliceApplied(slice.clone()));
    }
    tracker
}

/// `nodePortAddresses` as dataplanes take it.
pub(crate) fn node_ports(settings: &Settings) -> NodePortAddresses {
    match &settings.node_port_addresses {
        NodePorts::Unset => NodePortAddresses::All,
        NodePorts::Primary => NodePortAddresses::Primary,
        NodePorts::Networks(networks) => NodePortAddresses::Networks(networks.clone()),
    }
}

fn options(settings: &Settings, tracker: &Tracker) -> Options {
    let node_ports = node_ports(settings);
    let facts = tracker.facts();
    Options {
        masquerade: Masquerade {
            all: settings.masquerade_all,
            detectors: settings
                .detectors
                .clone()
                .map(|detector| detector.map(to_detector)),
            ..Masquerade::default()
        },
        localhost_node_ports: settings.localhost_node_ports && node_ports.include_loopback(facts),
        node_port_targets: Family::ALL.map(|family| node_ports.targets(family, facts)),
        ..Options::default()
    }
}

fn to_detector(detector: Detector) -> netfilter::Detector {
    match detector {
        Detector::Source(net) => netfilter::Detector::Source(net),
        Detector::Bridge(name) => netfilter::Detector::Interface(Interface {
            name,
            wildcard: false,
        }),
        Detector::InterfacePrefix(name) => netfilter::Detector::Interface(Interface {
            name,
            wildcard: true,
        }),
    }
}
