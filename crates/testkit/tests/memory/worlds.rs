//! One piece of work on both kernels.

use std::fmt::Debug;
use std::thread;

use netlink_batch::message::kind;
use netlink_batch::{Attrs, Message, Socket, socket};
use nfnetlink::nftables::Generation;
use nix::sched::{CloneFlags, unshare};
use viprule_testkit::memory::MemoryKernel;

/// `NFT_MSG_NEWGEN`.
const NEW_GENERATION: u16 = 0x0a0f;
/// `NFT_MSG_DELTABLE`, `NFT_MSG_DELCHAIN`.
const DEL_TABLE: u16 = 0x0a02;
const DEL_CHAIN: u16 = 0x0a05;
/// `NFT_MSG_NEWSET`, `NFTA_SET_TYPE`, `NFTA_SET_COUNT`.
const NEW_SET: u16 = 0x0a09;
const SET_TYPE: u16 = 19;
const SET_COUNT: u16 = 20;

/// Does `work` in a network namespace of its own of the real kernel, and then in memory.
pub(crate) fn both<T: Send>(work: impl Fn() -> T + Sync) -> [T; 2] {
    let real = real(&work);
    let kernel = MemoryKernel::new();
    let _entered = kernel.enter();
    [real, work()]
}

/// Fails at the first thing that the two kernels did not say alike.
#[track_caller]
pub(crate) fn same<T: Debug + PartialEq>(real: &[T], memory: &[T]) {
    for (step, (real, memory)) in real.iter().zip(memory).enumerate() {
        assert_eq!(real, memory, "{step}");
    }
    assert_eq!(real.len(), memory.len());
}

/// Does `work` in a network namespace of its own of the real kernel.
///
/// Where the kernel loads a module for a rule it begins the transaction again, with other handles:
/// whoever compares those has the kernel load what is used here first.
pub(crate) fn real<T: Send>(work: impl Fn() -> T + Sync) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
                panic!("no network namespace ({errno}): run as root or under `unshare -rn`");
            }
            work()
        });
        thread
            .join()
            .unwrap_or_else(|cause| std::panic::resume_unwind(cause))
    })
}

pub(crate) fn open() -> Socket {
    Socket::open(socket::NETFILTER).unwrap()
}

/// True on the kernel that the one in memory is like, byte for byte. Others tell the same with other
/// attributes beside, in another order, and blame other attributes.
pub(crate) fn is_exact() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    release.starts_with("6.18.")
}

/// What an object's message says, whatever the order; of deleted ones what identifies them.
fn content(kind: u16, payload: &[u8]) -> String {
    let (header, attrs) = payload.split_at(4);
    let mut list: Vec<_> = Attrs::new(attrs).map(Result::unwrap).collect();
    let identity: Option<&[u16]> = match kind {
        DEL_TABLE => Some(&[1, 4]),
        DEL_CHAIN => Some(&[1, 2, 3]),
        _ => None,
    };
    list.retain(|attr| identity.is_none_or(|kinds| kinds.contains(&attr.kind)));
    // Before Linux 6.16 they are not told.
    list.retain(|attr| kind != NEW_SET || ![SET_TYPE, SET_COUNT].contains(&attr.kind));
    list.sort_by_key(|attr| attr.kind);
    let list = list
        .iter()
        .map(|attr| format!("{}: {}", attr.kind, bytes(attr.payload)));
    format!("{} {:?}", bytes(header), list.collect::<Vec<_>>())
}

/// A message without what differs from one run to the next.
pub(crate) fn told(message: &Message<'_>) -> String {
    assert_ne!(message.kind, kind::ERROR);
    let head = format!("{:#x} {:#x} {}", message.kind, message.flags, message.seq);
    if message.kind == NEW_GENERATION {
        let generation = Generation::read(message).unwrap();
        assert!(generation.process_id.is_some() && generation.process_name.is_some());
        return format!(
            "{head} generation {} {:02x?}",
            generation.id,
            &message.payload[..4]
        );
    }
    if is_exact() && message.kind == NEW_SET {
        // What it is kept in has no name where the kernel has no symbols, but an address.
        let (header, attrs) = message.payload.split_at(4);
        let all = Attrs::new(attrs).map(Result::unwrap);
        let told = all.filter(|attr| attr.kind != SET_TYPE);
        let told = told.map(|attr| format!("{}: {}", attr.kind, bytes(attr.payload)));
        return format!("{head} {} {:?}", bytes(header), told.collect::<Vec<_>>());
    }
    if is_exact() {
        return format!("{head} {}", bytes(message.payload));
    }
    format!("{head} {}", content(message.kind, message.payload))
}

/// Bytes, readable where they are text.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    bytes
        .chunks(4)
        .map(|word| match word {
            [.., b' '..=b'~', 0] | [b' '..=b'~', ..] => word
                .iter()
                .map(|byte| byte.escape_ascii().to_string())
                .collect(),
            word => {
                let number = |number: u32, byte: &u8| (number << 8) | u32::from(*byte);
                let width = 2 * word.len();
                format!("{:0width$x}", word.iter().fold(0_u32, number))
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}
