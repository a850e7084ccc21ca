//! What the API server says of endpoints.

use super::Transition;
use crate::background::Background;
use crate::error::Result;
use crate::netns::Namespace;
use futures_util::StreamExt as _;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Watches EndpointSlices until it is dropped. An endpoint is to be used if it is ready, or if
/// none of the Service is and it still serves while it terminates (KEP-1669).
#[derive(Debug)]
pub struct EndpointWatch {
    transitions: Arc<Mutex<Vec<Transition>>>,
    _background: Background,
}

/// By Service: its slices, and the endpoints that are to be used.
#[derive(Debug, Default)]
struct Known(BTreeMap<String, (BTreeMap<String, EndpointSlice>, BTreeSet<String>)>);

impl EndpointWatch {
    /// Begins, from a namespace that reaches the API server.
    pub fn start(namespace: &Namespace, api: kube::Config) -> Result<Self> {
        let transitions = Arc::<Mutex<Vec<_>>>::default();
        let shared = Arc::clone(&transitions);
        let background = Background::start(namespace, "endpoint watch", move || async move {
            match Client::try_from(api) {
                Ok(client) => follow(client, &shared).await,
                Err(error) => tracing::error!("the endpoint watch's client: {error}"),
            }
        })?;
        Ok(Self {
            transitions,
            _background: background,
        })
    }

    /// Everything since the start, in order.
    pub fn transitions(&self) -> Vec<Transition> {
        let transitions = self.transitions.lock();
        transitions.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn follow(client: Client, transitions: &Mutex<Vec<Transition>>) {
    let slices: Api<EndpointSlice> = Api::all(client);
    let mut events = watcher(slices, watcher::Config::default())
        .default_backoff()
        .boxed();
    let mut known = Known::default();
    while let Some(event) = events.next().await {
        let made = match event {
            Ok(Event::Apply(slice) | Event::InitApply(slice)) => known.apply(slice, true),
            Ok(Event::Delete(slice)) => known.apply(slice, false),
            _ => Vec::new(),
        };
        let mut transitions = transitions.lock().unwrap_or_else(PoisonError::into_inner);
        transitions.extend(made);
    }
}

impl Known {
    fn apply(&mut self, slice: EndpointSlice, exists: bool) -> Vec<Transition> {
        let Some(service) = slice.labels().get("kubernetes.io/service-name") else {
            return Vec::new();
        };
        let service = format!("{}/{service}", slice.namespace().unwrap_or_default());
        let (slices, used) = self.0.entry(service.clone()).or_default();
        if exists {
            slices.insert(slice.name_any(), slice);
        } else {
            slices.remove(&slice.name_any());
        }
        let next = to_use(&service, slices);
        let at = Instant::now();
        let transition = |endpoint: &String, used| Transition {
            at,
            endpoint: endpoint.clone(),
            used,
        };
        let gone = used.difference(&next).map(|it| transition(it, false));
        let new = next.difference(used).map(|it| transition(it, true));
        let made = gone.chain(new).collect();
        *used = next;
        made
    }
}

/// The endpoints of a Service that are to be used, each with its ports, as rules name them. Both
/// families are judged on their own.
fn to_use(service: &str, slices: &BTreeMap<String, EndpointSlice>) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for family in ["IPv4", "IPv6"] {
        let slices = || slices.values().filter(|it| it.address_type == family);
        let chosen = |wanted: fn(&Endpoint) -> bool| {
            let mut names = BTreeSet::new();
            for slice in slices() {
                let endpoints = slice.endpoints.iter().filter(|it| wanted(it));
                for address in endpoints.flat_map(|it| &it.addresses) {
                    names.extend(names_of(service, slice, address));
                }
            }
            names
        };
        let ready = chosen(is_ready);
        all.extend(if ready.is_empty() {
            chosen(is_serving_to_the_end)
        } else {
            ready
        });
    }
    all
}

fn names_of<'a>(
    service: &'a str,
    slice: &'a EndpointSlice,
    address: &'a str,
) -> impl Iterator<Item = String> + 'a {
    slice.ports.iter().flatten().filter_map(move |port| {
        let name = port.name.as_deref().filter(|name| !name.is_empty());
        let name = name.map(|name| format!(":{name}")).unwrap_or_default();
        let number = port.port?;
        Some(if address.contains(':') {
            format!("{service}{name} -> [{address}]:{number}")
        } else {
            format!("{service}{name} -> {address}:{number}")
        })
    })
}

fn is_ready(endpoint: &Endpoint) -> bool {
    let conditions = endpoint.conditions.as_ref();
    conditions.and_then(|it| it.ready).unwrap_or(true)
}

fn is_serving_to_the_end(endpoint: &Endpoint) -> bool {
    let conditions = endpoint.conditions.as_ref();
    conditions.is_some_and(|it| it.terminating == Some(true) && it.serving == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn slice(name: &str, endpoints: &Value) -> EndpointSlice {
        serde_json::from_value(json!({
            "metadata": {
                "name": name,
                "namespace": "default",
                "labels": { "kubernetes.io/service-name": "web" },
            },
            "addressType": "IPv4",
            "ports": [{ "name": "http", "port": 8080 }],
            "endpoints": endpoints,
        }))
        .unwrap()
    }

    fn endpoint(last: u8, ready: bool, serving: bool, terminating: bool) -> Value {
        json!({
            "addresses": [format!("10.244.0.{last}")],
            "conditions": { "ready": ready, "serving": serving, "terminating": terminating },
        })
    }

    fn told(transitions: &[Transition]) -> Vec<(&str, bool)> {
        let told = transitions.iter().map(|it| {
            let (_, endpoint) = it.endpoint.split_once("default/web:http -> ").unwrap();
            (endpoint, it.used)
        });
        told.collect()
    }

    #[test]
    fn endpoints_come_and_go_with_readiness_over_all_slices() {
        let mut known = Known::default();
        let (up, down) = ((true, true, false), (false, false, false));
        let at = |last, state: (bool, bool, bool)| endpoint(last, state.0, state.1, state.2);
        let made = known.apply(slice("a", &json!([at(5, up), at(6, down)])), true);
        assert_eq!(told(&made), [("10.244.0.5:8080", true)]);
        let made = known.apply(slice("b", &json!([at(7, up)])), true);
        assert_eq!(told(&made), [("10.244.0.7:8080", true)]);
        let made = known.apply(slice("a", &json!([at(5, down), at(6, up)])), true);
        assert_eq!(
            told(&made),
            [("10.244.0.5:8080", false), ("10.244.0.6:8080", true)]
        );
        let made = known.apply(slice("b", &json!([])), false);
        assert_eq!(told(&made), [("10.244.0.7:8080", false)]);
    }

    #[test]
    fn the_last_ones_are_used_to_their_end() {
        let mut known = Known::default();
        let going = endpoint(5, false, true, true);
        let made = known.apply(slice("a", &json!([endpoint(5, true, true, false)])), true);
        assert_eq!(told(&made), [("10.244.0.5:8080", true)]);
        let made = known.apply(slice("a", &json!([going])), true);
        assert_eq!(told(&made), []);
        let made = known.apply(
            slice("a", &json!([going, endpoint(6, true, true, false)])),
            true,
        );
        assert_eq!(
            told(&made),
            [("10.244.0.5:8080", false), ("10.244.0.6:8080", true)]
        );
    }
}
