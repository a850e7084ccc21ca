//! Transactions that the kernel refuses, and what is told about it.

#![allow(clippy::panic, clippy::unwrap_used, reason = "these are tests")]

mod common;

use common::{accept, handles, in_netns, jump, nat, open, prepare, run, uses};
use netlink_batch::Errno;
use nfnetlink::Family::{Ipv4, Ipv6};
use nfnetlink::nftables::{CommitError, Position, Transaction, generation, tables};

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
        // Pinned to what is there now, a change is judged; there is no IPv6 table.
        transaction.begin(Some(before));
        transaction.new_chain(nat(Ipv6, "B"));
        transaction.pin(before + 1);
        let error = transaction.commit(socket).unwrap_err();
        let CommitError::Refused {
            refusals,
            generation: after,
        } = error
        else {
            panic!("{error:?}")
        };
        assert_eq!((refusals[0].errno, after), (Errno::NOENT, Some(before + 1)));
        assert_eq!(uses(socket, Ipv4).len(), 2);
        assert_eq!(generation(socket).unwrap(), before + 1);
        // Unpinned it goes in whatever the generation is.
        transaction.begin(Some(before));
        transaction.new_chain(nat(Ipv4, "B"));
        transaction.unpin();
        assert_eq!(transaction.commit(socket).unwrap().generation, None);
        assert_eq!(uses(socket, Ipv4).len(), 3);
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
