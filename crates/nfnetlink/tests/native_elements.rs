//! Elements of native sets against the kernel, each test in a network namespace of its own.

#![allow(clippy::panic, clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::net::Ipv4Addr;
use std::time::Duration;

use common::{in_netns, run};
use netlink_batch::{Errno, Socket};
use nfnetlink::Family::{Ipv4, Ipv6};
use nfnetlink::nftables::native::{
    Counters, DataType, Element, ListedElement, MapType, Set, SetFlags, SetType, TableId, Value,
    elements, find_elements, find_set, sets,
};
use nfnetlink::nftables::{CommitError, Operation, Refusal, Transaction};

const TABLE: TableId<'_> = TableId {
    family: Ipv4,
    name: "t",
};

/// `ip daddr . meta l4proto . th dport`.
const KEY: [DataType; 3] = [
    DataType::Ipv4Addr,
    DataType::InetProto,
    DataType::InetService,
];

fn key(number: u32, port: u16) -> Value {
    let address = Ipv4Addr::from(0x0a00_0000 + number).octets();
    Value::concat([&address[..], &[6], &port.to_be_bytes()])
}

fn try_commit(
    socket: &mut Socket,
    write: impl FnOnce(&mut Transaction<()>),
) -> Result<(), Vec<Refusal<()>>> {
    let mut transaction = Transaction::new();
    write(&mut transaction);
    match transaction.commit(socket) {
        Ok(_) => Ok(()),
        Err(CommitError::Refused { refusals, .. }) => Err(refusals),
        Err(error) => panic!("{error}"),
    }
}

fn commit(socket: &mut Socket, write: impl FnOnce(&mut Transaction<()>)) {
    try_commit(socket, write).unwrap();
}

fn all(socket: &mut Socket, set: &Set) -> Vec<ListedElement> {
    let mut found = Vec::new();
    elements(socket, TABLE, set, |listed| found.push(listed)).unwrap();
    found.sort();
    found
}

fn plain(socket: &mut Socket, set: &Set) -> Vec<Element> {
    all(socket, set)
        .into_iter()
        .map(|listed| listed.element)
        .collect()
}

/// The elements once the kernel's table has grown: until then a list may have one twice and lack
/// another one.
fn at_rest(socket: &mut Socket, set: &Set, count: usize) -> Vec<Element> {
    for _ in 0..100 {
        let mut found = plain(socket, set);
        found.dedup_by(|one, other| one.key == other.key);
        if found.len() == count {
            return found;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the set never has {count} elements");
}

fn make(socket: &mut Socket, set: &Set, elements: &[Element]) {
    commit(socket, |transaction| {
        transaction.new_table(TABLE.family, TABLE.name);
        transaction.new_set(TABLE, set);
        transaction.add_elements(TABLE, set, elements);
    });
}

#[test]
fn sets_come_are_found_and_go() {
    in_netns(|socket| {
        let set = Set::of_types("s", KEY).counting();
        assert_eq!(find_set(socket, TABLE, "s", |_| ()).unwrap(), None);
        sets(socket, TABLE, |set| panic!("{set:?}")).unwrap();
        make(socket, &set, &[]);
        let refusals = try_commit(socket, |transaction| transaction.new_set(TABLE, &set));
        assert_eq!(refusals.unwrap_err()[0].errno, Errno::EXIST);
        commit(socket, |transaction| transaction.ensure_set(TABLE, &set));
        let other = Set::of_types("s", [DataType::Mark]);
        let refusals = try_commit(socket, |transaction| transaction.ensure_set(TABLE, &other));
        assert_eq!(refusals.unwrap_err()[0].errno, Errno::EXIST);

        let found = find_set(socket, TABLE, "s", |listed| {
            assert_eq!((listed.table, listed.set.name.as_ref()), ("t", "s"));
            assert!(listed.handle > 0);
            listed.set
        });
        assert_eq!(found.unwrap(), Some(set.clone()));
        // The same table's name in the other family.
        let other = TableId {
            family: Ipv6,
            ..TABLE
        };
        assert_eq!(find_set(socket, other, "s", |_| ()).unwrap(), None);

        commit(socket, |transaction| transaction.delete_set(TABLE, "s"));
        assert_eq!(find_set(socket, TABLE, "s", |_| ()).unwrap(), None);
        let refusals = try_commit(socket, |transaction| transaction.delete_set(TABLE, "s"));
        assert_eq!(refusals.unwrap_err()[0].errno, Errno::NOENT);
        assert!(
            all(socket, &set).is_empty(),
            "a set that is gone has no elements"
        );
    });
}

#[test]
fn the_kernel_counts_elements_where_it_can() {
    in_netns(|socket| {
        let set = Set::of_types("s", KEY);
        let elements: Vec<_> = (0..3).map(|n| Element::new(key(n, 80))).collect();
        make(socket, &set, &elements);
        let count = find_set(socket, TABLE, "s", |listed| listed.count)
            .unwrap()
            .unwrap();
        // Linux 6.16.
        assert!(count.is_none_or(|count| count == 3), "{count:?}");
    });
}

#[test]
fn elements_come_and_go_by_their_keys() {
    in_netns(|socket| {
        let set = Set::of_types("s", KEY);
        let first = Element::new(key(1, 80)).with_comment("ns/name:http");
        let second = Element::new(key(2, 443));
        make(socket, &set, &[first.clone(), second.clone()]);
        assert_eq!(plain(socket, &set), [first.clone(), second.clone()]);
        // What is there already is accepted.
        commit(socket, |transaction| {
            transaction.add_elements(TABLE, &set, [&first]);
        });
        commit(socket, |transaction| {
            transaction.delete_elements(TABLE, &set, [&first]);
        });
        assert_eq!(plain(socket, &set), [second]);
        commit(socket, |transaction| transaction.flush_set(TABLE, "s"));
        assert!(all(socket, &set).is_empty());
    });
}

#[test]
fn a_changed_value_is_removed_first() {
    in_netns(|socket| {
        let kind = SetType::Types {
            key: KEY.to_vec(),
            data: Some(MapType::Values(vec![DataType::Mark])),
        };
        let map = Set::new("m", kind);
        let old = Element::new(key(1, 80)).with(1u32);
        let new = Element::new(key(1, 80)).with(2u32);
        make(socket, &map, std::slice::from_ref(&old));
        let refusals = try_commit(socket, |transaction| {
            transaction.add_elements(TABLE, &map, [&new]);
        });
        assert_eq!(refusals.unwrap_err()[0].errno, Errno::EXIST);
        commit(socket, |transaction| {
            transaction.delete_elements(TABLE, &map, [&old]);
            transaction.add_elements(TABLE, &map, [&new]);
        });
        assert_eq!(plain(socket, &map), [new]);
    });
}

#[test]
fn many_elements_go_in_few_messages() {
    in_netns(|socket| {
        socket.allow_send(8 << 20).unwrap();
        let set = Set::of_types("s", KEY);
        let long = "c".repeat(200);
        let elements: Vec<_> = (0..20_000)
            .map(|n| match n % 100 {
                0 => Element::new(key(n, 80)).with_comment(long.as_str()),
                _ => Element::new(key(n, 80)),
            })
            .collect();
        let mut transaction = Transaction::<()>::new();
        transaction.new_table(TABLE.family, TABLE.name);
        transaction.new_set(TABLE, &set);
        transaction.add_elements(TABLE, &set, &elements);
        let messages = transaction.count() - 2;
        assert!((9..40).contains(&messages), "{messages}");
        transaction.commit(socket).unwrap();
        let found = at_rest(socket, &set, elements.len());
        for (found, element) in found.iter().zip(&elements) {
            let comment = element.comment.as_deref().map(|text| &text[..128]);
            assert_eq!(
                (&found.key, found.comment.as_deref()),
                (&element.key, comment)
            );
        }
        let refs: Vec<_> = elements.iter().collect();
        let mut places = Vec::new();
        find_elements(socket, TABLE, &set, &refs, |place, listed| {
            assert_eq!(listed.element.key, elements[place].key);
            places.push(place);
        })
        .unwrap();
        assert!(places.iter().copied().eq(0..elements.len()));

        commit(socket, |transaction| {
            transaction.delete_elements(TABLE, &set, elements.iter().step_by(2));
        });
        let mut places = Vec::new();
        find_elements(socket, TABLE, &set, &refs, |place, _| places.push(place)).unwrap();
        assert!(places.iter().copied().eq((1..elements.len()).step_by(2)));
    });
}

#[test]
fn a_set_that_is_not_there_has_none_of_the_elements() {
    in_netns(|socket| {
        let set = Set::of_types("s", KEY);
        let element = Element::new(key(1, 80));
        let wanted = [&element, &element];
        find_elements(socket, TABLE, &set, &wanted, |_, listed| {
            panic!("{listed:?}")
        })
        .unwrap();
        find_elements(socket, TABLE, &set, &[], |_, listed| panic!("{listed:?}")).unwrap();
    });
}

#[test]
fn a_refusal_names_the_element() {
    in_netns(|socket| {
        let set = Set::of_types("s", KEY);
        make(
            socket,
            &set,
            &[Element::new(key(1, 80)), Element::new(key(3, 80))],
        );
        let gone = [1, 2, 3].map(|n| Element::new(key(n, 80)));
        let refusals = try_commit(socket, |transaction| {
            transaction.delete_elements(TABLE, &set, &gone);
        })
        .unwrap_err();
        let subject = refusals[0].subject.as_ref().unwrap();
        assert_eq!(refusals[0].errno, Errno::NOENT);
        assert_eq!(subject.operation, Operation::DeleteElements);
        assert_eq!((subject.set.as_ref(), subject.element), ("s", Some(1)));
        assert_eq!(
            refusals[0].to_string(),
            "deleting elements of set s of table ip t, at element 2: ENOENT: No such file or \
             directory; there is no such set, or it has no such element"
        );
        assert_eq!(all(socket, &set).len(), 2, "nothing was removed");
    });
}

#[test]
fn timeouts_and_counters_are_told() {
    in_netns(|socket| {
        let flags = SetFlags::TIMEOUT;
        let mut set = Set::of_types("s", KEY).with_flags(flags).counting();
        set.timeout = Some(Duration::from_secs(3600));
        let mut short = Element::new(key(1, 80));
        short.timeout = Some(Duration::from_secs(300));
        let usual = Element::new(key(2, 80));
        make(socket, &set, &[short.clone(), usual.clone()]);
        let found = all(socket, &set);
        assert_eq!(found[0].element, short);
        assert_eq!(found[1].element, usual);
        for (listed, most) in found.iter().zip([300, 3600]) {
            let left = listed.expires.unwrap();
            assert!(
                left <= Duration::from_secs(most) && !left.is_zero(),
                "{left:?}"
            );
            assert_eq!(listed.counters, Some(Counters::default()));
        }
    });
}

#[test]
fn intervals_begin_end_and_touch() {
    in_netns(|socket| {
        let set = Set::of_types("i", [DataType::Ipv4Addr]).with_flags(SetFlags::INTERVAL);
        let address = |text: &str| Value::from(text.parse::<Ipv4Addr>().unwrap());
        let range = |low, high| Element::new(address(low)).up_to(address(high));
        let networks = [
            range("10.0.0.0", "10.255.255.255"),
            range("11.0.0.0", "11.0.0.9"),
            Element::new(address("12.0.0.1")),
            range("255.255.255.0", "255.255.255.255"),
        ];
        make(socket, &set, &networks);
        assert_eq!(plain(socket, &set), networks);
        assert_eq!(
            run("nft", &["list", "set", "ip", "t", "i"]),
            "table ip t {\n\tset i {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t\telements = { \
             10.0.0.0/8, 11.0.0.0-11.0.0.9,\n\t\t\t     12.0.0.1, 255.255.255.0/24 }\n\t}\n}\n"
        );
        let part = range("11.0.0.0", "11.0.0.5");
        let wanted = [&networks[0], &part, &networks[1], &networks[3]];
        let mut places = Vec::new();
        find_elements(socket, TABLE, &set, &wanted, |place, _| places.push(place)).unwrap();
        assert_eq!(places, [0, 2, 3]);
        commit(socket, |transaction| {
            transaction.delete_elements(TABLE, &set, [&networks[0], &networks[3]]);
        });
        assert_eq!(plain(socket, &set), networks[1..3]);
    });
}

#[test]
fn ranges_of_several_fields_come_and_go() {
    in_netns(|socket| {
        let types = [
            DataType::Ipv4Addr,
            DataType::InetService,
            DataType::Ipv4Addr,
        ];
        let set = Set::of_types("a", types).with_flags(SetFlags::INTERVAL);
        let field = |address: [u8; 4], port: u16, source: [u8; 4]| {
            Value::concat([&address[..], &port.to_be_bytes(), &source[..]])
        };
        let all_sources = Element::new(field([10, 0, 0, 1], 80, [0; 4])).up_to(field(
            [10, 0, 0, 1],
            90,
            [255; 4],
        ));
        let one = Element::new(field([10, 0, 0, 2], 443, [1; 4]));
        make(socket, &set, &[all_sources.clone(), one.clone()]);
        assert_eq!(plain(socket, &set), [all_sources.clone(), one.clone()]);
        let mut found = Vec::new();
        find_elements(
            socket,
            TABLE,
            &set,
            &[&one, &all_sources],
            |place, listed| {
                found.push((place, listed.element));
            },
        )
        .unwrap();
        assert_eq!(found, [(0, one.clone()), (1, all_sources.clone())]);
        commit(socket, |transaction| {
            transaction.delete_elements(TABLE, &set, [&all_sources]);
        });
        assert_eq!(plain(socket, &set), [one]);
    });
}

#[test]
fn a_change_takes_no_memory_of_its_own() {
    in_netns(|socket| {
        let set = Set::of_types("s", KEY);
        let elements: Vec<_> = (0..100).map(|n| Element::new(key(n, 80))).collect();
        make(socket, &set, &elements);
        let mut transaction = Transaction::<()>::new();
        let mut change = |transaction: &mut Transaction<()>, element: &Element| {
            transaction.delete_elements(TABLE, &set, [element]);
            transaction.add_elements(TABLE, &set, [element]);
            transaction.commit(socket).unwrap();
        };
        change(&mut transaction, &elements[0]);
        let warm = transaction.capacity();
        for element in &elements {
            change(&mut transaction, element);
        }
        assert_eq!(transaction.capacity(), warm);
        assert_eq!(plain(socket, &set), elements);
    });
}
