//! A Service's `EndpointSlice`s.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use viprule_service::model::{
    Conditions, Endpoint, EndpointSlice, Family, Hints, Protocol, Service, SliceId, SlicePort,
};

use super::{NODE, ZONE, addresses};

/// What a Service's slices are made from.
#[derive(Debug, Clone)]
pub(super) struct Endpoints {
    /// What is known of each address, in both families.
    pool: Vec<Candidate>,
    slices: Vec<Slice>,
}

/// One address: how it is while it lives, and how while it is shut down.
#[derive(Debug, Clone)]
struct Candidate {
    node: Option<&'static str>,
    hints: Option<Hints>,
    living: Conditions,
    dying: Conditions,
}

#[derive(Debug, Clone)]
struct Slice {
    family: Family,
    /// A number for each of the Service's ports, or none.
    numbers: Vec<Option<u16>>,
    /// A port that no Service port is called like.
    stray: bool,
    /// Positions in the pool, and whether the endpoint is terminating there.
    members: Vec<(usize, bool)>,
}

pub(super) fn endpoints() -> impl Strategy<Value = Endpoints> {
    let hints = prop_oneof![
        2 => Just(hints(0, 0)),
        1 => Just(hints(1, 0)),
        1 => Just(hints(1, 1)),
        1 => Just(hints(0, 1)),
    ];
    // Hints count where all have them, so their number is the whole Service's.
    let pool = hints.prop_flat_map(|hints| vec(candidate(hints), 8));
    (pool, vec(slice(), 0..=5)).prop_map(|(pool, slices)| Endpoints { pool, slices })
}

fn hints(zones: usize, nodes: usize) -> impl Strategy<Value = Option<Hints>> + Clone {
    let zones = subsequence(vec![ZONE, "zone-b"], zones..=2);
    let nodes = subsequence(vec![NODE, "node-1"], nodes..=2);
    let boxed = |names: Vec<&str>| names.into_iter().map(Box::from).collect();
    (zones, nodes, prop::bool::weighted(0.9)).prop_map(move |(zones, nodes, some)| {
        some.then(|| Hints {
            zones: boxed(zones),
            nodes: boxed(nodes),
        })
    })
}

fn candidate(hints: impl Strategy<Value = Option<Hints>>) -> impl Strategy<Value = Candidate> {
    let nodes = select(vec![
        Some(NODE),
        Some(NODE),
        Some("node-1"),
        Some("node-2"),
        None,
    ]);
    (nodes, hints, conditions(false), conditions(true)).prop_map(|(node, hints, living, dying)| {
        Candidate {
            node,
            hints,
            living,
            dying,
        }
    })
}

/// Ready and serving in every combination; ready ones are terminating only for Services that
/// publish addresses that aren't ready.
fn conditions(terminating: bool) -> impl Strategy<Value = Conditions> {
    let ready = if terminating { 0.1 } else { 0.75 };
    (prop::bool::weighted(ready), prop::bool::weighted(0.7)).prop_map(move |(ready, serving)| {
        Conditions {
            ready,
            serving,
            terminating,
        }
    })
}

fn slice() -> impl Strategy<Value = Slice> {
    (
        select(Family::ALL.to_vec()),
        vec(
            select(vec![
                Some(8080),
                Some(8080),
                Some(8080),
                Some(8081),
                Some(53),
                None,
            ]),
            3,
        ),
        any::<bool>(),
        vec((0_usize..8, prop::bool::weighted(0.3)), 0..=6),
    )
        .prop_map(|(family, numbers, stray, members)| Slice {
            family,
            numbers,
            stray,
            members,
        })
}

impl Endpoints {
    /// The slices of a Service.
    pub(super) fn slices(&self, service: &Service) -> Vec<EndpointSlice> {
        let names = 0..self.slices.len();
        names
            .zip(&self.slices)
            .filter_map(|(number, slice)| {
                let name = format!("{}-{number}", service.id.name());
                let id = SliceId::new(service.id.clone(), &name).ok()?;
                Some(self.slice(id, service, slice))
            })
            .collect()
    }

    fn slice(&self, id: SliceId, service: &Service, slice: &Slice) -> EndpointSlice {
        let mut ports: Vec<SlicePort> = service
            .ports
            .iter()
            .zip(&slice.numbers)
            .filter_map(|(port, number)| {
                let (name, protocol) = (port.name.clone(), port.protocol);
                Some(SlicePort {
                    name,
                    protocol,
                    port: (*number)?,
                })
            })
            .collect();
        if slice.stray {
            ports.push(SlicePort {
                name: "stray".into(),
                protocol: Protocol::Tcp,
                port: 9999,
            });
        }
        let addresses = addresses::endpoint(slice.family);
        let endpoints = slice
            .members
            .iter()
            .zip(
                slice
                    .members
                    .iter()
                    .map(|(position, _)| &self.pool[*position]),
            )
            .map(|((position, terminating), candidate)| Endpoint {
                address: addresses[*position],
                conditions: if *terminating {
                    candidate.dying
                } else {
                    candidate.living
                },
                node: candidate.node.map(Into::into),
                hints: candidate.hints.clone().map(Box::new),
            })
            .collect();
        EndpointSlice {
            id,
            family: slice.family,
            ports: ports.into(),
            endpoints,
        }
    }
}
