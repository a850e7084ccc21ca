//! What the kernel should have, and what of it is not known.

use std::collections::BTreeSet;

use viprule_dataplane::{Content, Dataplane, ObjectKey, State};
use viprule_service::model::ServiceId;
use viprule_service::tracker::Tracker;

/// True where a Service is not known whole and the kernel may know better: it has some of the
/// Service's objects, or no endpoint is known that could tell.
pub(crate) fn knows_less<K: ObjectKey, V>(
    tracker: &Tracker,
    id: &ServiceId,
    fragment: &State<K, V>,
    is_there: impl Fn(&K) -> bool,
) -> bool {
    let endpoints = || tracker.slices(id).iter().flat_map(|slice| &slice.endpoints);
    let mut own = fragment.iter().map(|(key, _)| key);
    tracker.withholds(id)
        && (endpoints().next().is_none() || own.any(|key| !key.is_common() && is_there(key)))
}

/// Everything that the plans ask for, with contents in full.
pub fn desired<D: Dataplane>(dataplane: &D, tracker: &Tracker) -> State<D::Key, D::Object> {
    desired_of(dataplane, tracker, |_, _| true)
}

/// What a kernel has and what it should have, as the first sync would see it: what stays for the
/// sake of objects that can't be used is in neither.
#[derive(Debug)]
pub struct Compared<K, V, O> {
    /// What the kernel has.
    pub observed: State<K, V>,
    /// What it should have.
    pub desired: State<K, O>,
}

/// Sets what a kernel has beside what it should have.
pub fn compared<D, V>(
    dataplane: &D,
    tracker: &Tracker,
    observed: State<D::Key, V>,
) -> Compared<D::Key, V, D::Object>
where
    D: Dataplane,
    V: Content,
{
    if observed.is_empty() || !tracker.withholds_anything() {
        let desired = desired(dataplane, tracker);
        return Compared { observed, desired };
    }
    let desired = desired_of(dataplane, tracker, |id, fragment| {
        !knows_less(tracker, id, fragment, |key| observed.get(key).is_some())
    });
    let plans = tracker.known_in_part().filter_map(|id| tracker.plan(id));
    let partial: Vec<_> = plans.map(|plan| dataplane.service(&plan)).collect();
    let unwanted = observed
        .iter()
        .filter(|(key, _)| desired.get(key).is_none());
    let stay = unwanted.filter(|(key, content)| {
        let is_part = key.whole().is_some_and(|whole| {
            desired.get(&whole).is_some() && partial.iter().all(|it| it.get(&whole).is_none())
        });
        let may_be_wanted = content
            .service()
            .is_none_or(|id| tracker.may_have_more(&id));
        key.is_removable() && may_be_wanted && !is_part
    });
    let stay: BTreeSet<D::Key> = stay.map(|(key, _)| key.clone()).collect();
    let observed = observed.filter(|key| !stay.contains(key));
    Compared { observed, desired }
}

fn desired_of<D: Dataplane>(
    dataplane: &D,
    tracker: &Tracker,
    is_known: impl Fn(&ServiceId, &State<D::Key, D::Object>) -> bool,
) -> State<D::Key, D::Object> {
    let services = tracker.services().into_iter();
    dataplane.desired(services.filter_map(|id| {
        let fragment = dataplane.service(&tracker.plan(&id)?);
        is_known(&id, &fragment).then_some(fragment)
    }))
}
