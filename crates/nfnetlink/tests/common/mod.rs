//! Namespaces and rules for tests.

#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use std::process::Command;

use netlink_batch::{AttrWriter, Socket, socket};
use nfnetlink::Family::{self, Ipv4};
use nfnetlink::nftables::{BaseChain, ChainId, Hook, Transaction, chains, rules};
use nix::sched::{CloneFlags, unshare};

/// Runs `body` on a thread with a network namespace of its own. Programs it starts share it.
pub(crate) fn in_netns<R: Send>(body: impl FnOnce(&mut Socket) -> R + Send) -> R {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
                panic!("no network namespace ({errno}): run as root or under `unshare -rn`");
            }
            body(&mut open())
        });
        thread
            .join()
            .unwrap_or_else(|cause| std::panic::resume_unwind(cause))
    })
}

/// A socket in this thread's namespace.
pub(crate) fn open() -> Socket {
    Socket::open(socket::NETFILTER).unwrap()
}

/// A chain of table nat.
pub(crate) fn nat(family: Family, name: &str) -> ChainId<'_> {
    ChainId {
        family,
        table: "nat",
        name,
    }
}

/// Appends table nat with its OUTPUT chain.
pub(crate) fn base<T>(transaction: &mut Transaction<T>, family: Family) {
    transaction.new_table(family, "nat");
    let output = BaseChain::accepting("nat", Hook::Output, -100);
    transaction.new_base_chain(nat(family, "OUTPUT"), output);
}

fn expression(list: &mut AttrWriter<'_>, name: &str, fill: impl FnOnce(&mut AttrWriter<'_>)) {
    list.nest(1, |element| {
        element.str(1, name);
        element.nest(2, fill);
    });
}

fn verdict(list: &mut AttrWriter<'_>, code: i32, chain: Option<&str>) {
    expression(list, "immediate", |data| {
        data.u32_be(1, 0);
        data.nest(2, |value| {
            value.nest(2, |verdict| {
                verdict.u32_be(1, code.cast_unsigned());
                if let Some(chain) = chain {
                    verdict.str(2, chain);
                }
            });
        });
    });
}

/// `counter accept`.
pub(crate) fn accept(attrs: &mut AttrWriter<'_>) {
    attrs.nest(4, |list| {
        expression(list, "counter", |data| {
            data.u64_be(1, 0);
            data.u64_be(2, 0);
        });
        verdict(list, 1, None);
    });
}

/// `jump chain`.
pub(crate) fn jump(chain: &str) -> impl FnOnce(&mut AttrWriter<'_>) + '_ {
    move |attrs| attrs.nest(4, |list| verdict(list, -3, Some(chain)))
}

/// `-m name` with 8 zero bytes of data.
pub(crate) fn xt_match(name: &str) -> impl FnOnce(&mut AttrWriter<'_>) + '_ {
    move |attrs| {
        attrs.nest(4, |list| {
            expression(list, "match", |data| {
                data.str(1, name);
                data.u32_be(2, 0);
                data.bytes(3, &[0; 8]);
            });
        });
    }
}

/// Handles of the chain's rules, in order.
pub(crate) fn handles(socket: &mut Socket, chain: ChainId<'_>) -> Vec<u64> {
    let mut found = Vec::new();
    rules(socket, chain, |rule| found.push(rule.handle)).unwrap();
    found
}

/// Names and uses of the chains of table nat.
pub(crate) fn uses(socket: &mut Socket, family: Family) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    chains(socket, family, |chain| {
        found.push((chain.name.to_owned(), chain.uses));
    })
    .unwrap();
    found
}

/// Runs a program in this thread's namespace and returns what it printed.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    printed
}

/// Writes table nat with chain A and commits.
pub(crate) fn prepare(socket: &mut Socket) {
    let mut transaction = Transaction::<()>::new();
    base(&mut transaction, Ipv4);
    transaction.new_chain(nat(Ipv4, "A"));
    transaction.commit(socket).unwrap();
}
