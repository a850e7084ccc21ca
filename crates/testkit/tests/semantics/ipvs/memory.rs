//! What only this mode's writer does, on the kernel in memory.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proptest::strategy::{Strategy as _, ValueTree as _};
use viprule_testkit::memory::MemoryKernel;
use viprule_testkit::strategy::{cluster, settings};
use viprule_writer::Writer as _;
use viprule_writer::ipvs::IpvsWriter;
use viprule_writer::ipvs::host::{self, IpvsSettings};

use super::Ipvs;
use crate::agreement::Node;
use crate::memory::reconcile;
use crate::mode::Written as _;

/// A destination with a connection stays, at weight 0, until the connection is over.
#[test]
fn destinations_drain_on_the_kernels_own_time() {
    let kernel = MemoryKernel::new();
    let _entered = kernel.enter();
    let time = Arc::new(Mutex::new(Instant::now()));
    let clock = Arc::clone(&time);
    kernel.set_clock(move || *clock.lock().expect("no panic"));
    let mut writer = Ipvs::writer();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut drained = 0;
    while drained < 10 {
        let strategy = (cluster(), settings());
        let (cluster, settings) = strategy
            .new_tree(&mut runner)
            .expect("no filters")
            .current();
        let node = Node::<Ipvs>::new(&cluster, &settings);
        reconcile(&mut writer, &node.state);
        let servers = kernel.virtual_servers();
        let tcp = |id: &ipvs_netlink::ServerId| id.to_string().starts_with("TCP");
        let mut busy = servers.iter().filter(|(id, _)| tcp(id));
        let Some((server, destination)) = busy.find_map(|(id, destinations)| {
            let (destination, _) = destinations.iter().next()?;
            Some((*id, *destination))
        }) else {
            continue;
        };
        kernel.set_connections(&server, &destination, 1, 0);
        let key = viprule_dataplane::ipvs::Key::Destination {
            server,
            destination,
        };
        let without = node.state.clone().filter(|it| *it != key);
        assert_eq!(reconcile(&mut writer, &without), without);
        assert_eq!(kernel.virtual_servers()[&server][&destination], 0);
        assert_eq!(writer.draining(), 1);
        let pass = |writer: &mut IpvsWriter| {
            let rest = writer.drain().expect("a look");
            *time.lock().expect("no panic") += rest.unwrap_or_default() + Duration::from_secs(1);
            writer.drain().expect("a look")
        };
        assert!(pass(&mut writer).is_some(), "it is looked at again");
        assert_eq!(kernel.virtual_servers()[&server][&destination], 0);
        kernel.set_connections(&server, &destination, 0, 0);
        assert_eq!(pass(&mut writer), None);
        assert!(!kernel.virtual_servers()[&server].contains_key(&destination));
        drained += 1;
    }
}

/// Settings are made in the kernel in memory, and told where it has none such.
#[test]
fn settings_are_the_kernels() {
    let kernel = MemoryKernel::new();
    let _entered = kernel.enter();
    let settings = IpvsSettings {
        tcp: Some(Duration::from_secs(7)),
        ..IpvsSettings::default()
    };
    let outcome = host::apply(&settings);
    assert_eq!(outcome.problems, []);
    for name in ["net/ipv4/vs/conntrack", "net/ipv4/ip_forward"] {
        assert_eq!(kernel.setting(name).as_deref(), Some("1"), "{name}");
    }
    assert_eq!(host::apply(&settings).changed, [], "all is as it should be");
    kernel.set_setting("net/ipv4/ip_forward", Some("0"));
    assert_eq!(host::apply(&settings).changed.len(), 1);
    kernel.set_setting("net/ipv4/vs/conntrack", None);
    assert_eq!(host::apply(&settings).problems.len(), 1);
}
