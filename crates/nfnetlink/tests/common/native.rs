//! Any native rules, sets and elements.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nfnetlink::Family::{self, Ipv4, Ipv6};
use nfnetlink::nftables::Hook;
use nfnetlink::nftables::native::{
    Base, ChainKind, ChainListing, Counters, CtKey, DataType, DynsetOperation, Element,
    ElementData, Hash, Limit, ListedElement, Listing, Log, MapType, MetaKey, NatFlags, NatKind,
    NatTo, Numgen, Operand, Reject, Relation, Rule, Set, SetFlags, SetListing, SetType, Statement,
    Term, Transport, Value, Verdict,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) fn family() -> impl Strategy<Value = Family> {
    select(&Family::ALL[..])
}

fn name() -> impl Strategy<Value = Box<str>> {
    "[a-zA-Z_][a-z0-9_.-]{0,12}".prop_map(Into::into)
}

fn text() -> impl Strategy<Value = Box<str>> {
    "[ -!#-~é]{0,20}".prop_map(Into::into)
}

fn millis() -> impl Strategy<Value = Duration> {
    (1u64..1 << 40).prop_map(Duration::from_millis)
}

fn bytes(len: usize) -> impl Strategy<Value = Value> {
    vec(any::<u8>(), len).prop_map(|bytes| Value::new(&bytes))
}

/// A value of this type that nft has words for.
pub(crate) fn value(kind: DataType) -> BoxedStrategy<Value> {
    let bits = |all: &'static [u32]| {
        vec(select(all), 1..4)
            .prop_map(|bits| bits.into_iter().fold(0, |all, bit| all | bit).into())
    };
    match kind {
        DataType::Ipv4Addr => prop_oneof![
            bytes(4),
            any::<[bool; 4]>().prop_map(|bytes| { Value::new(&bytes.map(u8::from)) })
        ]
        .boxed(),
        DataType::Ipv6Addr => {
            // Zeros in any place, as they are printed shorter.
            vec(prop_oneof![3 => Just(0u16), 1 => any::<u16>()], 8)
                .prop_map(|parts| {
                    let bytes: Vec<_> = parts.iter().flat_map(|part| part.to_be_bytes()).collect();
                    Value::new(&bytes)
                })
                .boxed()
        }
        DataType::InetProto => any::<u8>().prop_map(Value::from).boxed(),
        DataType::InetService => any::<u16>().prop_map(Value::from).boxed(),
        DataType::Mark | DataType::Integer => any::<u32>().prop_map(Value::from).boxed(),
        DataType::ClassId => prop_oneof![any::<u32>(), Just(0), Just(u32::MAX), 0u32..0x20000]
            .prop_map(Value::from)
            .boxed(),
        DataType::IfName => "[!#-)+-\\[\\]-~]{1,15}"
            .prop_map(|name| {
                let mut bytes = name.into_bytes();
                bytes.resize(16, 0);
                Value::new(&bytes)
            })
            .boxed(),
        DataType::CtState => bits(&[1, 2, 4, 8, 64]).boxed(),
        DataType::CtStatus => bits(&[1, 2, 4, 8, 16, 32, 512]).boxed(),
        DataType::CtDirection => (0u8..2).prop_map(Value::from).boxed(),
        DataType::FibType => (0u32..9).prop_map(Value::from).boxed(),
        _ => unreachable!("{kind:?}"),
    }
}

fn numgen() -> impl Strategy<Value = Term> {
    (any::<bool>(), 1u32.., 0u32..9).prop_map(|(random, modulus, offset)| {
        Term::Numgen(Numgen {
            random,
            modulus,
            offset,
        })
    })
}

/// What a hash may be made of.
fn simple(transport: Transport) -> impl Strategy<Value = Term> {
    select(vec![
        Term::SourceAddress,
        Term::DestinationAddress,
        Term::SourcePort(transport),
        Term::DestinationPort(transport),
        Term::Meta(MetaKey::L4Proto),
        Term::Meta(MetaKey::Mark),
        Term::Meta(MetaKey::Priority),
        Term::Ct(CtKey::Mark),
        Term::Ct(CtKey::State),
        Term::SourceType,
        Term::DestinationType,
    ])
}

fn term(family: Family, transport: Transport) -> BoxedStrategy<Term> {
    let hash = (
        vec(simple(transport), 1..3),
        1u32..,
        any::<Option<u32>>(),
        0u32..9,
    )
        .prop_map(|(of, modulus, seed, offset)| Hash {
            of,
            modulus,
            seed,
            offset,
        })
        .prop_filter("has room", move |hash| words(family, &hash.of) <= 4);
    prop_oneof![
        6 => simple(transport),
        1 => select(vec![
            Term::Meta(MetaKey::InterfaceIn),
            Term::Meta(MetaKey::InterfaceOut),
            Term::Ct(CtKey::Direction),
            Term::Ct(CtKey::Status),
        ]),
        1 => numgen(),
        1 => hash.prop_map(Term::Hash),
    ]
    .boxed()
}

fn len(family: Family, term: &Term) -> usize {
    type_len(term.data_type(family))
}

fn type_len(kind: DataType) -> usize {
    match kind {
        DataType::Ipv6Addr | DataType::IfName => 16,
        DataType::InetService => 2,
        DataType::InetProto | DataType::CtDirection => 1,
        _ => 4,
    }
}

fn words(family: Family, terms: &[Term]) -> usize {
    terms.iter().map(|term| len(family, term).div_ceil(4)).sum()
}

fn key(family: Family, transport: Transport) -> impl Strategy<Value = Vec<Term>> {
    vec(term(family, transport), 1..5).prop_filter("has room", move |key| words(family, key) <= 7)
}

fn network(family: Family) -> BoxedStrategy<IpNet> {
    match family {
        Ipv4 => (any::<u32>(), 0u8..=32)
            .prop_map(|(address, prefix)| {
                let net = Ipv4Net::new(Ipv4Addr::from(address), prefix);
                IpNet::V4(net.unwrap().trunc())
            })
            .boxed(),
        Ipv6 => (any::<u128>(), 0u8..=128)
            .prop_map(|(address, prefix)| {
                let net = Ipv6Net::new(Ipv6Addr::from(address), prefix);
                IpNet::V6(net.unwrap().trunc())
            })
            .boxed(),
    }
}

fn relation() -> impl Strategy<Value = Relation> {
    select(vec![
        Relation::Eq,
        Relation::Ne,
        Relation::Lt,
        Relation::Le,
        Relation::Gt,
        Relation::Ge,
    ])
}

fn compare(family: Family, transport: Transport) -> impl Strategy<Value = Statement> {
    let parts = term(family, transport).prop_flat_map(move |term| {
        let kind = term.data_type(family);
        (
            Just(term),
            of(value(kind)),
            relation(),
            value(kind),
            any::<bool>(),
        )
    });
    parts
        .prop_filter("an address is a statement of its own", |(term, ..)| {
            !matches!(term, Term::SourceAddress | Term::DestinationAddress)
        })
        .prop_map(move |(term, mask, relation, value, zero)| {
            let kind = term.data_type(family);
            let mask = mask.filter(|_| {
                matches!(relation, Relation::Eq | Relation::Ne) && kind != DataType::IfName
            });
            let flags = matches!(kind, DataType::CtState | DataType::CtStatus);
            let value = if zero && flags && mask.is_some() {
                0u32.into()
            } else {
                value
            };
            Statement::Compare {
                term,
                mask,
                relation,
                value,
            }
        })
        .prop_filter("what names a port's protocol is part of the port", |one| {
            let known = |value: &Value| matches!(value.as_bytes(), [6 | 17 | 132]);
            !matches!(one, Statement::Compare {
                term: Term::Meta(MetaKey::L4Proto),
                relation: Relation::Eq,
                value,
                ..
            } if known(value))
        })
        .prop_filter("masks of these have no words", |one| {
            !matches!(
                one,
                Statement::Compare {
                    term: Term::Ct(CtKey::Direction) | Term::SourceType | Term::DestinationType,
                    mask: Some(_),
                    ..
                }
            )
        })
}

fn operand(family: Family, transport: Transport) -> BoxedStrategy<Operand> {
    let mark = select(vec![Term::Meta(MetaKey::Mark), Term::Ct(CtKey::Mark)]);
    let bits = prop_oneof![
        Just(0u32),
        Just(u32::MAX),
        Just(0x4000),
        Just(!0x4000),
        any::<u32>()
    ];
    prop_oneof![
        any::<u32>().prop_map(|number| Operand::Value(number.into())),
        term(family, transport).prop_map(Operand::Term),
        (mark, bits.clone(), bits).prop_map(|(term, mask, xor)| Operand::Bits {
            term,
            mask: mask.into(),
            xor: xor.into(),
        }),
        (key(family, transport), name()).prop_map(|(key, map)| Operand::Map { key, map }),
    ]
    .boxed()
}

fn nat_flags() -> impl Strategy<Value = NatFlags> {
    let all = vec![
        NatFlags::RANDOM,
        NatFlags::FULLY_RANDOM,
        NatFlags::PERSISTENT,
    ];
    vec(select(all), 0..3)
        .prop_map(|flags| flags.into_iter().fold(NatFlags::default(), NatFlags::with))
}

fn ports() -> impl Strategy<Value = Option<(u16, u16)>> {
    let one = any::<u16>().prop_map(|port| (port, port));
    of(prop_oneof![one, any::<(u16, u16)>()])
}

fn nat_to(family: Family, transport: Transport) -> BoxedStrategy<NatTo> {
    let address = network(family).prop_map(|net| net.addr());
    let one = address.clone().prop_map(|address| (address, address));
    let addresses = of(prop_oneof![one, (address.clone(), address)]);
    prop_oneof![
        (addresses, ports()).prop_map(|(addresses, ports)| NatTo::Fixed { addresses, ports }),
        (key(family, transport), name(), any::<bool>()).prop_map(|(key, map, with_port)| {
            NatTo::Map {
                key,
                map,
                with_port,
            }
        }),
    ]
    .boxed()
}

pub(crate) fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Accept),
        Just(Verdict::Drop),
        Just(Verdict::Continue),
        Just(Verdict::Return),
        name().prop_map(Verdict::Jump),
        name().prop_map(Verdict::Goto),
    ]
}

pub(crate) fn counters() -> impl Strategy<Value = Counters> {
    prop_oneof![
        Just(Counters::default()),
        any::<(u64, u64)>().prop_map(|(packets, bytes)| { Counters { packets, bytes } })
    ]
}

fn limit() -> impl Strategy<Value = Limit> {
    let unit = select(vec![1u64, 60, 3600, 86_400, 604_800]);
    let burst = prop_oneof![Just(0), Just(5), Just(3 << 20), any::<u32>()];
    let rate = prop_oneof![Just(0), Just(5 << 10), Just(7 << 20), any::<u64>()];
    (rate, unit, burst, any::<bool>(), any::<bool>()).prop_map(
        |(rate, seconds, burst, bytes, over)| Limit {
            rate,
            seconds,
            burst,
            bytes,
            over,
        },
    )
}

fn log() -> impl Strategy<Value = Log> {
    let level = of(select(vec![0u32, 1, 2, 3, 5, 6, 7]));
    let numbers = (of(any::<u16>()), of(1u32..), of(1u16..));
    (of(text()), numbers, level, any::<bool>()).prop_map(
        |(prefix, (group, snaplen, threshold), level, all)| Log {
            prefix,
            group,
            snaplen,
            threshold,
            level,
            flags: if all { 0x2f } else { 0 },
        },
    )
}

fn statement(family: Family, transport: Transport) -> BoxedStrategy<Statement> {
    let operation = select(vec![
        DynsetOperation::Add,
        DynsetOperation::Update,
        DynsetOperation::Delete,
    ]);
    let dynset = (
        operation,
        name(),
        key(family, transport),
        of(term(family, transport)),
        of(millis()),
        any::<bool>(),
    )
        .prop_map(
            |(operation, set, key, data, timeout, counter)| Statement::Dynset {
                operation,
                set,
                key,
                data,
                timeout,
                counter,
            },
        );
    let meta = select(vec![MetaKey::Mark, MetaKey::Priority]);
    let kind = select(vec![NatKind::Source, NatKind::Destination]);
    let reset = if transport == Transport::Tcp {
        Reject::TcpReset
    } else {
        Reject::Icmp(1)
    };
    prop_oneof![
        (any::<bool>(), any::<bool>(), network(family)).prop_map(|(destination, not, network)| {
            Statement::Address {
                destination,
                not,
                network,
            }
        }),
        compare(family, transport),
        (key(family, transport), name(), any::<bool>())
            .prop_map(|(key, set, not)| Statement::InSet { key, set, not }),
        (meta, operand(family, transport)).prop_map(|(key, to)| Statement::SetMeta { key, to }),
        operand(family, transport).prop_map(|to| Statement::SetCt {
            key: CtKey::Mark,
            to,
        }),
        (kind, nat_to(family, transport), nat_flags())
            .prop_map(|(kind, to, flags)| Statement::Nat { kind, to, flags }),
        (ports(), nat_flags()).prop_map(|(ports, flags)| Statement::Masquerade { ports, flags }),
        (ports(), nat_flags()).prop_map(|(ports, flags)| Statement::Redirect { ports, flags }),
        dynset,
        verdict().prop_map(Statement::Verdict),
        prop_oneof![Just(reset), any::<u8>().prop_map(Reject::Icmp)].prop_map(Statement::Reject),
        counters().prop_map(Statement::Counter),
        limit().prop_map(Statement::Limit),
        log().prop_map(Statement::Log),
        (select(vec![1u32, 2, 4]), name())
            .prop_map(|(kind, name)| Statement::Object { kind, name }),
    ]
    .boxed()
}

/// A rule in the form that it is read in.
pub(crate) fn rule(family: Family) -> impl Strategy<Value = Rule> {
    let transports = vec![
        Transport::Any,
        Transport::Tcp,
        Transport::Udp,
        Transport::Sctp,
    ];
    select(transports).prop_flat_map(move |transport| {
        let statements = vec(statement(family, transport), 1..5);
        (statements, of(text())).prop_map(|(statements, comment)| {
            let mut rule = Rule::new(statements);
            rule.comment = comment;
            rule
        })
    })
}

fn types() -> impl Strategy<Value = Vec<DataType>> {
    let named = vec![
        DataType::Ipv4Addr,
        DataType::Ipv6Addr,
        DataType::InetProto,
        DataType::InetService,
        DataType::Mark,
        DataType::ClassId,
        DataType::IfName,
    ];
    // The kernel's keys have up to 64 bytes.
    vec(select(named), 1..5).prop_filter("has room", |types| {
        let lens = types.iter().map(|one| type_len(*one).next_multiple_of(4));
        lens.sum::<usize>() <= 64
    })
}

fn described(family: Family) -> impl Strategy<Value = Vec<Term>> {
    let fixed = vec![
        Term::SourceAddress,
        Term::DestinationAddress,
        Term::SourcePort(Transport::Any),
        Term::DestinationPort(Transport::Tcp),
        Term::DestinationPort(Transport::Udp),
        Term::SourcePort(Transport::Sctp),
        Term::Meta(MetaKey::L4Proto),
        Term::Meta(MetaKey::Mark),
        Term::Meta(MetaKey::Priority),
        Term::Meta(MetaKey::InterfaceIn),
    ];
    // What describes them has up to 255 bytes.
    vec(prop_oneof![6 => select(fixed), 1 => numgen()], 1..5)
        .prop_filter("has room", move |terms| words(family, terms) <= 16)
}

fn set_type(family: Family) -> BoxedStrategy<SetType> {
    let map = of(prop_oneof![
        types().prop_map(MapType::Values),
        Just(MapType::Verdict)
    ]);
    prop_oneof![
        (types(), map).prop_map(|(key, data)| SetType::Types { key, data }),
        (described(family), of(described(family)))
            .prop_map(|(key, data)| SetType::TypeOf { key, data }),
    ]
    .boxed()
}

fn set_flags() -> impl Strategy<Value = SetFlags> {
    let all = vec![SetFlags::INTERVAL, SetFlags::TIMEOUT, SetFlags::DYNAMIC];
    vec(select(all), 0..3)
        .prop_map(|flags| flags.into_iter().fold(SetFlags::default(), SetFlags::with))
}

fn concat(types: &[DataType]) -> BoxedStrategy<Value> {
    let values: Vec<_> = types.iter().map(|kind| value(*kind)).collect();
    values
        .prop_map(|values| match values.as_slice() {
            [one] => one.clone(),
            all => Value::concat(all.iter().map(Value::as_bytes)),
        })
        .boxed()
}

fn set(family: Family) -> impl Strategy<Value = Set> {
    let times = (of(millis()), of(1u64..1 << 32));
    let rest = (
        of(any::<u32>()),
        times,
        any::<bool>(),
        any::<bool>(),
        of(text()),
    );
    (name(), set_type(family), set_flags(), rest).prop_map(
        |(name, kind, flags, (size, (timeout, gc), counting, auto_merge, comment))| {
            let mut set = Set::new(name, kind).with_flags(flags);
            if counting {
                set = set.counting();
            }
            if timeout.is_some() {
                set.flags = set.flags.with(SetFlags::TIMEOUT);
            }
            set.size = size;
            set.timeout = timeout;
            set.gc_interval = gc.map(Duration::from_millis);
            set.auto_merge = auto_merge;
            set.comment = comment;
            set
        },
    )
}

/// The types of its key and of its values.
pub(crate) fn types_of(family: Family, set: &Set) -> (Vec<DataType>, Option<MapType>) {
    let of_terms = |terms: &[Term]| {
        terms
            .iter()
            .map(|term| term.data_type(family))
            .collect::<Vec<_>>()
    };
    match &set.kind {
        SetType::Types { key, data } => (key.clone(), data.clone()),
        SetType::TypeOf { key, data } => {
            let data = data.as_ref().map(|data| MapType::Values(of_terms(data)));
            (of_terms(key), data)
        }
        other => unreachable!("{other:?}"),
    }
}

fn element(family: Family, set: &Set) -> BoxedStrategy<ListedElement> {
    let (key, data) = types_of(family, set);
    // Names of interfaces have no ranges in words.
    let ranges = set.flags.has(SetFlags::INTERVAL) && !key.contains(&DataType::IfName);
    let data = match data {
        None => Just(None).boxed(),
        Some(MapType::Verdict) => verdict()
            .prop_map(|verdict| Some(ElementData::Verdict(verdict)))
            .boxed(),
        Some(MapType::Values(types)) => concat(&types)
            .prop_map(|value| Some(ElementData::Value(value)))
            .boxed(),
    };
    let ends = of(concat(&key));
    let times = (of(millis()), of(millis()));
    (concat(&key), ends, data, times, of(text()), of(counters()))
        .prop_map(
            move |(key, end, data, (timeout, expires), comment, counters)| {
                let end = end.filter(|end| ranges && *end != key);
                let mut listed = ListedElement::from(Element {
                    key,
                    end,
                    data,
                    timeout,
                    comment,
                });
                listed.expires = expires;
                listed.counters = counters;
                listed
            },
        )
        .boxed()
}

fn set_listing(family: Family) -> impl Strategy<Value = SetListing> {
    set(family)
        .prop_flat_map(move |set| {
            let elements = vec(element(family, &set), 0..8);
            (Just(set), elements)
        })
        .prop_map(|(set, elements)| SetListing { set, elements })
}

fn chain(family: Family) -> impl Strategy<Value = ChainListing> {
    let kind = select(vec![ChainKind::Filter, ChainKind::Nat, ChainKind::Route]);
    let hook = (0u32..5).prop_map(|number| Hook::from_number(number).unwrap());
    let priority = prop_oneof![any::<i32>(), -320..130];
    let base =
        (kind, hook, priority, any::<bool>()).prop_map(|(kind, hook, priority, accept)| Base {
            kind,
            hook,
            priority,
            accept,
        });
    (name(), of(base), of(text()), vec(rule(family), 0..5)).prop_map(
        |(name, base, comment, rules)| ChainListing {
            name,
            base,
            comment,
            rules,
        },
    )
}

/// A table with all that may be in it, whether or not the kernel would take it.
pub(crate) fn listing() -> impl Strategy<Value = Listing> {
    family().prop_flat_map(|family| {
        let parts = (vec(set_listing(family), 0..4), vec(chain(family), 0..4));
        (name(), of(text()), parts).prop_map(move |(name, comment, (sets, chains))| {
            let mut listing = Listing::new(family, name);
            listing.comment = comment;
            listing.sets = sets;
            listing.chains = chains;
            listing
        })
    })
}
