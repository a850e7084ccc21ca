//! Transactions against the kernel, each test in a network namespace of its own.

#![allow(clippy::panic, clippy::unwrap_used, reason = "these are tests")]

mod common;

use common::{accept, base, handles, in_netns, jump, nat, open, prepare, run, uses};
use netlink_batch::{Errno, Error};
use nfnetlink::Family::{Ipv4, Ipv6};
use nfnetlink::nftables::{
    BaseChain, CommitError, Hook, Position, Transaction, chains, generation, tables,
};

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
            names.push((table.name.to_owned(), table.uses))
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
fn a_moved_generation_is_told_and_changes_nothing() {
    in_netns(|socket| {
        let before = generation(socket).unwrap();
        prepare(&mut open());
        assert_eq!(generation(socket).unwrap(), before + 1);
        let mut transaction = Transaction::<u8>::new();
        transaction.begin(Some(before));
        transaction.new_chain(nat(Ipv4, "B"));
        let error = transaction.commit(socket).unwrap_err();
        assert!(matches!(error, CommitError::GenerationMoved), "{error:?}");
        assert_eq!(uses(socket, Ipv4).len(), 2);
        assert_eq!(generation(socket).unwrap(), before + 1);
    });
}

#[test]
fn a_refusal_names_its_tag_among_a_thousand() {
    in_netns(|socket| {
        prepare(socket);
        let before = generation(socket).unwrap();
        let mut transaction = Transaction::new();
        transaction.begin(Some(before));
        for service in 0..1000 {
            transaction.tag(service);
            let target = if service == 777 { "NONE" } else { "A" };
            transaction.new_rule(
                nat(Ipv4, "OUTPUT"),
                Position::End,
                service == 3,
                jump(target),
            );
        }
        let error = transaction.commit(socket).unwrap_err();
        let text = error.to_string();
        let CommitError::Refused {
            refusals,
            generation: after,
        } = error
        else {
            panic!("{error:?}")
        };
        assert_eq!(refusals.len(), 1, "{refusals:?}");
        assert_eq!(
            (refusals[0].tag, refusals[0].errno),
            (Some(777), Errno::NOENT)
        );
        assert!(
            text.contains("adding a rule to chain OUTPUT of table ip nat, at expression immediate"),
            "{text}"
        );
        assert!(text.contains("the chain it jumps to"), "{text}");
        assert_eq!(after, Some(before));
        assert_eq!(generation(socket).unwrap(), before);
        assert!(handles(socket, nat(Ipv4, "OUTPUT")).is_empty());
    });
}

#[test]
fn an_unknown_extension_is_named() {
    in_netns(|socket| {
        prepare(socket);
        let mut transaction = Transaction::new();
        transaction.tag("web");
        transaction.new_rule(nat(Ipv4, "A"), Position::End, false, accept);
        transaction.new_rule(
            nat(Ipv4, "A"),
            Position::End,
            false,
            common::xt_match("nonesuch"),
        );
        let error = transaction.commit(socket).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("xt match nonesuch revision 0"), "{text}");
        assert!(
            text.contains("CONFIG_NETFILTER_XT_MATCH_NONESUCH"),
            "{text}"
        );
    });
}

#[test]
fn all_refusals_of_a_transaction_are_told() {
    in_netns(|socket| {
        prepare(socket);
        let mut transaction = Transaction::new();
        for tag in 0..200 {
            transaction.tag(tag);
            transaction.delete_rule(nat(Ipv4, "A"), 1_000_000 + tag);
        }
        let Err(CommitError::Refused { refusals, .. }) = transaction.commit(socket) else {
            panic!("rules that do not exist were deleted");
        };
        let tags: Vec<_> = refusals.iter().filter_map(|refusal| refusal.tag).collect();
        assert_eq!(tags, (0..200).collect::<Vec<_>>());
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
fn a_chain_in_use_is_not_deleted() {
    in_netns(|socket| {
        prepare(socket);
        let mut transaction = Transaction::<u8>::new();
        transaction.new_rule(nat(Ipv4, "OUTPUT"), Position::End, false, jump("A"));
        transaction.commit(socket).unwrap();
        transaction.tag(9);
        transaction.delete_chain(nat(Ipv4, "A"));
        let error = transaction.commit(socket).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("deleting chain A of table ip nat: EBUSY"),
            "{text}"
        );
        let CommitError::Refused { refusals, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(refusals[0].tag, Some(9));
    });
}

#[test]
fn a_jump_loop_is_refused_and_the_kernel_left_in_good_order() {
    in_netns(|socket| {
        prepare(socket);
        let mut transaction = Transaction::<&str>::new();
        let before = generation(socket).unwrap();
        transaction.begin(Some(before));
        transaction.tag("good");
        transaction.new_chain(nat(Ipv4, "B"));
        transaction.new_rule(nat(Ipv4, "OUTPUT"), Position::End, false, jump("A"));
        transaction.new_rule(nat(Ipv4, "A"), Position::End, false, jump("B"));
        transaction.tag("loop");
        transaction.new_rule(nat(Ipv4, "B"), Position::End, false, jump("A"));
        let error = transaction.commit(socket).unwrap_err();
        let CommitError::Refused {
            refusals,
            generation: after,
        } = error
        else {
            panic!("{error:?}")
        };
        assert_eq!(refusals[0].tag, Some("loop"), "{refusals:?}");
        assert!(refusals[0].to_string().contains("loop"), "{}", refusals[0]);
        // The transaction that ends the kernel's careful mode counts, and leaves no table.
        assert_eq!(after, Some(before + 1));
        assert_eq!(generation(socket).unwrap(), before + 1);
        assert_eq!(run("nft", &["list", "tables"]), "table ip nat\n");
        assert_eq!(uses(socket, Ipv4).len(), 2);

        transaction.begin(after);
        transaction.new_rule(nat(Ipv4, "OUTPUT"), Position::End, false, jump("A"));
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

#[test]
fn a_table_of_another_process_is_explained() {
    in_netns(|socket| {
        // A table with NFT_TABLE_F_OWNER lives as long as its socket.
        let mut owner = open();
        let mut batch = netlink_batch::Batch::<()>::new();
        batch.message(0x10, 0, &[0, 0, 0, 10], |_| {});
        batch.message(0x0a00, 0x400, &[2, 0, 0, 0], |attrs| {
            attrs.str(1, "nat");
            attrs.u32_be(2, 2);
        });
        batch.message(0x11, 0, &[0, 0, 0, 10], |_| {});
        assert!(owner.send(&batch, |_, _| ()).unwrap().refusals.is_empty());

        let mut transaction = Transaction::<()>::new();
        transaction.new_chain(nat(Ipv4, "A"));
        let text = transaction.commit(socket).unwrap_err().to_string();
        assert!(text.contains("another process owns the table"), "{text}");
        let mut flags = 0;
        tables(socket, Ipv4, |table| flags = table.flags).unwrap();
        assert_eq!(flags, 2);
    });
}

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

#[test]
fn what_does_not_exist_reads_as_empty() {
    in_netns(|socket| {
        assert!(handles(socket, nat(Ipv4, "NONE")).is_empty());
        assert!(uses(socket, Ipv6).is_empty());
        tables(socket, Ipv6, |table| panic!("{table:?}")).unwrap();
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
