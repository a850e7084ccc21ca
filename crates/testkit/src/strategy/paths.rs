//! Ways to the same cluster: what happens before and in between differs, the end is the same.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::subsequence;
use viprule_service::model::{Event, Family, ServiceId, SliceId};

use super::{addresses, cluster};
use crate::semantics::Cluster;

/// What happens on a node, and where it ends.
#[derive(Debug, Clone)]
pub struct Path {
    /// The last event of each object.
    pub end: Vec<Event>,
    /// Everything that happens, in order; true where somebody looks afterwards.
    pub steps: Vec<(Event, bool)>,
}

/// Everything that a cluster says about itself, as events.
pub fn events(cluster: &Cluster) -> Vec<Event> {
    let node = cluster.node.clone().map(Event::NodeApplied);
    let local = Event::LocalAddresses(cluster.local_addresses.clone());
    let api_server = Event::ApiServer(cluster.api_server.iter().copied().collect());
    let cidrs = cluster.service_cidrs.iter().cloned();
    let cidrs = cidrs.map(Event::ServiceCidrApplied);
    let services = cluster.services.iter().cloned().map(Event::ServiceApplied);
    let slices = cluster.slices.iter().cloned().map(Event::SliceApplied);
    node.into_iter()
        .chain([local, api_server])
        .chain(cidrs)
        .chain(services)
        .chain(slices)
        .collect()
}

/// One to three clusters after each other, each object's changes in their order, all objects'
/// changes interleaved and some told twice.
pub fn path() -> impl Strategy<Value = Path> {
    let places = vec(any::<u16>(), 97);
    let repeated = vec(prop::bool::weighted(0.2), 31);
    let looks = prop_oneof![
        1 => Just(vec![false]),
        1 => Just(vec![true]),
        3 => vec(prop::bool::weighted(0.3), 29),
    ];
    (vec(version(), 1..=3), places, repeated, looks).prop_map(
        |(versions, places, repeated, looks)| {
            let histories = histories(&versions);
            let end = histories.iter().filter_map(|it| it.last().cloned());
            let steps = interleave(&histories, &places, &repeated);
            Path {
                end: end.collect(),
                steps: steps.into_iter().zip(looks.into_iter().cycle()).collect(),
            }
        },
    )
}

/// A cluster whose node may have pod networks, on a machine that may lack addresses.
fn version() -> impl Strategy<Value = Vec<Event>> {
    let local = subsequence(addresses::local_addresses(), 1..=8);
    (cluster(), local, any::<bool>()).prop_map(|(mut cluster, local, has_pods)| {
        cluster.local_addresses = local;
        if let Some(node) = cluster.node.as_mut().filter(|_| has_pods) {
            node.pod_cidrs = Family::ALL.map(addresses::pod_network).to_vec();
        }
        events(&cluster)
    })
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Node,
    LocalAddresses,
    ApiServer,
    ServiceCidr(Box<str>),
    /// About many objects; generated paths have none.
    Many,
    Service(ServiceId),
    Slice(SliceId),
}

fn subject(event: &Event) -> Subject {
    match event {
        Event::NodeApplied(_) | Event::NodeDeleted => Subject::Node,
        Event::LocalAddresses(_) => Subject::LocalAddresses,
        Event::ApiServer(_) => Subject::ApiServer,
        Event::ServiceCidrApplied(cidr) => Subject::ServiceCidr(cidr.name.clone()),
        Event::ServiceCidrDeleted(name) => Subject::ServiceCidr(name.clone()),
        Event::ServiceApplied(service) => Subject::Service(service.id.clone()),
        Event::ServiceDeleted(id) => Subject::Service(id.clone()),
        Event::SliceApplied(slice) => Subject::Slice(slice.id.clone()),
        Event::SliceDeleted(id) => Subject::Slice(id.clone()),
        Event::SliceMoved { .. }
        | Event::ServicesRelisted(_)
        | Event::SlicesRelisted(_)
        | Event::ServiceCidrsRelisted(_)
        | Event::Refused(_)
        | Event::RefusedAsks(_)
        | Event::NoLongerRefused(_) => Subject::Many,
    }
}

fn gone(subject: &Subject) -> Option<Event> {
    match subject {
        Subject::Node => Some(Event::NodeDeleted),
        Subject::ServiceCidr(name) => Some(Event::ServiceCidrDeleted(name.clone())),
        Subject::LocalAddresses | Subject::ApiServer | Subject::Many => None,
        Subject::Service(id) => Some(Event::ServiceDeleted(id.clone())),
        Subject::Slice(id) => Some(Event::SliceDeleted(id.clone())),
    }
}

/// What happens to each object, in order.
fn histories(versions: &[Vec<Event>]) -> Vec<Vec<Event>> {
    let mut histories: BTreeMap<Subject, Vec<Event>> = BTreeMap::new();
    for version in versions {
        let present: BTreeSet<Subject> = version.iter().map(subject).collect();
        for (subject, history) in &mut histories {
            if !present.contains(subject) {
                history.extend(gone(subject));
            }
        }
        for event in version {
            let history = histories.entry(subject(event)).or_default();
            history.push(event.clone());
        }
    }
    histories.into_values().collect()
}

/// Gives every event a place, within a history in its order.
fn interleave(histories: &[Vec<Event>], places: &[u16], repeated: &[bool]) -> Vec<Event> {
    let mut places = places.iter().copied().cycle();
    let mut repeated = repeated.iter().copied().cycle();
    let mut timeline = Vec::new();
    for history in histories {
        let mut events = Vec::new();
        for event in history {
            let times = if repeated.next() == Some(true) { 2 } else { 1 };
            events.extend(std::iter::repeat_n(event.clone(), times));
        }
        let mut chosen: Vec<u16> = places.by_ref().take(events.len()).collect();
        chosen.sort_unstable();
        timeline.extend(chosen.into_iter().zip(events));
    }
    timeline.sort_by_key(|(place, _)| *place);
    timeline.into_iter().map(|(_, event)| event).collect()
}
