//! Sequences of messages that nobody thought of.

use std::sync::Once;

use netlink_batch::message::flags::CREATE;
use nfnetlink::Family;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::op::{CHAINS, DELETES, MAKES, MORE, Op, Place, RULES, TABLES};
use crate::script::{Pin, Runner, Step};
use crate::worlds::{both, real, same};

fn place() -> impl Strategy<Value = Place> {
    let handle = 1..14_u64;
    prop_oneof![
        3 => Just(Place::Head),
        6 => Just(Place::End),
        2 => handle.clone().prop_map(Place::Before),
        2 => handle.clone().prop_map(Place::After),
        2 => handle.prop_map(Place::Replace),
        1 => Just(Place::Nowhere),
    ]
}

fn more() -> impl Strategy<Value = u16> {
    prop_oneof![3 => Just(0), 2 => select(&MORE[..])]
}

/// A chain, and one behind it or a base chain to jump to.
fn jump() -> impl Strategy<Value = (usize, Option<usize>)> {
    let chain = 0..CHAINS.len();
    chain.prop_flat_map(|from| {
        let behind = from + 1..CHAINS.len() + 1;
        let to = prop_oneof![
            4 => Just(None),
            4 => behind.prop_map(|to| (to < CHAINS.len()).then_some(to)),
            1 => Just(Some(0)),
        ];
        (Just(from), to)
    })
}

fn op() -> impl Strategy<Value = Op> {
    let table = || prop_oneof![5 => Just(0), 1 => 0..TABLES.len()];
    let chain = || 0..CHAINS.len();
    let plain = 1..CHAINS.len();
    let made = || (select(&MAKES[..]), more()).prop_map(|(makes, more)| makes | more);
    let gone = || (select(&DELETES[..]), more()).prop_map(|(gone, more)| gone | more);
    let priority = prop_oneof![5 => Just(-100), 1 => Just(-99), 1 => Just(-300)];
    let policy = || prop_oneof![3 => Just(1), 2 => Just(0_u32), 1 => Just(7)];
    prop_oneof![
        2 => (table(), made()).prop_map(|(table, flags)| Op::Table { table, flags }),
        1 => (prop::option::weighted(0.9, table()), gone())
            .prop_map(|(table, flags)| Op::NoTable { table, flags }),
        2 => (table(), priority, prop::option::of(policy()), made()).prop_map(
            |(table, priority, policy, flags)| Op::Base { table, priority, policy, flags }
        ),
        6 => (table(), plain, made())
            .prop_map(|(table, chain, flags)| Op::Chain { table, chain, flags }),
        1 => (table(), chain(), policy())
            .prop_map(|(table, chain, policy)| Op::Policy { table, chain, policy }),
        4 => (table(), chain(), gone())
            .prop_map(|(table, chain, flags)| Op::NoChain { table, chain, flags }),
        1 => (table(), 1..14_u64)
            .prop_map(|(table, handle)| Op::NoChainByHandle { table, handle }),
        12 => (table(), jump(), 0..RULES.len(), place(), more()).prop_map(
            |(table, (chain, to), rule, place, flags)| {
                Op::Rule { table, chain, rule, to, place, flags }
            }
        ),
        3 => (table(), prop::option::weighted(0.9, chain()))
            .prop_map(|(table, chain)| Op::Flush { table, chain }),
        3 => (table(), chain(), 1..14_u64)
            .prop_map(|(table, chain, handle)| Op::NoRule { table, chain, handle }),
        1 => select(&[0x0a01_u16, 0x0a10, 0x0a63, 0x10, 3][..])
            .prop_map(|kind| Op::Odd { kind }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let table = || 0..TABLES.len();
    let chain = || 0..CHAINS.len();
    let pin = prop_oneof![3 => Just(Pin::None), 3 => Just(Pin::Now), 1 => Just(Pin::Before)];
    let rarely = || prop::bool::weighted(0.03);
    prop_oneof![
        12 => (any::<bool>(), pin, rarely(), rarely(), vec(op(), 0..8)).prop_map(
            |(other, pin, begins, ends, ops)| {
                Step::Commit { other, pin, begins: !begins, ends: !ends, ops }
            }
        ),
        1 => Just(Step::Tables),
        2 => Just(Step::Chains),
        4 => (prop::option::weighted(0.9, table()), prop::option::weighted(0.9, chain()))
            .prop_map(|(table, chain)| Step::Rules { table, chain }),
        1 => (table(), chain()).prop_map(|(table, chain)| Step::Exists { table, chain }),
        1 => prop::bool::weighted(0.7).prop_map(Step::Listen),
        3 => Just(Step::Hear),
    ]
}

/// Something to work on, heard from the beginning.
fn beginning() -> Vec<Step> {
    let mut ops = vec![
        Op::Table {
            table: 0,
            flags: CREATE,
        },
        Op::Base {
            table: 0,
            priority: -100,
            policy: Some(1),
            flags: CREATE,
        },
    ];
    let chains = 1..CHAINS.len() - 1;
    ops.extend(chains.map(|chain| Op::Chain {
        table: 0,
        chain,
        flags: CREATE,
    }));
    let (pin, begins, ends) = (Pin::None, true, true);
    vec![
        Step::Listen(true),
        Step::Commit {
            other: false,
            pin,
            begins,
            ends,
            ops,
        },
    ]
}

/// Has the kernel load what all rules need.
fn load_modules() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        real(|| {
            for family in Family::ALL {
                let mut runner = Runner::new();
                for step in beginning() {
                    runner.run(family, &step);
                }
                let (table, chain, to, flags) = (0, 1, None, 0);
                let place = Place::End;
                let rule = |rule| Op::Rule {
                    table,
                    chain,
                    rule,
                    to,
                    place,
                    flags,
                };
                let ops = (0..RULES.len()).map(rule).collect();
                let (pin, begins, ends) = (Pin::None, true, true);
                let other = false;
                let step = Step::Commit {
                    other,
                    pin,
                    begins,
                    ends,
                    ops,
                };
                runner.run(family, &step);
            }
        });
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn both_kernels_say_the_same(
        steps in vec(step(), 1..16),
        from_scratch in prop::bool::weighted(0.2),
        ipv6: bool,
    ) {
        load_modules();
        let family = if ipv6 { Family::Ipv6 } else { Family::Ipv4 };
        let mut script = if from_scratch { Vec::new() } else { beginning() };
        script.extend(steps);
        script.extend([
            Step::Hear,
            Step::Tables,
            Step::Chains,
            Step::Rules { table: None, chain: None },
        ]);
        let [real, memory] = both(|| {
            let mut runner = Runner::new();
            for step in &script {
                runner.run(family, step);
            }
            runner.said
        });
        same(&real, &memory);
    }
}
