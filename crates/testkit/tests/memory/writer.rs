//! The writer of iptables mode on both kernels.

use std::collections::BTreeSet;
use std::sync::Once;

use nfnetlink::Family;
use proptest::collection::vec;
use proptest::prelude::*;
use viprule_dataplane::iptables::{Key, Object, parse_save};
use viprule_dataplane::ownership::Layout;
use viprule_dataplane::{Scope, State, diff};
use viprule_testkit::memory::MemoryKernel;
use viprule_writer::iptables::IptablesWriter;
use viprule_writer::{Tag, Writer};

use crate::script::{Runner, Step};
use crate::worlds::{both, real};

/// What kube-proxy's nodes look like in `iptables-save`: the states that are written one after the
/// other.
const SAVES: [(Family, &str); 3] = [
    (
        Family::Ipv4,
        include_str!("../../../nfnetlink/tests/data/iptables-save.txt"),
    ),
    (
        Family::Ipv6,
        include_str!("../../../nfnetlink/tests/data/ip6tables-save.txt"),
    ),
    (Family::Ipv4, ""),
];

fn states() -> Vec<State<Key, Object>> {
    let state = |(family, text): (Family, &str)| {
        // Not every kernel has these counters.
        let words: Vec<&str> = text.split(" -m nfacct --nfacct-name ").collect();
        let mut text = words[0].to_owned();
        for rest in &words[1..] {
            let rest = rest.trim_start();
            text.push_str(&rest[rest.find(' ').unwrap()..]);
        }
        parse_save(family, &text).unwrap()
    };
    SAVES.map(state).into()
}

/// A state without these Services' ways in.
fn without(state: State<Key, Object>, gone: &BTreeSet<usize>) -> State<Key, Object> {
    let mut number = 0;
    state.filter(|key| {
        let rule = matches!(key, Key::Rule { .. } | Key::Jump { .. });
        number += usize::from(rule);
        !(rule && gone.contains(&number))
    })
}

fn write(writer: &mut IptablesWriter, state: &State<Key, Object>) -> String {
    let there = writer.observe::<Object>(&Scope::Everything).unwrap();
    let diff = diff(&there, state);
    writer.stage(Tag(1), &diff).unwrap();
    let written = writer.commit().unwrap();
    let again = writer.observe::<Object>(&Scope::Everything).unwrap();
    assert!(
        viprule_dataplane::diff(&again, state).writes.is_empty(),
        "what was written is there"
    );
    format!("{written:?}")
}

/// Has the kernel load what all rules need.
fn load_modules() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        real(|| {
            let mut writer = IptablesWriter::open(&Family::ALL).unwrap();
            for state in states() {
                write(&mut writer, &state);
            }
        });
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn what_is_written_is_the_same(
        choices in vec((0..SAVES.len(), prop::collection::btree_set(1..60_usize, 0..20)), 1..5),
    ) {
        load_modules();
        let wanted: Vec<_> = choices
            .iter()
            .map(|(choice, gone)| without(states().swap_remove(*choice), gone))
            .collect();
        let [real, memory] = both(|| {
            let mut writer = IptablesWriter::open(&Family::ALL).unwrap();
            let mut runner = Runner::new();
            runner.run(Family::Ipv4, &Step::Listen(true));
            for state in &wanted {
                let written = write(&mut writer, state);
                runner.said.push(written);
                runner.run(Family::Ipv4, &Step::Hear);
            }
            for family in Family::ALL {
                runner.run(family, &Step::Chains);
                runner.run(family, &Step::Rules { table: None, chain: None });
            }
            runner.said
        });
        for (real, memory) in real.iter().zip(&memory) {
            prop_assert_eq!(real, memory);
        }
        prop_assert_eq!(real.len(), memory.len());
    }
}

#[test]
fn a_ruleset_reads_as_the_writer_reads_it() {
    let kernel = MemoryKernel::new();
    let _entered = kernel.enter();
    let mut writer = IptablesWriter::open(&Family::ALL).unwrap();
    for state in states() {
        write(&mut writer, &state);
        let there = writer.observe::<Object>(&Scope::Everything).unwrap();
        let read = kernel
            .ruleset()
            .observe(Layout::Iptables, |_| None)
            .unwrap();
        assert_eq!(read, there);
    }
    let saved = kernel.ruleset().save();
    assert!(
        saved.contains("*nat\n") && saved.contains(":PREROUTING ACCEPT [0:0]\n"),
        "{saved}"
    );
}
