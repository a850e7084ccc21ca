//! The real writers on the kernel in memory: what generated clusters want is what is there then.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nfnetlink::Family;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use viprule_dataplane::{Content, ObjectKey, Scope, State, diff};
use viprule_testkit::memory::MemoryKernel;
use viprule_testkit::strategy::{cluster, settings};
use viprule_writer::backend::Backend;
use viprule_writer::ipvs::IpvsWriter;
use viprule_writer::ipvs::host::{self, IpvsSettings};
use viprule_writer::netfilter::NftWriter;
use viprule_writer::{Tag, Writer};

use crate::{agreement, generated, ipvs};

/// Looks at the kernel, brings it to what is wanted, and looks again.
fn reconcile<W: Writer>(
    writer: &mut W,
    wanted: &State<W::Key, W::Object>,
) -> State<W::Key, W::Object> {
    let there = writer.observe::<W::Object>(&Scope::Everything);
    let there = there.expect("a kernel that answers");
    writer.stage(Tag(0), &diff(&there, wanted)).expect("staged");
    writer.commit().expect("committed");
    let there = writer.observe::<W::Object>(&Scope::Everything);
    there.expect("a kernel that answers")
}

/// Objects of which there is more, less or another one than is wanted.
fn differences<K: ObjectKey, V: Content>(there: &State<K, V>, wanted: &State<K, V>) -> Vec<String> {
    let diff = diff(there, wanted);
    let writes = diff.writes.iter();
    let writes = writes.map(|it| format!("{} missing or other", it.key));
    let deletes = diff.deletes.iter().map(|(key, _)| format!("{key} left"));
    writes.chain(deletes).collect()
}

proptest! {
    #![proptest_config(generated::config(60))]

    #[test]
    fn iptables_mode_gets_what_it_wants(
        clusters in proptest::collection::vec(cluster(), 1..4),
        settings in settings(),
    ) {
        let kernel = MemoryKernel::new();
        let _entered = kernel.enter();
        let mut writer = NftWriter::open(&Family::ALL).expect("opened");
        for cluster in &clusters {
            let node = agreement::Node::new(cluster, &settings);
            let there = reconcile(&mut writer, &node.state);
            prop_assert_eq!(differences(&there, &node.state), Vec::<String>::new());
        }
    }

    #[test]
    fn ipvs_mode_gets_what_it_wants(
        clusters in proptest::collection::vec(cluster(), 1..4),
        settings in settings(),
    ) {
        let kernel = MemoryKernel::new();
        let _entered = kernel.enter();
        let mut writer = IpvsWriter::open(Backend::Nft, &Family::ALL).expect("opened");
        for cluster in &clusters {
            let node = ipvs::agreement::Node::new(cluster, &settings);
            let there = reconcile(&mut writer, &node.state);
            prop_assert_eq!(differences(&there, &node.state), Vec::<String>::new());
        }
        // Rules go before the sets that they match on, or those would stay.
        reconcile(&mut writer, &State::default());
        prop_assert_eq!(kernel.sets().len(), 0);
        prop_assert_eq!(kernel.virtual_servers().len(), 0);
        prop_assert_eq!(kernel.addresses("kube-ipvs0"), None);
    }
}

/// A destination with a connection stays, at weight 0, until the connection is over.
#[test]
fn destinations_drain_on_the_kernels_own_time() {
    let kernel = MemoryKernel::new();
    let _entered = kernel.enter();
    let time = Arc::new(Mutex::new(Instant::now()));
    let clock = Arc::clone(&time);
    kernel.set_clock(move || *clock.lock().expect("no panic"));
    let mut writer = IpvsWriter::open(Backend::Nft, &Family::ALL).expect("opened");
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut drained = 0;
    while drained < 10 {
        let strategy = (cluster(), settings());
        let (cluster, settings) = strategy
            .new_tree(&mut runner)
            .expect("no filters")
            .current();
        let node = ipvs::agreement::Node::new(&cluster, &settings);
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
