//! Nothing that arrives makes a reader panic.

use ipvs_netlink::text::{self, Line};
use ipvs_netlink::{DestinationEntry, Family, Info, ServerEntry, Timeouts, proc};
use netlink_batch::Messages;
use proptest::prelude::*;

const CAPTURES: [&str; 4] = [
    include_str!("data/servers.hex"),
    include_str!("data/destinations.hex"),
    include_str!("data/config.hex"),
    include_str!("data/info.hex"),
];
const TEXTS: [&str; 3] = [
    include_str!("data/ipvsadm-Sn.txt"),
    include_str!("data/every-option.txt"),
    include_str!("data/every-option.proc"),
];

fn capture(text: &str) -> Vec<u8> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .filter_map(|byte| u8::from_str_radix(byte, 16).ok())
        .collect()
}

/// What is read can also be printed.
fn read_all(bytes: &[u8]) {
    for message in Messages::new(bytes).map_while(Result::ok) {
        if let Ok(Some(ServerEntry { id, server, .. })) = ServerEntry::read(&message) {
            let _ = Line::Server { id, server }.to_string().parse::<Line>();
        }
        for family in Family::ALL {
            if let Ok(Some(entry)) = DestinationEntry::read(&message, family) {
                let _ = (entry.id.to_string(), entry.is_idle());
            }
        }
        let _ = (Timeouts::read(&message), Info::read(&message));
    }
}

/// What is read prints as something that reads as the same.
fn read_text(text: &str) {
    for line in text::parse(text).map_while(Result::ok) {
        let printed = line.to_string();
        assert_eq!(printed.parse::<Line>(), Ok(line), "{printed}");
    }
    for line in text::parse(text).filter_map(Result::err) {
        let _ = line.to_string();
    }
    for line in proc::lines(text) {
        let _ = line.map_err(|error| error.to_string());
    }
    let _ = proc::read_from(text.as_bytes(), |_| {});
}

/// A capture with some bytes changed, and cut off somewhere.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..24);
    let capture = prop::sample::select(CAPTURES.map(capture).to_vec());
    (
        capture,
        changes,
        any::<prop::sample::Index>(),
        any::<bool>(),
    )
        .prop_map(|(mut bytes, changes, end, cut)| {
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if cut {
                bytes.truncate(end.index(bytes.len()));
            }
            bytes
        })
}

/// Attributes with lengths that are right, short or long, nested up to three deep.
fn attributes() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop::collection::vec(any::<u8>(), 0..20);
    leaf.prop_recursive(3, 40, 6, |inner| {
        prop::collection::vec((0u16..17, -2i32..3, inner), 0..6).prop_map(|list| {
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

/// Words that lines are made of, in any order.
fn words() -> impl Strategy<Value = String> {
    let known: Vec<&str> = TEXTS
        .iter()
        .flat_map(|text| text.split_ascii_whitespace())
        .collect();
    let word = prop_oneof![
        9 => prop::sample::select(known).prop_map(str::to_owned),
        1 => "\\PC{0,12}",
    ];
    prop::collection::vec(word, 0..14).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_all(&bytes);
    }

    #[test]
    fn captures_that_were_changed(bytes in mutated()) {
        read_all(&bytes);
    }

    #[test]
    fn plausible_messages(command in 0u8..18, attributes in attributes()) {
        let mut bytes = Vec::new();
        let len = u32::try_from(20 + attributes.len()).unwrap_or(0);
        bytes.extend(len.to_ne_bytes());
        bytes.extend([0x1c, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([command, 1, 0, 0]);
        bytes.extend(attributes);
        read_all(&bytes);
    }

    #[test]
    fn random_text(text in "\\PC{0,80}(\n\\PC{0,80}){0,4}") {
        read_text(&text);
    }

    #[test]
    fn plausible_lines(
        start in prop::sample::select(vec!["-A -t ", "-a -f 7 ", "", "\n\n\nTCP  ", "\n\n\n  -> "]),
        words in words(),
    ) {
        read_text(&format!("{start}{words}"));
    }

    #[test]
    fn texts_that_were_changed(
        text in prop::sample::select(TEXTS.to_vec()),
        at in any::<prop::sample::Index>(),
        with in "\\PC{0,3}",
        skip in 0usize..4,
    ) {
        let at = at.index(text.len());
        let end = (at + skip).min(text.len());
        if text.is_char_boundary(at) && text.is_char_boundary(end) {
            read_text(&format!("{}{with}{}", &text[..at], &text[end..]));
        }
    }
}
