//! What the kernel should have, and what it has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use nfnetlink::Family;
use viprule::agent::{count_served, desired};
use viprule::config::Effective;
use viprule_dataplane::iptables::{Iptables, Key, Object};
use viprule_dataplane::{Dataplane as _, ObjectKey as _, Scope, State};
use viprule_service::model::Event;
use viprule_service::tracker::Tracker;
use viprule_testkit::memory::MemoryKernel;
use viprule_writer::Writer as _;
use viprule_writer::iptables::IptablesWriter;

use crate::chaos;
use crate::cluster::Cluster;
use crate::settings::SUPPORT;

/// Where the API server is.
pub(crate) const API_SERVER: ([u8; 4], u16) = ([192, 0, 2, 9], 6443);
/// Differences that are named.
const NAMED: usize = 6;

fn tracker(cluster: &Cluster, effective: &Effective, addresses: &[IpAddr]) -> Tracker {
    let mut tracker = Tracker::new(effective.resolve().plan.clone());
    tracker.apply(Event::LocalAddresses(addresses.to_vec()));
    tracker.apply(Event::ApiServer(BTreeSet::from([API_SERVER.into()])));
    for event in cluster.events() {
        tracker.apply(event);
    }
    tracker
}

/// What the plans say for what is true.
pub(crate) fn planned(
    cluster: &Cluster,
    effective: &Effective,
    addresses: &[IpAddr],
) -> State<Key, Object> {
    let tracker = tracker(cluster, effective, addresses);
    let settings = effective.resolve().iptables_on(SUPPORT);
    desired(&Iptables::new(settings, tracker.facts()), &tracker)
}

/// What the kernel has of it, read as another program.
pub(crate) fn observed(kernel: &MemoryKernel) -> anyhow::Result<State<Key, Object>> {
    let _entered = kernel.program("observer", 7).enter();
    let mut writer = IptablesWriter::open(&[Family::Ipv4, Family::Ipv6])?;
    Ok(writer.observe(&Scope::Everything)?)
}

/// How many Services with endpoints it serves.
pub(crate) fn served(kernel: &MemoryKernel) -> anyhow::Result<usize> {
    let _entered = kernel.program("observer", 7).enter();
    let mut writer = IptablesWriter::open(&[Family::Ipv4, Family::Ipv6])?;
    Ok(count_served::<Iptables, _>(&mut writer)?)
}

/// The chains that lead to the endpoints of Services which are there all the time.
pub(crate) fn steady_chains(cluster: &Cluster, effective: &Effective) -> BTreeSet<String> {
    let tracker = tracker(cluster, effective, &[]);
    let settings = effective.resolve().iptables_on(SUPPORT);
    let dataplane = Iptables::new(settings, tracker.facts());
    let mut chains = BTreeSet::new();
    for plan in Cluster::steady().filter_map(|id| tracker.plan(&id)) {
        for (key, _) in &dataplane.service(&plan) {
            let name = key.chain_name();
            if matches!(key, Key::Chain { .. }) && name.starts_with("KUBE-SVC-") {
                chains.insert(chaos::steady_name(key.table().family, &name));
            }
        }
    }
    chains
}

fn pairs(state: &State<Key, Object>) -> BTreeMap<&Key, &Object> {
    state.iter().map(|(key, object)| (key, object)).collect()
}

/// In which ways the kernel differs from what it should have; none where it does not.
pub(crate) fn difference(
    planned: &State<Key, Object>,
    observed: &State<Key, Object>,
) -> Option<String> {
    let planned: BTreeMap<&Key, &Object> = pairs(planned);
    let observed: BTreeMap<&Key, &Object> = pairs(observed);
    let missing = planned.keys().filter(|key| !observed.contains_key(*key));
    let missing = missing.map(|key| format!("lacks {key:?}"));
    // What is shared with other programs may hold more.
    let removable = observed.keys().filter(|key| key.is_removable());
    let excess = removable.filter(|key| !planned.contains_key(*key));
    let excess = excess.map(|key| format!("still has {key:?}"));
    let other = planned.iter().filter(|(key, object)| {
        observed
            .get(*key)
            .is_some_and(|observed| observed != *object)
    });
    let other = other.map(|(key, _)| format!("has another {key:?}"));
    let all: Vec<String> = missing.chain(excess).chain(other).collect();
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
