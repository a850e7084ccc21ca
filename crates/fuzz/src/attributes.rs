//! Netlink's messages and attributes, whatever they are about.

use netlink_batch::{AttrWriter, Attrs, Message, Messages, Verdict, message};

/// Nests that are looked into.
const DEPTH: u8 = 4;

/// A datagram: its messages read back as the same once they were written.
pub(crate) fn messages(bytes: &[u8]) {
    let mut written = Vec::new();
    let mut found = Vec::new();
    for message in Messages::new(bytes).map_while(Result::ok) {
        let _ = Verdict::read(&message).map(|verdict| format!("{verdict:?}"));
        if let Ok((_, attrs)) = message.split::<4>() {
            walk(attrs, DEPTH);
        }
        // What is written is padded, and the rest of a header is the kernel's.
        let mut padded = message.payload.to_vec();
        padded.resize(padded.len().next_multiple_of(4), 0);
        let Message {
            kind, flags, seq, ..
        } = message;
        message::write(&mut written, kind, flags, seq, &padded, |_| {});
        found.push((kind, flags, seq, padded));
    }
    let again = Messages::new(&written).map_while(Result::ok);
    let again: Vec<_> = again
        .map(|one| (one.kind, one.flags, one.seq, one.payload.to_vec()))
        .collect();
    assert_eq!(again, found);
}

/// A list of attributes: those that are read read back as the same once they were written.
pub(crate) fn attributes(bytes: &[u8]) {
    walk(Attrs::new(bytes), DEPTH);
    let found: Vec<_> = Attrs::new(bytes).map_while(Result::ok).collect();
    let mut written = Vec::new();
    let mut writer = AttrWriter::new(&mut written);
    for attr in &found {
        writer.bytes(attr.kind, attr.payload);
    }
    let again = Attrs::new(&written).map(|attr| attr.map(|attr| (attr.kind, attr.payload)));
    let found: Vec<_> = found
        .iter()
        .map(|attr| Ok((attr.kind, attr.payload)))
        .collect();
    assert_eq!(again.collect::<Vec<_>>(), found);
}

fn walk(attrs: Attrs<'_>, depth: u8) {
    for attr in attrs.map_while(Result::ok) {
        let numbers = (attr.u8(), attr.u16_be(), attr.u32_be(), attr.u64_be());
        let _ = (numbers, attr.str());
        if depth > 0 {
            walk(attr.nested(), depth - 1);
        }
    }
}
