//! Nothing that arrives makes a reader panic.

use netlink_batch::{Attrs, Messages, Verdict};
use proptest::prelude::*;

/// Random bytes whose length fields are plausible often enough to get past the first check.
fn datagram() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(
        (
            0u32..80,
            0u16..5,
            any::<u16>(),
            prop::collection::vec(any::<u8>(), 0..80),
        ),
        0..5,
    )
    .prop_map(|messages| {
        let mut bytes = Vec::new();
        for (len, kind, flags, rest) in messages {
            bytes.extend(len.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(flags.to_ne_bytes());
            bytes.extend(rest);
        }
        bytes
    })
}

fn walk(attrs: Attrs<'_>, depth: u8) {
    for attr in attrs.map_while(Result::ok) {
        let _ = (
            attr.u8(),
            attr.u16_be(),
            attr.u32_be(),
            attr.u64_be(),
            attr.str(),
        );
        if depth > 0 {
            walk(attr.nested(), depth - 1);
        }
    }
}

proptest! {
    #[test]
    fn messages_never_panic(bytes in datagram()) {
        for message in Messages::new(&bytes).map_while(Result::ok) {
            let _ = Verdict::read(&message);
            if let Ok((_, attrs)) = message.split::<4>() {
                walk(attrs, 3);
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        walk(Attrs::new(&bytes), 3);
        for message in Messages::new(&bytes).map_while(Result::ok) {
            let _ = Verdict::read(&message);
        }
    }

    #[test]
    fn every_cut_of_a_good_message_is_an_error_or_shorter(cut in 0usize..64) {
        let mut bytes = Vec::new();
        netlink_batch::message::write(&mut bytes, 0x0a06, 0, 1, &[2, 0, 0, 0], |attrs| {
            attrs.nest(4, |list| list.str(1, "counter"));
            attrs.u64_be(3, 7);
        });
        let cut = cut.min(bytes.len());
        let whole = Messages::new(&bytes[..cut]).flatten().count();
        prop_assert_eq!(whole, usize::from(cut == bytes.len()));
    }
}
