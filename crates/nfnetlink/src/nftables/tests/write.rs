use netlink_batch::AttrWriter;

use super::capture;
use crate::Family::{Ipv4, Ipv6};
use crate::nftables::{BaseChain, ChainId, Hook, Position, Transaction};

const KUBE_A: ChainId<'_> = ChainId {
    family: Ipv4,
    table: "nat",
    name: "KUBE-A",
};
const OUTPUT: ChainId<'_> = ChainId {
    family: Ipv4,
    table: "nat",
    name: "OUTPUT",
};

fn expression(list: &mut AttrWriter<'_>, name: &str, fill: impl FnOnce(&mut AttrWriter<'_>)) {
    list.nest(1, |element| {
        element.str(1, name);
        element.nest(2, fill);
    });
}

fn counter(list: &mut AttrWriter<'_>) {
    expression(list, "counter", |data| {
        data.u64_be(1, 0);
        data.u64_be(2, 0);
    });
}

fn accept(list: &mut AttrWriter<'_>) {
    expression(list, "immediate", |data| {
        data.u32_be(1, 0);
        data.nest(2, |value| value.nest(2, |verdict| verdict.u32_be(1, 1)));
    });
}

fn compat(attrs: &mut AttrWriter<'_>) {
    attrs.nest(5, |compat| {
        compat.u32_be(1, 0);
        compat.u32_be(2, 0);
    });
}

/// `-j ACCEPT` as iptables writes it.
fn accept_all(attrs: &mut AttrWriter<'_>) {
    attrs.nest(4, |list| {
        counter(list);
        accept(list);
    });
    compat(attrs);
}

/// `-d 10.0.0.1/32 -j ACCEPT` as iptables writes it.
fn accept_one(attrs: &mut AttrWriter<'_>) {
    attrs.nest(4, |list| {
        expression(list, "payload", |data| {
            for (kind, value) in [(1, 1), (2, 1), (3, 16), (4, 4)] {
                data.u32_be(kind, value);
            }
        });
        expression(list, "cmp", |data| {
            data.u32_be(1, 1);
            data.u32_be(2, 0);
            data.nest(3, |value| value.bytes(1, &[10, 0, 0, 1]));
        });
        counter(list);
        accept(list);
    });
    compat(attrs);
}

/// Sets all sequence numbers to 0: nft counts from 0, we and iptables from 1.
fn without_seqs(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while at < bytes.len() {
        bytes[at + 8..at + 12].fill(0);
        at += u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    }
    bytes
}

/// Compares what `write` puts into a transaction with a capture, sequence numbers included.
fn same(text: &str, generation: Option<u32>, write: impl FnOnce(&mut Transaction<()>)) {
    let (ours, theirs) = both(text, generation, write);
    assert_eq!(ours, theirs);
}

/// As [`same`], but for sequence numbers and the beginning, where nft has no generation.
fn same_as_nft(text: &str, write: impl FnOnce(&mut Transaction<()>)) {
    let (ours, theirs) = both(text, None, write);
    assert_eq!(without_seqs(ours)[28..], without_seqs(theirs)[20..]);
}

fn both(
    text: &str,
    generation: Option<u32>,
    write: impl FnOnce(&mut Transaction<()>),
) -> (Vec<u8>, Vec<u8>) {
    let mut transaction = Transaction::new();
    transaction.begin(generation);
    write(&mut transaction);
    let told = transaction.len();
    transaction.close();
    let ours = transaction.batch.as_bytes().to_vec();
    assert_eq!(told, ours.len());
    (ours, capture(text))
}

#[test]
fn table_base_chain_and_rule() {
    same(include_str!("captures/first-rule.hex"), Some(1), |t| {
        t.new_table(Ipv4, "nat");
        t.new_base_chain(OUTPUT, BaseChain::accepting("nat", Hook::Output, -100));
        t.new_rule(OUTPUT, Position::End, false, accept_one);
    });
}

#[test]
fn ipv6_table_with_a_route_chain() {
    same(
        include_str!("captures/first-rule-mangle6.hex"),
        Some(2),
        |t| {
            let output = ChainId {
                family: Ipv6,
                table: "mangle",
                name: "OUTPUT",
            };
            t.new_table(Ipv6, "mangle");
            t.new_base_chain(output, BaseChain::accepting("route", Hook::Output, -150));
            t.new_rule(output, Position::End, false, accept_all);
        },
    );
}

#[test]
fn new_chain() {
    same(include_str!("captures/new-chain.hex"), Some(3), |t| {
        t.new_chain(KUBE_A);
    });
}

#[test]
fn rule_at_the_end() {
    same(include_str!("captures/append.hex"), Some(5), |t| {
        t.new_rule(KUBE_A, Position::End, false, accept_all);
    });
}

#[test]
fn rule_at_the_head() {
    same(include_str!("captures/insert.hex"), Some(6), |t| {
        t.new_rule(KUBE_A, Position::Head, false, accept_all);
    });
}

#[test]
fn rule_before_another() {
    same(include_str!("captures/insert-before.hex"), Some(7), |t| {
        t.new_rule(KUBE_A, Position::Before(4), false, accept_all);
    });
}

#[test]
fn rule_in_place_of_another() {
    same(include_str!("captures/replace.hex"), Some(8), |t| {
        t.new_rule(KUBE_A, Position::Replace(7), false, accept_all);
    });
}

#[test]
fn rule_after_another() {
    let mut transaction = Transaction::<()>::new();
    transaction.new_rule(KUBE_A, Position::After(5), false, |attrs| {
        attrs.nest(4, |list| expression(list, "counter", |_| {}));
    });
    transaction.close();
    // nft writes the position behind the expressions, iptables and we before them.
    let theirs = capture(include_str!("captures/add-after.hex"));
    let ours = transaction.batch.as_bytes();
    assert_eq!(ours.len() - 28, theirs.len() - 20);
    let position = [12, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 5];
    for bytes in [&ours[28..], &theirs[20..]] {
        assert_eq!(
            bytes[4..8],
            [6, 10, 1, 12],
            "NEWRULE with REQUEST, CREATE and APPEND"
        );
        assert_eq!(
            bytes
                .windows(12)
                .filter(|window| *window == position)
                .count(),
            1
        );
    }
}

#[test]
fn one_rule_deleted() {
    same_as_nft(include_str!("captures/delete-rule.hex"), |t| {
        t.delete_rule(KUBE_A, 5);
    });
}

#[test]
fn all_rules_deleted() {
    same(include_str!("captures/flush-chain.hex"), Some(12), |t| {
        t.flush_chain(KUBE_A);
    });
}

#[test]
fn chain_deleted() {
    same_as_nft(include_str!("captures/delete-chain.hex"), |t| {
        t.delete_chain(KUBE_A);
    });
}

#[test]
fn table_deleted() {
    same_as_nft(include_str!("captures/delete-table.hex"), |t| {
        t.delete_table(Ipv4, "nat");
    });
}

#[test]
fn rollback_takes_back_changes_and_echoes() {
    let mut transaction = Transaction::new();
    transaction.tag("a");
    transaction.new_chain(KUBE_A);
    let mark = transaction.mark();
    let before = transaction.batch.as_bytes().to_vec();
    transaction.tag("b");
    transaction.new_rule(KUBE_A, Position::End, true, accept_all);
    assert_eq!((transaction.count(), transaction.asked), (2, 1));
    assert!(transaction.would_exceed(transaction.len() - 1, 0));
    assert!(!transaction.would_exceed(transaction.len() + 100, 100));
    transaction.rollback(mark);
    assert_eq!((transaction.count(), transaction.asked), (1, 0));
    assert_eq!(transaction.batch.as_bytes(), before);
}

#[test]
fn a_transaction_can_be_pinned_late() {
    same(include_str!("captures/new-chain.hex"), None, |t| {
        t.new_chain(KUBE_A);
        t.pin(2);
        t.pin(3);
    });
}

#[test]
fn a_transaction_begins_empty() {
    let mut transaction = Transaction::new();
    assert!(transaction.is_empty());
    transaction.tag(1);
    transaction.new_chain(KUBE_A);
    assert!(!transaction.is_empty());
    transaction.begin(Some(7));
    assert!(transaction.is_empty());
    assert_eq!(transaction.len(), 28 + 20);
}
