//! One node's dataplane, worked out both ways.

use proptest::test_runner::TestCaseError;
use viprule_dataplane::{CommonSettings, Dataplane as _, DetectLocal};
use viprule_service::model::{Event, Family};
use viprule_service::plan::{NodePortAddresses, PlanConfig};
use viprule_service::tracker::Tracker;
use viprule_testkit::objects::plan_config;
use viprule_testkit::semantics::{Cluster, Detector, NodePorts, Settings};
use viprule_testkit::walker::iptables::Unordered;
use viprule_testkit::walker::{Affinity, Distribution, Host, Packet, Walk, WalkError};

use crate::mode::{Mode, SettingsOf, StateOf};

/// A node's objects and settings, and the state that a mode renders from them.
pub(crate) struct Node<'a, M: Mode> {
    cluster: &'a Cluster,
    settings: &'a Settings,
    /// The cluster as clients on the node see it.
    pub(crate) seen: Cluster,
    /// What the machine has besides.
    pub(crate) host: Host,
    /// What the mode wants in the kernel.
    pub(crate) state: StateOf<M>,
}

impl<'a, M: Mode> Node<'a, M> {
    /// Plans and renders with what packets don't notice at its defaults.
    pub(crate) fn new(cluster: &'a Cluster, settings: &'a Settings) -> Self {
        Self::with(
            cluster,
            settings,
            &CommonSettings::default(),
            &SettingsOf::<M>::default(),
        )
    }

    /// Plans and renders with settings that packets don't notice; of those about masquerading the
    /// mark's bit and the source ports.
    pub(crate) fn with(
        cluster: &'a Cluster,
        settings: &'a Settings,
        masquerading: &CommonSettings,
        unnoticed: &SettingsOf<M>,
    ) -> Self {
        let tracker = tracker(cluster, settings);
        let mut state = StateOf::<M>::default();
        // The detector is a setting of its own for each family.
        for (family, of_plans) in nfnetlink::Family::ALL.into_iter().zip(Family::ALL) {
            let common = CommonSettings {
                families: vec![family],
                masquerade_all: settings.masquerade_all,
                detect_local: detect_local(settings.detector(of_plans)),
                node_port_addresses: node_ports(settings),
                ..masquerading.clone()
            };
            state = state.merged(render::<M>(
                M::settings(unnoticed, common, settings),
                &tracker,
            ));
        }
        Self {
            cluster,
            settings,
            seen: M::seen(cluster, settings),
            host: M::host(cluster, settings),
            state,
        }
    }

    /// Walks packets through this node's state.
    pub(crate) fn walkers(&self) -> Walkers<'_, M> {
        self.walkers_of(&self.state)
            .expect("a state that the kernel takes")
    }

    /// Walks packets through somebody else's state on this node.
    pub(crate) fn walkers_of<'s>(
        &'s self,
        state: &'s StateOf<M>,
    ) -> Result<Walkers<'s, M>, WalkError> {
        let walker = |order| M::walker(state, &self.host, order);
        Ok(Walkers {
            node: self,
            walkers: [walker(Unordered::Forward)?, walker(Unordered::Backward)?],
        })
    }

    /// What Kubernetes says about it.
    pub(crate) fn expected(&self, packet: &Packet, affinity: &Affinity) -> Distribution {
        (M::STATEMENT)(self.cluster, self.settings, packet, affinity)
    }
}

/// A state, walked in both orders that the kernel may have unordered rules in.
pub(crate) struct Walkers<'n, M: Mode> {
    node: &'n Node<'n, M>,
    walkers: [Box<dyn Walk + 'n>; 2],
}

impl<M: Mode> Walkers<'_, M> {
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
            if !walked.is_close_to(&expected, M::TOLERANCE) {
                let message = format!("{packet}\nexpected: {expected}\nwalked:   {walked}");
                return Err(TestCaseError::fail(message));
            }
        }
        Ok(())
    }
}

fn render<M: Mode>(settings: SettingsOf<M>, tracker: &Tracker) -> StateOf<M> {
    let dataplane = M::dataplane(settings, tracker.facts());
    let plans = tracker.services().into_iter().map(|id| tracker.plan(&id));
    dataplane.desired(plans.map(|plan| dataplane.service(&plan.expect("the tracker lists it"))))
}

/// A tracker that knows all of a cluster.
fn tracker(cluster: &Cluster, settings: &Settings) -> Tracker {
    let mut tracker = Tracker::new(PlanConfig {
        bind_address: settings.bind_address,
        allow_external_ips: settings.allow_external_ips,
        ..plan_config(&settings.node_name)
    });
    tracker.apply(Event::LocalAddresses(cluster.local_addresses.clone()));
    tracker.apply(Event::ApiServer(
        cluster.api_server.iter().copied().collect(),
    ));
    if let Some(node) = &cluster.node {
        tracker.apply(Event::NodeApplied(node.clone()));
    }
    for cidr in &cluster.service_cidrs {
        tracker.apply(Event::ServiceCidrApplied(cidr.clone()));
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
fn node_ports(settings: &Settings) -> NodePortAddresses {
    match &settings.node_port_addresses {
        NodePorts::Unset => NodePortAddresses::All,
        NodePorts::Primary => NodePortAddresses::Primary,
        NodePorts::Networks(networks) => NodePortAddresses::Networks(networks.clone()),
    }
}

/// One family's detector as dataplanes take it.
fn detect_local(detector: Option<&Detector>) -> DetectLocal {
    match detector {
        None => DetectLocal::ClusterCidr(Vec::new()),
        Some(Detector::Source(net)) => DetectLocal::ClusterCidr(vec![*net]),
        Some(Detector::Bridge(name)) => DetectLocal::BridgeInterface(name.clone()),
        Some(Detector::InterfacePrefix(name)) => DetectLocal::InterfaceNamePrefix(name.clone()),
    }
}
