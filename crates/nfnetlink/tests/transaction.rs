//! Transactions against the kernel, each test in a network namespace of its own.

#![allow(clippy::panic, clippy::unwrap_used, reason = "these are tests")]

mod common;

use common::{accept, base, handles, in_netns, jump, nat, prepare, run, uses};
use netlink_batch::{Errno, Socket};
use nfnetlink::Family::{Ipv4, Ipv6};
use nfnetlink::nftables::{
    BaseChain, ChainId, CommitError, Hook, Position, Transaction, chains, find_chain, generation,
    has_family, tables,
};

#[test]
fn asking_for_a_family_makes_nothing() {
    in_netns(|socket| {
        let before = generation(socket).unwrap();
        for family in [Ipv4, Ipv6] {
            assert!(has_family(socket, family).unwrap());
            tables(socket, family, |table| panic!("{} is there", table.name)).unwrap();
        }
        assert_eq!(generation(socket).unwrap(), before);
    });
}

#[test]
fn creates_reads_flushes_and_deletes() {
    in_netns(|socket| {
        let mut transaction = Transaction::new();
        transaction.begin(Some(generation(socket).unwrap()));
        base(&mut transaction, Ipv4);
        transaction.new_chain(nat(Ipv4, "A"));
        for tag in 0..3 {
            transaction.tag(tag);
            transaction.new_rule(nat(Ipv4, "A"), Position::End, tag == 1, accept);
        }
        transaction.new_rule(nat(Ipv4, "OUTPUT"), Position::End, false, jump("A"));
        let committed = transaction.commit(socket).unwrap();
        let [echo] = committed.echoes else {
            panic!("{:?}", committed.echoes)
        };
        assert_eq!((echo.tag, committed.echoes_lost), (Some(1), false));
        let (middle, made) = (echo.handle, committed.generation);
        assert_eq!(made, Some(generation(socket).unwrap()));

        // One echo tells the handles of its neighbours.
        assert_eq!(
            handles(socket, nat(Ipv4, "A")),
            [middle - 1, middle, middle + 1]
        );
        assert_eq!(uses(socket, Ipv4), [("OUTPUT".into(), 1), ("A".into(), 4)]);
        let mut names = Vec::new();
        tables(socket, Ipv4, |table| {
            names.push((table.name.to_owned(), table.uses));
        })
        .unwrap();
        assert_eq!(names, [("nat".to_owned(), 2)]);
        let mut bases = 0;
        chains(socket, Ipv4, |chain| {
            if let Some(base) = chain.base {
                bases += 1;
                assert_eq!(base, BaseChain::accepting("nat", Hook::Output, -100));
            }
        })
        .unwrap();
        assert_eq!(bases, 1);

        transaction.begin(made);
        transaction.delete_rule(nat(Ipv4, "A"), middle);
        let made = transaction.commit(socket).unwrap().generation;
        assert_eq!(handles(socket, nat(Ipv4, "A")), [middle - 1, middle + 1]);

        transaction.begin(made);
        transaction.flush_chain(nat(Ipv4, "OUTPUT"));
        transaction.delete_chain(nat(Ipv4, "A"));
        let made = transaction.commit(socket).unwrap().generation;
        assert_eq!(uses(socket, Ipv4), [("OUTPUT".into(), 0)]);

        transaction.begin(made);
        transaction.delete_table(Ipv4, "nat");
        let made = transaction.commit(socket).unwrap().generation;
        assert_eq!(run("nft", &["list", "ruleset"]), "");
        assert_eq!(made, Some(generation(socket).unwrap()));
    });
}

#[test]
fn every_position_is_where_it_says() {
    in_netns(|socket| {
        prepare(socket);
        let mut transaction = Transaction::new();
        let chain = nat(Ipv4, "A");
        let mut add = |socket: &mut _, position| {
            transaction.tag(());
            transaction.new_rule(chain, position, true, accept);
            transaction.commit(socket).unwrap().echoes[0].handle
        };
        let first = add(socket, Position::End);
        let last = add(socket, Position::End);
        let head = add(socket, Position::Head);
        let before = add(socket, Position::Before(last));
        let after = add(socket, Position::After(first));
        assert_eq!(handles(socket, chain), [head, first, after, before, last]);
        let replaced = add(socket, Position::Replace(after));
        assert_eq!(
            handles(socket, chain),
            [head, first, replaced, before, last]
        );
        assert_eq!(replaced, after, "the handle stays");
    });
}

#[test]
fn iptables_reads_what_we_write() {
    in_netns(|socket| {
        prepare(socket);
        let mut transaction = Transaction::<()>::new();
        transaction.new_rule(nat(Ipv4, "A"), Position::End, false, accept);
        transaction.new_rule(nat(Ipv4, "OUTPUT"), Position::End, false, jump("A"));
        transaction.commit(socket).unwrap();
        let printed = run("iptables-nft", &["-t", "nat", "-S"]);
        assert!(
            printed.contains("-A A -j ACCEPT\n-A OUTPUT -j A\n")
                || printed.contains("-A OUTPUT -j A\n-A A -j ACCEPT\n"),
            "{printed}"
        );
    });
}

#[test]
fn both_families_in_one_transaction() {
    in_netns(|socket| {
        let mut transaction = Transaction::new();
        for family in [Ipv4, Ipv6] {
            transaction.tag(family);
            base(&mut transaction, family);
            transaction.new_chain(nat(family, "A"));
            transaction.new_rule(nat(family, "A"), Position::End, true, accept);
        }
        let committed = transaction.commit(socket).unwrap();
        let echoes: Vec<_> = committed
            .echoes
            .iter()
            .map(|e| (e.tag.unwrap(), e.handle))
            .collect();
        // Handles count per table, from 1: OUTPUT, A, the rule.
        assert_eq!(echoes, [(Ipv4, 3), (Ipv6, 3)]);
        for family in [Ipv4, Ipv6] {
            assert_eq!(handles(socket, nat(family, "A")), [3]);
        }

        // What is wrong in one family keeps the other one out as well.
        transaction.new_rule(nat(Ipv4, "A"), Position::End, false, accept);
        transaction.tag(Ipv6);
        transaction.new_rule(nat(Ipv6, "A"), Position::End, false, jump("NONE"));
        let Err(CommitError::Refused { refusals, .. }) = transaction.commit(socket) else {
            panic!("a jump to nowhere was accepted");
        };
        assert_eq!(refusals[0].tag, Some(Ipv6));
        assert_eq!(handles(socket, nat(Ipv4, "A")), [3]);
    });
}

#[test]
fn nothing_is_sent_twice() {
    in_netns(|socket| {
        prepare(socket);
        let mut transaction = Transaction::<()>::new();
        transaction.new_rule(nat(Ipv4, "A"), Position::End, false, accept);
        transaction.commit(socket).unwrap();
        assert!(transaction.is_empty());
        let before = generation(socket).unwrap();
        transaction.commit(socket).unwrap();
        assert_eq!(generation(socket).unwrap(), before);
        assert_eq!(handles(socket, nat(Ipv4, "A")).len(), 1);

        transaction.new_chain(nat(Ipv4, "A"));
        let Err(CommitError::Refused { refusals, .. }) = transaction.commit(socket) else {
            panic!("a chain was created twice");
        };
        assert_eq!(refusals[0].errno, Errno::EXIST);
        assert!(transaction.is_empty());
        transaction.ensure_chain(nat(Ipv4, "A"));
        transaction.commit(socket).unwrap();
    });
}

#[test]
fn generations_are_exact() {
    in_netns(|socket| {
        prepare(socket);
        let now = generation(socket).unwrap();
        let mut transaction = Transaction::<()>::new();
        // A table that exists already is no change.
        transaction.begin(Some(now));
        transaction.new_table(Ipv4, "nat");
        assert_eq!(transaction.commit(socket).unwrap().generation, Some(now));
        assert_eq!(generation(socket).unwrap(), now);

        // Without a generation to start from and without an echo it can't be told.
        transaction.new_rule(nat(Ipv4, "A"), Position::End, false, accept);
        assert_eq!(transaction.commit(socket).unwrap().generation, None);
        transaction.new_rule(nat(Ipv4, "A"), Position::End, true, accept);
        assert_eq!(
            transaction.commit(socket).unwrap().generation,
            Some(now + 2)
        );
        transaction.begin(Some(now + 2));
        transaction.new_rule(nat(Ipv4, "A"), Position::End, false, accept);
        assert_eq!(
            transaction.commit(socket).unwrap().generation,
            Some(now + 3)
        );
    });
}

fn exists(socket: &mut Socket, chain: ChainId<'_>) -> bool {
    find_chain(socket, chain, |_| ()).unwrap().is_some()
}

#[test]
fn what_does_not_exist_reads_as_empty() {
    in_netns(|socket| {
        assert!(handles(socket, nat(Ipv4, "NONE")).is_empty());
        assert!(!exists(socket, nat(Ipv4, "A")));
        assert!(uses(socket, Ipv6).is_empty());
        tables(socket, Ipv6, |table| panic!("{table:?}")).unwrap();
        prepare(socket);
        assert!(exists(socket, nat(Ipv4, "A")));
        assert!(!exists(socket, nat(Ipv4, "NONE")));
        assert!(!exists(socket, nat(Ipv6, "A")));
    });
}

#[test]
fn small_changes_reuse_the_buffers() {
    in_netns(|socket| {
        prepare(socket);
        let mut transaction = Transaction::<u32>::new();
        let change = |transaction: &mut Transaction<u32>, socket: &mut _| {
            transaction.begin(None);
            transaction.tag(1);
            transaction.new_rule(nat(Ipv4, "A"), Position::End, true, accept);
            let echo = transaction.commit(socket).unwrap().echoes[0].handle;
            transaction.delete_rule(nat(Ipv4, "A"), echo);
            transaction.commit(socket).unwrap();
        };
        change(&mut transaction, socket);
        let warm = transaction.capacity();
        for _ in 0..20 {
            change(&mut transaction, socket);
        }
        assert_eq!(transaction.capacity(), warm);
        transaction.shrink_to(0);
        assert_eq!(transaction.capacity(), 0);
    });
}
