//! The writer of iptables mode on both kernels.

use std::collections::BTreeSet;
use std::sync::Once;

use netlink_batch::Errno;
use nfnetlink::Family;
use nfnetlink::nftables::ChainId;
use proptest::collection::vec;
use proptest::prelude::*;
use viprule_dataplane::netfilter::{Key, Object, parse_save};
use viprule_dataplane::ownership::Layout;
use viprule_dataplane::{Scope, State, diff};
use viprule_testkit::memory::{Fate, Hooks, MemoryKernel, Program, Sent};
use viprule_writer::netfilter::NftWriter;
use viprule_writer::{ApplyError, Tag, Writer};

use crate::script::{Runner, Step};
use crate::worlds::{both, real, same};

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
        parse_save(Layout::Iptables, family, &text).unwrap()
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

fn write(writer: &mut NftWriter, state: &State<Key, Object>) -> String {
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
            let mut writer = NftWriter::open(&Family::ALL).unwrap();
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
            let mut writer = NftWriter::open(&Family::ALL).unwrap();
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
        same(&real, &memory);
    }
}

#[test]
fn a_ruleset_reads_as_the_writer_reads_it() {
    let kernel = MemoryKernel::new();
    let _entered = kernel.enter();
    let mut writer = NftWriter::open(&Family::ALL).unwrap();
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

/// Another program commits before each message, and the kernel refuses one object.
struct Crowded(Program);

impl Hooks for Crowded {
    fn before_send(&mut self, _: &MemoryKernel, sent: &Sent<'_>) -> Fate {
        let own = ChainId {
            family: Family::Ipv4,
            table: "rival",
            name: "own",
        };
        self.0.renew(own).unwrap();
        if !sent.is_batch() {
            return Fate::Handled;
        }
        Fate::Refused {
            errno: Errno::INVAL,
            message: 5,
        }
    }
}

#[test]
fn a_refusal_is_told_beside_a_program_that_never_pauses() {
    let kernel = MemoryKernel::new();
    let _entered = kernel.enter();
    // Nobody listens for the time of a large transaction.
    for count in [3, 2_000] {
        let mut writer = NftWriter::open(&[Family::Ipv4]).unwrap();
        let there = writer.observe::<Object>(&Scope::Everything).unwrap();
        kernel.set_hooks(Crowded(kernel.program("rival", 4242)));
        let rule = |number: usize| {
            format!(
                "-A KUBE-SERVICES -d 10.96.{}.{}/32 -j KUBE-MARK-MASQ\n",
                number / 250,
                number % 250
            )
        };
        let rules: String = (0..count).map(rule).collect();
        let text =
            format!("*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-MARK-MASQ - [0:0]\n{rules}COMMIT\n");
        let wanted = parse_save(Layout::Iptables, Family::Ipv4, &text).unwrap();
        writer.stage(Tag(1), &diff(&there, &wanted)).unwrap();
        let error = writer.commit().unwrap_err();
        assert!(
            matches!(error, ApplyError::Refused { .. }),
            "{count} rules: {error:?}"
        );
        kernel.clear_hooks();
    }
}
