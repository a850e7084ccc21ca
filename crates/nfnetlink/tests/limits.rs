//! Large transactions, full buffers and interrupted reads.

#![allow(clippy::panic, clippy::unwrap_used, reason = "these are tests")]

mod common;

use common::{accept, handles, in_netns, nat, open, prepare, uses};
use netlink_batch::Error;
use nfnetlink::Family::Ipv4;
use nfnetlink::nftables::{CommitError, Position, Transaction};

#[test]
fn lost_answers_leave_the_outcome_open_only_where_it_is() {
    in_netns(|socket| {
        prepare(socket);
        socket.allow_receive(2304).unwrap();
        let mut transaction = Transaction::new();
        for tag in 0..500 {
            transaction.tag(tag);
            transaction.new_rule(nat(Ipv4, "A"), Position::End, true, accept);
        }
        let committed = transaction.commit(socket).unwrap();
        assert!(committed.echoes_lost);
        assert!(!committed.echoes.is_empty());
        assert_eq!(handles(socket, nat(Ipv4, "A")).len(), 500);

        for tag in 0..500 {
            transaction.tag(tag);
            transaction.delete_rule(nat(Ipv4, "A"), 1_000_000);
        }
        let Err(CommitError::Refused { refusals, .. }) = transaction.commit(socket) else {
            panic!("rules that do not exist were deleted");
        };
        assert_eq!(refusals[0].tag, Some(0));
        assert!(refusals.len() < 500);
    });
}

#[test]
fn what_is_too_large_is_not_sent() {
    in_netns(|socket| {
        prepare(socket);
        let capacity = socket.allow_send(64 * 1024).unwrap();
        let mut transaction = Transaction::<()>::new();
        let mut parts = 0;
        for _ in 0..1000 {
            let mark = transaction.mark();
            transaction.new_rule(nat(Ipv4, "A"), Position::End, false, accept);
            if transaction.would_exceed(capacity, 0) {
                transaction.rollback(mark);
                transaction.commit(socket).unwrap();
                parts += 1;
                transaction.new_rule(nat(Ipv4, "A"), Position::End, false, accept);
            }
        }
        transaction.commit(socket).unwrap();
        assert!(parts >= 1);
        assert_eq!(handles(socket, nat(Ipv4, "A")).len(), 1000);

        while !transaction.would_exceed(capacity, 0) {
            transaction.new_rule(nat(Ipv4, "A"), Position::End, false, accept);
        }
        let bytes = transaction.len();
        let error = transaction.commit(socket).unwrap_err();
        let CommitError::TooLarge {
            bytes: told,
            capacity: limit,
        } = error
        else {
            panic!("{error:?}")
        };
        assert_eq!((told, limit), (bytes, capacity));
        assert_eq!(handles(socket, nat(Ipv4, "A")).len(), 1000);
    });
}

#[test]
fn twenty_megabytes_in_one_transaction() {
    in_netns(|socket| {
        // As root of the machine any size is granted, in a user namespace what wmem_max allows.
        let capacity = socket.allow_send(32 << 20).unwrap();
        let wanted = (20 << 20).min(capacity);
        prepare(socket);
        let mut transaction = Transaction::<u32>::new();
        let mut count = 0;
        while !transaction.would_exceed(wanted, 200) {
            transaction.tag(count / 17);
            transaction.new_rule(nat(Ipv4, "A"), Position::End, false, accept);
            count += 1;
        }
        transaction.tag(u32::MAX);
        transaction.new_rule(nat(Ipv4, "A"), Position::End, true, accept);
        assert!(transaction.len() > wanted - 400);
        let committed = transaction.commit(socket).unwrap();
        assert_eq!(committed.echoes[0].tag, Some(u32::MAX));
        assert_eq!(uses(socket, Ipv4)[1], ("A".into(), count + 1));
        if nix::unistd::geteuid().is_root() && !in_user_namespace() {
            assert!(
                wanted == 20 << 20 && count > 100_000,
                "{count} rules in {wanted} bytes"
            );
        }
    });
}

fn in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    map.split_whitespace().collect::<Vec<_>>() != ["0", "0", "4294967295"]
}

#[test]
fn a_dump_across_a_commit_is_told() {
    in_netns(|socket| {
        prepare(socket);
        let mut transaction = Transaction::<()>::new();
        for _ in 0..2000 {
            transaction.new_rule(nat(Ipv4, "A"), Position::End, false, accept);
        }
        transaction.commit(socket).unwrap();
        let mut writer = open();
        let mut disturb = |times: &mut u32| {
            if *times > 0 {
                *times -= 1;
                transaction.new_rule(nat(Ipv4, "OUTPUT"), Position::Head, false, accept);
                transaction.commit(&mut writer).unwrap();
            }
        };
        let mut read = |socket: &mut _, times: &mut u32| {
            let mut count = 0;
            nfnetlink::nftables::rules(socket, nat(Ipv4, "A"), |_| {
                count += 1;
                if count == 10 {
                    disturb(times);
                }
            })
            .map(|()| count)
        };
        let error = read(socket, &mut 1).unwrap_err();
        assert!(matches!(error, Error::Interrupted), "{error:?}");
        let mut times = 2;
        let count = netlink_batch::retry_stale(3, || read(socket, &mut times)).unwrap();
        assert_eq!((count, times), (2000, 0));
    });
}
