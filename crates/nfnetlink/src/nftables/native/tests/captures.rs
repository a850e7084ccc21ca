use netlink_batch::Message;

use super::{
    SETS, SETS_SENT, SETS_TOLD, STATEMENTS, STATEMENTS_SENT, STATEMENTS_TOLD, capture, message,
};
use crate::nftables::native::set::Layout;
use crate::nftables::native::{
    Base, ChainListing, ListedSet, Listing, Rule, SetListing, TableFlags, elements_of, userdata,
};
use crate::nftables::uapi::{chain, op, table};
use crate::nftables::{Chain, RawRule, Table, Transaction, by_kind, pick, table_of};

/// Attributes as a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tree {
    Leaf(Vec<u8>),
    Nest(Vec<(u16, Tree)>),
}

fn tree(mut bytes: &[u8]) -> Vec<(u16, Tree)> {
    let mut found = Vec::new();
    while let [a, b, c, d, ..] = *bytes {
        let len = usize::from(u16::from_ne_bytes([a, b]));
        let kind = u16::from_ne_bytes([c, d]);
        let payload = &bytes[4..len];
        let one = if kind & 0x8000 == 0 {
            Tree::Leaf(payload.to_vec())
        } else {
            Tree::Nest(tree(payload))
        };
        found.push((kind & 0x7fff, one));
        bytes = &bytes[len.next_multiple_of(4).min(bytes.len())..];
    }
    found
}

/// Leaves out what nft says beside what we do: numbers that sets have in a transaction, that a
/// translation has ports and a mask is one, and bursts of 0.
fn without_ids(list: &mut Vec<(u16, Tree)>) {
    let name = match list.first() {
        Some((1, Tree::Leaf(name))) => name.clone(),
        _ => Vec::new(),
    };
    for (kind, one) in list {
        let Tree::Nest(inner) = one else { continue };
        let id = match name.as_slice() {
            b"lookup\0" => Some(4),
            b"dynset\0" => Some(2),
            _ => None,
        };
        if *kind == 2 {
            inner.retain(|(kind, _)| Some(*kind) != id);
            let zero = Tree::Leaf(vec![0; 4]);
            match name.as_slice() {
                b"bitwise\0" => inner.retain(|one| *one != (6, zero.clone())),
                b"limit\0" => inner.retain(|one| *one != (3, zero.clone())),
                _ => {}
            }
            if name == b"nat\0" {
                for (_, flags) in inner.iter_mut().filter(|(kind, _)| *kind == 7) {
                    if let Tree::Leaf(bytes) = flags {
                        bytes[3] &= !2;
                    }
                }
                inner.retain(|one| *one != (7, zero.clone()));
            }
        }
        without_ids(inner);
    }
}

/// Type, flags and attributes of a message; numbers of sets left out.
fn normal(message: &Message<'_>) -> (u16, u16, Vec<(u16, Tree)>) {
    let mut attrs = tree(&message.payload[4..]);
    let id = match message.kind {
        op::NEW_SET => Some(10),
        op::NEW_ELEMENT => Some(4),
        _ => None,
    };
    attrs.retain(|(kind, _)| Some(*kind) != id);
    without_ids(&mut attrs);
    if message.kind == op::NEW_CHAIN {
        // iptables and nft have another order.
        attrs.sort_by_key(|(kind, _)| *kind);
    }
    if let (op::NEW_ELEMENT, Some((3, Tree::Nest(list)))) = (message.kind, attrs.last_mut()) {
        // What an element counted is not written again.
        for (_, element) in list {
            if let Tree::Nest(element) = element {
                element.retain(|(kind, _)| *kind != 7);
            }
        }
    }
    (message.kind, message.flags, attrs)
}

/// What nft sends to make a table we send as well, but for the order.
fn same_as_nft(text: &str, sent: &str) {
    let listing = Listing::parse(text).unwrap();
    let mut transaction = Transaction::<()>::new();
    listing.write(&mut transaction);
    let ours: Vec<_> = transaction.batch.messages().map(|m| normal(&m)).collect();
    let sent = capture(sent);
    let (mut compared, mut other) = (0, Vec::new());
    for bytes in &sent {
        let theirs = normal(&message(bytes));
        let (kind, _, attrs) = &theirs;
        let intervals = |listed: &&SetListing| {
            let name = Tree::Leaf([listed.set.name.as_bytes(), b"\0"].concat());
            listed.set.layout() == Layout::Intervals && attrs.contains(&(2, name))
        };
        let of_intervals = listing.sets.iter().find(intervals);
        if let (op::NEW_ELEMENT, Some(listed)) = (*kind, of_intervals) {
            // nft ends what is in front of the first one, too, and orders them.
            let mut expected = listing.clone();
            expected.sort();
            let same = |one: &&SetListing| one.set == listed.set;
            let expected = expected.sets.iter().find(same).unwrap();
            let read = elements_of(&listed.set, &message(bytes)).unwrap();
            assert_eq!(read, expected.elements);
        } else if (op::NEW_CHAIN..=op::DEL_ELEMENT).contains(kind) && !ours.contains(&theirs) {
            other.push(theirs);
        }
        compared += 1;
    }
    assert!(other.is_empty(), "not among what we send: {other:#?}");
    assert!(compared > 20, "{compared}");
}

#[test]
fn sets_and_elements_as_nft_sends_them() {
    same_as_nft(SETS, SETS_SENT);
}

#[test]
fn rules_as_nft_sends_them() {
    same_as_nft(STATEMENTS, STATEMENTS_SENT);
}

/// The table that the kernel's answers tell of.
fn told(text: &str, listing: &Listing) -> Listing {
    let family = listing.family;
    let mut found = Listing::new(family, listing.name.clone());
    for bytes in capture(text) {
        let message = message(&bytes);
        let comment = |kind, part| {
            let (_, attrs) = message.split::<4>().unwrap();
            let attr = pick(&by_kind::<12>(attrs).unwrap(), kind)?;
            userdata::find_comment(attr.payload, part)
        };
        match message.kind {
            op::NEW_TABLE => {
                let table = Table::read(&message).unwrap();
                found.flags = TableFlags::of_bits(table.flags);
                found.comment = comment(table::USERDATA, userdata::TABLE_COMMENT);
            }
            op::NEW_CHAIN => {
                let read = Chain::read(&message).unwrap();
                found.chains.push(ChainListing {
                    name: read.name.into(),
                    base: read.base.and_then(Base::of),
                    comment: comment(chain::USERDATA, userdata::CHAIN_COMMENT),
                    rules: Vec::new(),
                });
            }
            op::NEW_RULE => {
                let raw = RawRule::read(&message).unwrap();
                let rule = Rule::read(family, &raw).unwrap();
                let mut chains = found.chains.iter_mut();
                let chain = chains.find(|chain| &*chain.name == raw.chain).unwrap();
                chain.rules.push(rule);
            }
            op::NEW_SET => found.sets.push(SetListing {
                set: ListedSet::read(family, &message).unwrap().set,
                elements: Vec::new(),
            }),
            op::NEW_ELEMENT => {
                let mut sets = found.sets.iter_mut();
                let (_, mut attrs) = message.split::<4>().unwrap();
                let name = attrs.find_map(|attr| attr.ok().filter(|attr| attr.kind == 2));
                let name = name.unwrap().str().unwrap();
                let listed = sets.find(|listed| &*listed.set.name == name).unwrap();
                let elements = elements_of(&listed.set, &message).unwrap();
                listed.elements.extend(elements);
            }
            _ => {}
        }
    }
    found.sort();
    found
}

#[test]
fn every_message_tells_its_table() {
    for (answers, name) in [(SETS_TOLD, "s"), (STATEMENTS_TOLD, "t")] {
        let mut kinds = Vec::new();
        for bytes in capture(answers) {
            let message = message(&bytes);
            let of_object = message.kind >> 8 == 10 && message.kind != op::NEW_GEN;
            assert_eq!(table_of(&message), of_object.then_some(name));
            kinds.push(message.kind);
        }
        for kind in [
            op::NEW_TABLE,
            op::NEW_CHAIN,
            op::NEW_SET,
            op::NEW_ELEMENT,
            op::NEW_GEN,
        ] {
            assert!(kinds.contains(&kind) || name == "t", "{kind:#x}");
        }
    }
}

#[test]
fn what_the_kernel_tells_is_what_was_sent() {
    for (text, answers) in [(SETS, SETS_TOLD), (STATEMENTS, STATEMENTS_TOLD)] {
        let mut expected = Listing::parse(text).unwrap();
        expected.sort();
        let mut told = told(answers, &expected);
        // The kernel counts from 0 where nothing was said.
        for listed in &mut expected.sets {
            for element in &mut listed.elements {
                if !listed.set.expressions.is_empty() {
                    element.counters.get_or_insert_default();
                }
            }
        }
        // Ranges of several fields have no order.
        for listed in expected.sets.iter_mut().chain(&mut told.sets) {
            if listed.set.layout() == Layout::Ranges {
                listed.elements.sort();
            }
        }
        assert_eq!(told, expected);
    }
}
