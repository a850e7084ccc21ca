//! Ways to the same end: what became of each object is fixed, what happened before and in
//! between is not.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use viprule_service::model::Event;

use crate::world;

/// What happened to one object, in order; the last event is its end.
type History = Vec<Event>;

/// Where the world ends, and one way to get there.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    /// The last event of each object.
    pub(crate) end: Vec<Event>,
    /// All events, with a pause for whoever looks at changes after some of them.
    pub(crate) steps: Vec<(Event, bool)>,
}

/// Versions of an object, each applied or deleted again, the last one as `end` says.
fn history(
    version: impl Strategy<Value = Event> + Clone + 'static,
    deleted: Event,
) -> BoxedStrategy<History> {
    let event = prop_oneof![2 => version, 1 => Just(deleted)];
    vec(event, 0..4).boxed()
}

fn histories() -> impl Strategy<Value = Vec<History>> {
    let mut all = Vec::new();
    for name in world::SERVICES {
        let version = world::service(name).prop_map(Event::ServiceApplied).boxed();
        all.push(history(version, Event::ServiceDeleted(world::id(name))));
        for slice in world::SLICES {
            let version = world::slice(name, slice)
                .prop_map(Event::SliceApplied)
                .boxed();
            all.push(history(
                version,
                Event::SliceDeleted(world::slice_id(name, slice)),
            ));
        }
    }
    all.push(history(
        world::node().prop_map(Event::NodeApplied).boxed(),
        Event::NodeDeleted,
    ));
    all.push(
        vec(
            world::local_addresses().prop_map(Event::LocalAddresses),
            0..3,
        )
        .boxed(),
    );
    all.push(vec(world::api_server().prop_map(Event::ApiServer), 0..3).boxed());
    all
}

/// Interleaves histories: every event gets a place by its key, within a history in its order.
/// Repeated events follow the one they repeat, but before the object's next.
fn interleave(histories: &[History], keys: &[u32], repeat: &[bool]) -> Vec<Event> {
    let mut keys = keys.iter().copied().cycle();
    let mut repeat = repeat.iter().copied().cycle();
    let mut keyed = Vec::new();
    for history in histories {
        let mut repeated = Vec::new();
        for event in history {
            repeated.push(event.clone());
            if repeat.next() == Some(true) {
                repeated.push(event.clone());
            }
        }
        let mut places: Vec<u32> = keys.by_ref().take(repeated.len()).collect();
        places.sort_unstable();
        keyed.extend(places.into_iter().zip(repeated));
    }
    keyed.sort_by_key(|(place, _)| *place);
    keyed.into_iter().map(|(_, event)| event).collect()
}

/// Random histories, interleaved at random.
pub(crate) fn path() -> impl Strategy<Value = Path> {
    let looks = option::weighted(0.8, vec(any::<bool>(), 101));
    let keys = vec(any::<u32>(), 211);
    (histories(), keys, vec(any::<bool>(), 103), looks).prop_map(
        |(histories, keys, repeat, looks)| {
            let end = histories
                .iter()
                .filter_map(|history| history.last().cloned())
                .collect();
            let steps = interleave(&histories, &keys, &repeat);
            let looks = looks.unwrap_or_else(|| vec![false]);
            let steps = steps.into_iter().zip(looks.into_iter().cycle()).collect();
            Path { end, steps }
        },
    )
}
