//! Any order, split or repetition of the same events ends in the same plans, and whatever changes
//! is told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use proptest::prelude::*;
use viprule_service::model::{Event, Protocol, ServiceId};
use viprule_service::plan::{Frontend, NodeFacts, ServicePlan};
use viprule_service::tracker::{Conflict, Tracker};

use crate::path::path;
use crate::world::config;

/// Everything that a tracker says about its state.
#[derive(Debug, Clone, PartialEq)]
struct Snapshot {
    plans: BTreeMap<ServiceId, ServicePlan>,
    facts: NodeFacts,
    conflicts: Vec<Conflict>,
}

fn snapshot(tracker: &Tracker) -> Snapshot {
    let plan = |id: ServiceId| (id.clone(), tracker.plan(&id).unwrap());
    Snapshot {
        plans: tracker.services().into_iter().map(plan).collect(),
        facts: tracker.facts().clone(),
        conflicts: tracker.conflicts().collect(),
    }
}

/// Takes the changes and checks that they tell every difference between two snapshots.
fn check_changes(tracker: &mut Tracker, before: &Snapshot) -> Result<Snapshot, TestCaseError> {
    let changes = tracker.take_changes();
    let after = snapshot(tracker);
    let ids: BTreeSet<&ServiceId> = before.plans.keys().chain(after.plans.keys()).collect();
    for id in ids.into_iter().filter(|id| !changes.services.contains(id)) {
        prop_assert_eq!(
            before.plans.get(id),
            after.plans.get(id),
            "{} is not marked",
            id
        );
    }
    prop_assert!(
        changes.node || before.facts == after.facts,
        "the node is not marked"
    );
    let [known, told, there] =
        [&before.conflicts, &changes.conflicts, &after.conflicts].map(|it| lost(it));
    for (loser, frontend) in there.difference(&known) {
        let is_told = told.contains(&(loser.clone(), *frontend));
        prop_assert!(is_told, "{frontend} of {loser} is not told");
    }
    for (loser, frontend) in told.difference(&there) {
        prop_assert!(false, "{frontend} of {loser} is no conflict");
    }
    prop_assert!(tracker.take_changes().is_empty());
    Ok(after)
}

/// Who is without what.
fn lost(conflicts: &[Conflict]) -> BTreeSet<(ServiceId, Frontend)> {
    let of = |it: &Conflict| {
        let loser = it.loser.clone();
        it.frontends
            .clone()
            .into_iter()
            .map(move |frontend| (loser.clone(), frontend))
    };
    conflicts.iter().flat_map(of).collect()
}

/// A tracker that saw these events and nothing else.
fn straight(events: impl IntoIterator<Item = Event>) -> Tracker {
    let mut tracker = Tracker::new(config(true));
    events.into_iter().for_each(|event| tracker.apply(event));
    tracker
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_path_ends_in_the_same_plans_and_tells_every_change(path in path()) {
        let mut tracker = Tracker::new(config(true));
        let mut seen = snapshot(&tracker);
        for (event, look) in &path.steps {
            tracker.apply(event.clone());
            if *look {
                seen = check_changes(&mut tracker, &seen)?;
            }
        }
        let end = check_changes(&mut tracker, &seen)?;
        prop_assert_eq!(&end, &snapshot(&straight(path.end.clone())));
        prop_assert_eq!(&end, &snapshot(&straight(path.end.iter().rev().cloned())));

        // Hearing the end once more changes nothing.
        path.end.iter().for_each(|event| tracker.apply(event.clone()));
        prop_assert!(tracker.take_changes().is_empty());
    }

    #[test]
    fn deleting_everything_and_telling_it_again_ends_in_the_same_plans(path in path()) {
        let mut tracker = straight(path.end.clone());
        let before = snapshot(&tracker);
        tracker.take_changes();
        for event in &path.end {
            match event {
                Event::ServiceApplied(service) => {
                    tracker.apply(Event::ServiceDeleted(service.id.clone()));
                }
                Event::SliceApplied(slice) => tracker.apply(Event::SliceDeleted(slice.id.clone())),
                Event::NodeApplied(_) => tracker.apply(Event::NodeDeleted),
                _ => {}
            }
        }
        prop_assert!(tracker.services().is_empty());
        prop_assert_eq!(tracker.conflicts().count(), 0);
        path.end.iter().rev().for_each(|event| tracker.apply(event.clone()));
        prop_assert_eq!(check_changes(&mut tracker, &before)?, before);
    }

    #[test]
    fn a_relist_ends_where_it_says_whatever_was_known(old in path(), new in path()) {
        let mut tracker = straight(old.end.iter().cloned());
        let before = snapshot(&tracker);
        tracker.take_changes();
        tracker.apply(Event::NodeDeleted);
        let mut services = BTreeSet::new();
        let mut slices = BTreeSet::new();
        for event in &new.end {
            match event {
                Event::ServiceApplied(service) => drop(services.insert(service.id.clone())),
                Event::SliceApplied(slice) => drop(slices.insert(slice.id.clone())),
                Event::NodeApplied(_)
                | Event::NodeDeleted
                | Event::LocalAddresses(_)
                | Event::ApiServer(_) => {}
                // Who lists says nothing of what isn't there.
                _ => continue,
            }
            tracker.apply(event.clone());
        }
        tracker.apply(Event::SlicesRelisted(slices));
        tracker.apply(Event::ServicesRelisted(services));
        let known = |event: &Event| {
            matches!(event, Event::LocalAddresses(_) | Event::ApiServer(_))
        };
        let addresses = old.end.iter().filter(|event| known(event)).cloned();
        let expected = straight(addresses.chain(new.end.iter().cloned()));
        prop_assert_eq!(check_changes(&mut tracker, &before)?, snapshot(&expected));
    }

    #[test]
    fn nothing_but_a_cluster_ip_gets_in_the_way_to_the_api_server(path in path()) {
        let tracker = straight(path.end);
        let api_server = &tracker.facts().api_server;
        for id in tracker.services() {
            let plan = tracker.plan(&id).unwrap();
            for port in plan.ports.iter().filter(|port| port.protocol == Protocol::Tcp) {
                for ip in port.external_ips.iter().chain(&port.load_balancer_ips) {
                    let there = api_server.contains(&SocketAddr::new(*ip, port.port));
                    prop_assert!(!there, "{} has {}", id, ip);
                    let address = api_server.iter().any(|at| at.ip() == *ip);
                    prop_assert_eq!(address, plan.is_api_server(*ip));
                }
            }
        }
    }

    #[test]
    fn a_frontend_belongs_to_one_plan(path in path()) {
        let tracker = straight(path.end);
        let mut owners = BTreeSet::new();
        for id in tracker.services() {
            for port in tracker.plan(&id).unwrap().ports {
                let cluster_ip = (port.family, Some(port.cluster_ip), port.port, port.protocol);
                prop_assert!(owners.insert(cluster_ip), "{:?} twice", cluster_ip);
                let node_port = (port.family, None, port.node_port, port.protocol);
                let free = port.node_port == 0 || owners.insert(node_port);
                prop_assert!(free, "{:?} twice", node_port);
            }
        }
    }
}
