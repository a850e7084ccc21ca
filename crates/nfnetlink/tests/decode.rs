//! Nothing that arrives makes a reader panic.

use netlink_batch::Messages;
use nfnetlink::Family;
use nfnetlink::nftables::native::{DataType, ListedSet, Rule, Set, SetFlags, elements_of};
use nfnetlink::nftables::{Chain, Event, Generation, RawRule, Subject, Table, hint};
use proptest::prelude::*;

fn read_all(bytes: &[u8], offset: Option<u32>) {
    for message in Messages::new(bytes).map_while(Result::ok) {
        let _ = (
            Table::read(&message),
            Chain::read(&message),
            Generation::read(&message),
        );
        let _ = (
            RawRule::read(&message).map(|rule| rule.expressions.count()),
            Event::read(&message),
        );
        for family in Family::ALL {
            let rule = RawRule::read(&message).map(|raw| Rule::read(family, &raw));
            let _ = rule.map(|rule| rule.map(|rule| rule.text(family).to_string()));
            let _ = ListedSet::read(family, &message);
        }
        for flags in [SetFlags::default(), SetFlags::INTERVAL] {
            let address = [DataType::Ipv4Addr];
            let _ = elements_of(&Set::of_types("s", address).with_flags(flags), &message);
        }
        let subject = Subject::of(&message, offset);
        let _ = (
            subject.to_string(),
            hint(&subject, netlink_batch::Errno::NOENT),
        );
    }
}

/// Attributes with lengths that are right, short or long, nested up to three deep.
fn attributes() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop::collection::vec(any::<u8>(), 0..12);
    leaf.prop_recursive(3, 40, 5, |inner| {
        prop::collection::vec((0u16..12, -2i32..3, inner), 0..5).prop_map(|list| {
            let mut bytes = Vec::new();
            for (kind, error, payload) in list {
                let len = i32::try_from(payload.len()).unwrap_or(0) + 4;
                let len = if error.abs() == 2 { len + error } else { len };
                bytes.extend(u16::try_from(len).unwrap_or(0).to_ne_bytes());
                bytes.extend(kind.to_ne_bytes());
                bytes.extend(payload);
                bytes.resize(bytes.len().next_multiple_of(4), 0);
            }
            bytes
        })
    })
}

proptest! {
    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), offset: Option<u32>) {
        read_all(&bytes, offset);
    }

    #[test]
    fn plausible_messages(op in 0u16..25, attributes in attributes(), offset in 0u32..200) {
        let mut bytes = Vec::new();
        let len = u32::try_from(20 + attributes.len()).unwrap_or(0);
        bytes.extend(len.to_ne_bytes());
        bytes.extend((0x0a00 | op).to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend([2, 0, 0, 0]);
        bytes.extend(attributes);
        read_all(&bytes, Some(offset));
    }
}
