//! What the kernel should have, and what it has.

use std::collections::BTreeSet;
use std::net::IpAddr;

use viprule::agent::count_served;
use viprule::config::Effective;
use viprule_dataplane::{Content, ObjectKey, Scope, State};
use viprule_service::model::Event;
use viprule_service::tracker::Tracker;
use viprule_sync::desired;
use viprule_testkit::memory::MemoryKernel;
use viprule_writer::Writer as _;

use crate::cluster::Cluster;
use crate::mode::{Mode, StateOf};

/// Where the API server is.
pub(crate) const API_SERVER: ([u8; 4], u16) = ([192, 0, 2, 9], 6443);
/// Differences that are named.
const NAMED: usize = 6;

/// Knows all that is true.
pub(crate) fn tracker(cluster: &Cluster, effective: &Effective, addresses: &[IpAddr]) -> Tracker {
    let mut tracker = Tracker::new(effective.resolve().plan.clone());
    tracker.apply(Event::LocalAddresses(addresses.to_vec()));
    tracker.apply(Event::ApiServer(BTreeSet::from([API_SERVER.into()])));
    for event in cluster.events() {
        tracker.apply(event);
    }
    tracker
}

/// What the plans say for what is true.
pub(crate) fn planned<M: Mode>(
    cluster: &Cluster,
    effective: &Effective,
    addresses: &[IpAddr],
) -> StateOf<M> {
    let tracker = tracker(cluster, effective, addresses);
    desired(&M::dataplane(effective, tracker.facts()), &tracker)
}

/// What the kernel has of it, read as another program.
pub(crate) fn observed<M: Mode>(kernel: &MemoryKernel) -> anyhow::Result<StateOf<M>> {
    let _entered = kernel.program("observer", 7).enter();
    Ok(M::open()?.observe(&Scope::Everything)?)
}

/// How many Services with endpoints it serves.
pub(crate) fn served<M: Mode>(kernel: &MemoryKernel) -> anyhow::Result<usize> {
    let _entered = kernel.program("observer", 7).enter();
    Ok(count_served::<M::Dataplane, _>(&mut M::open()?)?)
}

/// In which ways the kernel differs from what it should have; none where it does not.
pub(crate) fn difference<K: ObjectKey, O: Content>(
    planned: &State<K, O>,
    observed: &State<K, O>,
) -> Option<String> {
    let mut all = Vec::new();
    for (key, object) in planned {
        match observed.get(key) {
            None => all.push(format!("lacks {key}")),
            Some(found) if found != object => all.push(format!("has another {key}")),
            Some(_) => {}
        }
    }
    for (key, _) in observed {
        // What is shared with other programs may hold more.
        if key.is_removable() && planned.get(key).is_none() {
            all.push(format!("still has {key}"));
        }
    }
    if all.is_empty() {
        return None;
    }
    let more = all.len().saturating_sub(NAMED);
    let mut named = all[..all.len().min(NAMED)].join("; ");
    if more > 0 {
        named = format!("{named}; and {more} more");
    }
    Some(named)
}
