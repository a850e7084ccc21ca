//! What happens with fewer privileges than root of the machine has. Each test runs the program
//! again, inside the namespaces in question, for its other half.

#![allow(clippy::panic, clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::process::Command;

use common::{accept, nat, open, prepare, uses};
use netlink_batch::{Errno, Error};
use nfnetlink::Family::Ipv4;
use nfnetlink::nftables::{CommitError, Position, Transaction, generation};

/// Runs the ignored test `half` of this program below `unshare ARGS`.
fn below(args: &[&str], half: &str) {
    let program = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .args(args)
        .arg(program)
        .args([
            "--ignored",
            "--exact",
            half,
            "--nocapture",
            "--test-threads=1",
        ])
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let printed = printed + &String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && printed.contains("1 passed"),
        "{printed}"
    );
}

#[test]
fn a_user_namespace_is_enough_for_everything_but_large_buffers() {
    below(&["-rn"], "inside_a_user_namespace");
}

#[test]
#[ignore = "the other half of a_user_namespace_is_enough_for_everything_but_large_buffers"]
fn inside_a_user_namespace() {
    let mut socket = open();
    let limit = std::fs::read_to_string("/proc/sys/net/core/wmem_max").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    let capacity = socket.allow_send(1 << 30).unwrap();
    assert_eq!(capacity, 2 * limit - 32);
    assert_eq!(capacity, socket.send_capacity());

    prepare(&mut socket);
    let mut transaction = Transaction::<u32>::new();
    let (mut count, mut parts) = (0, 0);
    while parts < 2 {
        let mark = transaction.mark();
        transaction.tag(count);
        transaction.new_rule(nat(Ipv4, "A"), Position::End, false, accept);
        if transaction.would_exceed(capacity, 0) {
            transaction.rollback(mark);
            transaction.commit(&mut socket).unwrap();
            parts += 1;
        } else {
            count += 1;
        }
    }
    assert_eq!(uses(&mut socket, Ipv4)[1], ("A".to_owned(), count));
}

#[test]
fn without_the_capability_the_error_names_it() {
    // A network namespace of the machine's root, seen from a user namespace below it.
    below(&["-n", "unshare", "-U"], "without_the_capability");
}

#[test]
#[ignore = "the other half of without_the_capability_the_error_names_it"]
fn without_the_capability() {
    let mut socket = open();
    let error = generation(&mut socket).unwrap_err();
    assert!(matches!(error, Error::Permission { .. }), "{error:?}");
    assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");

    let mut transaction = Transaction::<u32>::new();
    transaction.tag(1);
    transaction.new_table(Ipv4, "nat");
    let CommitError::NotSent(error) = transaction.commit(&mut socket).unwrap_err() else {
        panic!("a commit without the capability was judged by the kernel");
    };
    assert_eq!(error.errno(), Some(Errno::PERM));
    assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
}
