//! Bytes against what nft and the kernel sent; `tests/data/native` has them with the texts.

mod captures;

use netlink_batch::{Message, Messages};

const SETS: &str = include_str!("../../../../tests/data/native/sets.nft");
const SETS_SENT: &str = include_str!("../../../../tests/data/native/sets-sent.hex");
const SETS_TOLD: &str = include_str!("../../../../tests/data/native/sets-told.hex");
const STATEMENTS: &str = include_str!("../../../../tests/data/native/statements.nft");
const STATEMENTS_SENT: &str = include_str!("../../../../tests/data/native/statements-sent.hex");
const STATEMENTS_TOLD: &str = include_str!("../../../../tests/data/native/statements-told.hex");

/// The messages of a capture, which has one in each line.
fn capture(text: &str) -> Vec<Vec<u8>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    lines
        .map(|line| line.as_bytes().chunks(2).map(byte).collect())
        .collect()
}

fn message(bytes: &[u8]) -> Message<'_> {
    Messages::new(bytes).next().unwrap().unwrap()
}
