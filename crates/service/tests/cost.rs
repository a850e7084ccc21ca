//! What Services cost, printed:
//!
//! ```text
//! cargo test -p viprule-service --release --test cost -- --ignored --nocapture
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panics and print what they measure"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use viprule_service::model::{
    Conditions, CreationTime, Endpoint, EndpointSlice, Event, Family, Protocol, Service, ServiceId,
    ServicePort, ServiceType, SliceId, SlicePort,
};
use viprule_service::plan::{Budgets, PlanConfig};
use viprule_service::tracker::Tracker;

const ENDPOINTS: u32 = 5;

fn address(base: u32, number: u32) -> IpAddr {
    Ipv4Addr::from_bits(base + number).into()
}

fn id(number: u32) -> ServiceId {
    ServiceId::new("production", &format!("service-{number}")).unwrap()
}

fn service(number: u32) -> Event {
    let port = ServicePort {
        name: "http".into(),
        protocol: Protocol::Tcp,
        port: 80,
        node_port: 0,
    };
    Event::ServiceApplied(Service {
        id: id(number),
        created: CreationTime::default(),
        kind: ServiceType::ClusterIp,
        cluster_ips: [address(0x0a60_0000, number)].into(),
        ports: [port].into(),
        external_ips: [].into(),
        load_balancer_ips: [].into(),
        source_ranges: [].into(),
        affinity_seconds: None,
        internal_policy_local: false,
        external_policy_local: false,
        health_check_node_port: 0,
        balancing: None,
    })
}

/// The one slice of a Service; `version` moves its last endpoint.
fn slice(number: u32, version: u32) -> Event {
    let endpoint = |index: u32| {
        let moved = if index + 1 == ENDPOINTS {
            version << 20
        } else {
            0
        };
        Endpoint {
            address: address(0x0a00_0000, number * ENDPOINTS + index + moved),
            conditions: Conditions::default(),
            node: Some(format!("node-{}", (number + index) % 100).into()),
            hints: None,
        }
    };
    Event::SliceApplied(EndpointSlice {
        id: SliceId::new(id(number), &format!("service-{number}-x7k2p")).unwrap(),
        family: Family::Ipv4,
        ports: [SlicePort {
            name: "http".into(),
            protocol: Protocol::Tcp,
            port: 8080,
        }]
        .into(),
        endpoints: (0..ENDPOINTS).map(endpoint).collect(),
    })
}

fn loaded(services: u32) -> Tracker {
    let mut tracker = Tracker::new(PlanConfig {
        node_name: "node-7".into(),
        bind_address: None,
        allow_external_ips: true,
        budgets: Budgets::default(),
    });
    for number in 0..services {
        tracker.apply(service(number));
        tracker.apply(slice(number, 0));
    }
    tracker.take_changes();
    tracker
}

/// Resident memory of this process, bytes.
#[expect(clippy::disallowed_methods, reason = "measures the crate from outside")]
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    1024 * line
        .trim()
        .trim_end_matches(" kB")
        .parse::<usize>()
        .unwrap()
}

#[expect(clippy::disallowed_methods, reason = "measures the crate from outside")]
fn time(rounds: u32, mut work: impl FnMut(u32)) -> Duration {
    let start = std::time::Instant::now();
    (0..rounds).for_each(&mut work);
    start.elapsed() / rounds
}

fn report_times(report: &mut String, services: u32) {
    let mut tracker = loaded(services);
    let ids = tracker.services();
    let plan = time(5 * services, |round| {
        let id = &ids[round.wrapping_mul(7919) as usize % ids.len()];
        black_box(tracker.plan(id));
    });
    // Both versions of every slice, made beforehand: what's measured starts with the event.
    let numbers = || (0..services).map(|number| number.wrapping_mul(7919) % services);
    let mut events: Vec<Event> = Vec::new();
    for version in [1, 0] {
        events.extend(numbers().map(|number| slice(number, version)));
    }
    events.reverse();
    let rounds = u32::try_from(events.len()).unwrap();
    let event_and_plan = time(rounds, |_| {
        tracker.apply(events.pop().unwrap());
        let changes = tracker.take_changes();
        assert_eq!(changes.services.len(), 1);
        for id in &changes.services {
            black_box(tracker.plan(id));
        }
    });
    let mut events: Vec<Event> = numbers().rev().map(|number| slice(number, 0)).collect();
    let repeated = time(services, |_| tracker.apply(events.pop().unwrap()));
    assert!(tracker.take_changes().is_empty());
    writeln!(
        report,
        "{services} Services: {plan:?} a plan, {event_and_plan:?} an event and its plan, \
         {repeated:?} a repeated event",
    )
    .unwrap();
}

#[test]
#[ignore = "prints measurements; run alone, in release"]
fn memory_and_time() {
    let before = resident();
    let tracker = loaded(10_000);
    let used = resident() - before;
    let mut report = format!("10000 Services x {ENDPOINTS}: {} kB\n", used / 1024);
    assert_eq!(tracker.services().len(), 10_000);
    drop(tracker);
    for services in [1_000, 10_000] {
        report_times(&mut report, services);
    }
    print!("{report}");
    assert!(used < 12_000_000, "10,000 Services take {used} bytes");
}
