//! Properties of every rule: text and expressions lose nothing, bytes never panic.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netlink_batch::{AttrWriter, Attrs};
use nfnetlink::Family;
use nfnetlink::ipset::{SetIndex, SetNames};
use nfnetlink::xtables::{
    AddrTypes, CtStates, Direction, Directions, DnatTo, EncodeOptions, Forwarding, Interface, Ipvs,
    Match, NotOr, Physdev, PortRange, Recent, RecentMode, Reject, Rule, Target,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

fn not_or<T: std::fmt::Debug>(value: impl Strategy<Value = T>) -> impl Strategy<Value = NotOr<T>> {
    (any::<bool>(), value).prop_map(|(not, value)| NotOr { not, value })
}

fn net(family: Family) -> BoxedStrategy<IpNet> {
    match family {
        Family::Ipv4 => (any::<[u8; 4]>(), 1..=32_u8)
            .prop_map(|(at, len)| IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from(at), len)).trunc())
            .boxed(),
        Family::Ipv6 => (
            prop_oneof![any::<u128>(), any::<u128>().prop_map(|at| at >> 80)],
            1..=128_u8,
        )
            .prop_map(|(at, len)| IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from(at), len)).trunc())
            .boxed(),
    }
}

fn address(family: Family) -> BoxedStrategy<IpAddr> {
    net(family).prop_map(|net| net.addr()).boxed()
}

fn interface() -> impl Strategy<Value = Interface> {
    ("[a-z][a-z0-9.:@-]{0,14}", any::<bool>())
        .prop_map(|(name, wildcard)| Interface { name, wildcard })
}

fn port_range() -> impl Strategy<Value = PortRange> {
    prop_oneof![
        any::<u16>().prop_map(PortRange::one),
        (any::<u16>(), any::<u16>()).prop_map(|(a, b)| PortRange {
            first: a.min(b),
            last: a.max(b)
        }),
    ]
}

fn mark() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(0x4000), Just(u32::MAX), any::<u32>()]
}

fn recent() -> impl Strategy<Value = Recent> {
    let modes = prop_oneof![
        Just(RecentMode::Set),
        Just(RecentMode::Rcheck),
        Just(RecentMode::Update),
        Just(RecentMode::Remove),
    ];
    (
        "[A-Za-z0-9_.-]{1,199}",
        modes,
        any::<bool>(),
        0..3_u32,
        any::<u32>(),
        any::<bool>(),
    )
        .prop_map(|(name, mode, not, seconds, hits, reap)| {
            let reap = reap && seconds > 0;
            Recent {
                name,
                mode,
                not,
                seconds,
                hits,
                reap,
            }
        })
}

fn set() -> impl Strategy<Value = Match> {
    let direction = prop_oneof![Just(Direction::Src), Just(Direction::Dst)];
    let dirs = vec(direction, 1..=Directions::MAX);
    (any::<bool>(), 0..u16::MAX, dirs).prop_map(|(not, index, dirs)| Match::Set {
        not,
        name: set_name(SetIndex(index)),
        dirs: Directions::new(&dirs).unwrap(),
    })
}

fn physdev() -> impl Strategy<Value = Match> {
    let port = || {
        of(
            not_or(interface().prop_filter("too long", |port| port.name.len() < 15))
                .prop_map(Box::new),
        )
    };
    let flag = || of(any::<bool>());
    (flag(), port(), flag(), port(), flag())
        .prop_map(|(is_in, input, is_out, output, is_bridged)| Physdev {
            is_in,
            input,
            is_out,
            output,
            is_bridged,
        })
        .prop_filter("nothing asked", |physdev| !physdev.is_empty())
        .prop_map(Match::Physdev)
}

fn ipvs(family: Family) -> impl Strategy<Value = Match> {
    let port = || of(not_or(any::<u16>()));
    let forwarding = proptest::sample::select(&Forwarding::ALL[..]);
    let conditions = (
        of(not_or(any::<u8>())),
        of(not_or(net(family))),
        port(),
        of(any::<bool>()),
        of(not_or(forwarding)),
        port(),
    );
    let some = conditions.prop_map(
        |(protocol, address, port, reply, forwarding, control_port)| Ipvs {
            foreign: false,
            protocol,
            address,
            port,
            reply,
            forwarding,
            control_port,
        },
    );
    let none = any::<bool>().prop_map(|foreign| Ipvs {
        foreign,
        ..Ipvs::default()
    });
    prop_oneof![4 => some, 1 => none].prop_map(Match::Ipvs)
}

/// Sets are called after their numbers here.
#[allow(clippy::unnecessary_wraps, reason = "as decode_with takes it")]
fn named(index: SetIndex) -> Option<String> {
    Some(set_name(index))
}

fn set_name(index: SetIndex) -> String {
    format!("s{}", index.0)
}

/// Any match but ports, which need the rule's protocol.
fn one_match(family: Family) -> impl Strategy<Value = Match> {
    let addr_types = || not_or((1..0x1000_u16).prop_map(AddrTypes));
    prop_oneof![
        "[^\0]{0,60}".prop_map(Match::Comment),
        "[ -~]{0,255}".prop_map(Match::Comment),
        (any::<bool>(), mark(), mark()).prop_map(|(not, value, mask)| Match::Mark {
            not,
            value,
            mask
        }),
        not_or((1..0x1d0_u16).prop_map(|bits| CtStates(bits & 0x1cf)))
            .prop_filter("no state", |states| states.value.0 != 0)
            .prop_map(Match::Conntrack),
        (of(addr_types()), of(addr_types()))
            .prop_filter("no type", |(src, dst)| src.is_some() || dst.is_some())
            .prop_map(|(src, dst)| Match::AddrType { src, dst }),
        (any::<bool>(), 0..=1_u32 << 31)
            .prop_map(|(not, probability)| Match::Random { not, probability }),
        recent().prop_map(Match::Recent),
        "[ -~]{1,31}".prop_map(Match::Nfacct),
        set(),
        physdev(),
        ipvs(family),
    ]
}

fn target(family: Family) -> impl Strategy<Value = Target> {
    let answers: &[u32] = match family {
        Family::Ipv4 => &[0, 1, 2, 3, 5, 6, 7, 8],
        Family::Ipv6 => &[0, 1, 3, 4, 6, 7, 8],
    };
    prop_oneof![
        Just(Target::None),
        Just(Target::Accept),
        Just(Target::Drop),
        Just(Target::Return),
        "KUBE-[A-Z0-9-]{1,20}".prop_map(Target::Jump),
        "[a-z]{1,20}".prop_map(Target::Goto),
        (address(family), of(1..=u16::MAX))
            .prop_map(|(address, port)| Target::Dnat(DnatTo { address, port })),
        (mark(), mark()).prop_map(|(value, mask)| Target::Mark { value, mask }),
        (proptest::option::of(port_range()), any::<bool>()).prop_map(|(ports, random_fully)| {
            Target::Masquerade {
                ports,
                random_fully,
            }
        }),
        proptest::sample::select(answers).prop_map(|with| Target::Reject(Reject(with))),
    ]
}

prop_compose! {
    fn rule_of(family: Family)(
        src in of(not_or(net(family))),
        dst in of(not_or(net(family))),
        in_interface in of(not_or(interface())),
        out_interface in of(not_or(interface())),
        protocol in of(prop_oneof![
            proptest::sample::select(&[6, 17, 132][..]).prop_map(NotOr::is),
            not_or(1..=255_u8),
        ]),
        mut matches in vec(one_match(family), 0..4),
        ports in of((of(not_or(port_range())), of(not_or(port_range())), 0..4_usize)),
        target in target(family),
    ) -> Rule {
        if let (Some(NotOr { not: false, value: protocol @ (6 | 17 | 132) }), Some((src, dst, at))) =
            (protocol, ports)
        {
            matches.insert(at.min(matches.len()), Match::Ports { protocol, src, dst });
        }
        Rule { family, src, dst, in_interface, out_interface, protocol, matches, target }
            .normalized()
    }
}

fn rule() -> impl Strategy<Value = Rule> {
    prop_oneof![rule_of(Family::Ipv4), rule_of(Family::Ipv6)]
}

fn encoded(rule: &Rule) -> Vec<u8> {
    encoded_with(rule, true)
}

fn encoded_with(rule: &Rule, counters: bool) -> Vec<u8> {
    let mut sets = SetNames::new();
    for name in rule.sets() {
        let index = name.strip_prefix('s').unwrap().parse().unwrap();
        sets.insert(name, SetIndex(index));
    }
    let options = EncodeOptions::default()
        .with_counters(counters)
        .with_sets(&sets);
    let mut buffer = Vec::new();
    rule.encode_with(&mut AttrWriter::new(&mut buffer), options);
    buffer
}

fn decoded(family: Family, bytes: &[u8]) -> Rule {
    Rule::decode_with(family, Attrs::new(bytes), named).expect("what we encode is well-formed")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn text_reads_back_as_the_same_rule(rule in rule()) {
        let text = rule.to_string();
        prop_assert_eq!(Rule::parse(rule.family, &text), Ok(rule), "{}", text);
    }

    #[test]
    fn expressions_decode_to_the_same_rule(rule in rule()) {
        prop_assert_eq!(decoded(rule.family, &encoded(&rule)), rule);
    }

    #[test]
    fn counters_are_no_part_of_a_rule(rule in rule()) {
        let buffer = encoded_with(&rule, false);
        prop_assert!(buffer.len() < encoded(&rule).len());
        prop_assert_eq!(decoded(rule.family, &buffer), rule);
    }

    #[test]
    fn normalized_is_the_only_form(rule in rule()) {
        prop_assert_eq!(rule.clone().normalized(), rule);
    }

    /// Whatever a damaged rule decodes to, it is written and printed without a panic and is found
    /// again in what was written.
    #[test]
    fn damaged_bytes_never_panic(
        rule in rule(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = encoded(&rule);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for family in Family::ALL {
            if let Ok(found) = Rule::decode_with(family, Attrs::new(&bytes), named) {
                let _ = found.to_string();
                let again = decoded(family, &encoded(&found));
                prop_assert_eq!(again.target, found.target);
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..600)) {
        for family in Family::ALL {
            let _ = Rule::decode_with(family, Attrs::new(&bytes), named).map(|rule| rule.to_string());
        }
    }

    /// Random data in well-formed expressions, so that more than the frame is reached.
    #[test]
    fn random_expressions_never_fail(
        list in vec((name(), vec((0..9_u16, vec(any::<u8>(), 0..40)), 0..8)), 0..8),
    ) {
        let mut bytes = Vec::new();
        AttrWriter::new(&mut bytes).nest(4, |rule| {
            for (name, attributes) in &list {
                rule.nest(1, |element| {
                    element.str(1, name);
                    element.nest(2, |data| {
                        for (kind, payload) in attributes {
                            data.bytes(*kind, payload);
                        }
                    });
                });
            }
        });
        for family in Family::ALL {
            let _ = Rule::decode_with(family, Attrs::new(&bytes), named).map(|rule| rule.to_string());
        }
    }

    #[test]
    fn random_xt_data_always_decodes(
        name in proptest::sample::select(&[
            "comment", "tcp", "udp", "sctp", "mark", "conntrack", "addrtype", "statistic",
            "recent", "nfacct", "set", "physdev", "ipvs", "DNAT", "MARK", "MASQUERADE", "REJECT",
        ][..]),
        target in any::<bool>(),
        revision in 0..4_u32,
        info in prop_oneof![
            vec(any::<u8>(), 0..300),
            vec(0..2_u8, 0..300),
            // Of the sizes of set, physdev and ipvs, mostly zero.
            vec(prop_oneof![6 => Just(0), 1 => 0..3_u8, 1 => Just(0xff)], 40..=72),
            vec(prop_oneof![1 => Just(0), 1 => any::<u8>()], 4..=8),
        ],
    ) {
        let mut bytes = Vec::new();
        AttrWriter::new(&mut bytes).nest(4, |rule| {
            rule.nest(1, |element| {
                element.str(1, if target { "target" } else { "match" });
                element.nest(2, |data| {
                    data.str(1, name);
                    data.u32_be(2, revision);
                    data.bytes(3, &info);
                });
            });
        });
        for family in Family::ALL {
            let found = decoded(family, &bytes);
            let _ = found.to_string();
            prop_assert_eq!(decoded(family, &encoded(&found)), found);
        }
    }

    #[test]
    fn random_text_never_panics(text in "([ -~]{0,12} ){0,8}|\\PC{0,80}") {
        for family in Family::ALL {
            if let Ok(rule) = Rule::parse(family, &text) {
                prop_assert_eq!(Rule::parse(family, &rule.to_string()), Ok(rule));
            }
        }
    }

    #[test]
    fn random_options_read_back_as_the_same_rule(
        words in vec(proptest::sample::select(&[
            "!", "-s", "-d", "10.0.0.1/8", "0.0.0.0/0", "::1", "-i", "-o", "+", "eth+", "-p",
            "tcp", "udp", "0", "6", "-m", "comment", "--comment", "x", "\"a b\"", "mark",
            "--mark", "0x1/2", "-j", "DROP", "MARK", "--or-mark", "MASQUERADE",
            "--random-fully", "--dport", "--sport", "80:", ":80", "conntrack", "--ctstate",
            "NEW", "addrtype", "--src-type", "LOCAL", "recent", "--set", "--rcheck", "--name",
            "--seconds", "--reap", "REJECT",
            "set", "--match-set", "s7", "src,dst", "physdev", "--physdev-is-in", "--physdev-out",
            "ipvs", "--ipvs", "--vaddr", "--vport", "--vdir", "REPLY", "--vproto",
        ][..]), 0..12),
    ) {
        let text = words.join(" ");
        for family in Family::ALL {
            if let Ok(rule) = Rule::parse(family, &text) {
                prop_assert_eq!(decoded(family, &encoded(&rule)), rule.clone());
                prop_assert_eq!(Rule::parse(family, &rule.to_string()), Ok(rule));
            }
        }
    }
}

fn name() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(
        &[
            "meta",
            "payload",
            "bitwise",
            "cmp",
            "range",
            "immediate",
            "counter",
            "match",
            "limit",
        ][..],
    )
}

/// Written anew, such a text would be cut, and the rule be another one.
#[test]
fn a_text_that_fills_its_field_is_kept_as_it_is() {
    let texts = [
        Match::Comment("c".repeat(255)),
        Match::Nfacct("n".repeat(31)),
        Match::Recent(Recent {
            name: "r".repeat(199),
            mode: RecentMode::Set,
            not: false,
            seconds: 0,
            hits: 0,
            reap: false,
        }),
    ];
    for one in texts {
        let rule = Rule {
            matches: vec![one],
            ..Rule::new(Family::Ipv4)
        };
        let mut bytes = encoded(&rule);
        let start = bytes
            .windows(31)
            .position(|part| part.iter().all(|c| *c == part[0] && *c != 0));
        let end = bytes
            .iter()
            .skip(start.unwrap())
            .position(|byte| *byte == 0);
        bytes[start.unwrap() + end.unwrap()] = b'x';
        let found = decoded(Family::Ipv4, &bytes);
        assert!(
            matches!(&*found.matches, [Match::Other { .. }]),
            "{found:?}"
        );
        assert_eq!(decoded(Family::Ipv4, &encoded(&found)), found);
    }
}
