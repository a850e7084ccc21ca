//! IP sets: messages and the text of `ipset save`.

use std::fmt::Write as _;

use netlink_batch::Messages;
use nfnetlink::ipset::{Entry, Kind, Listing, Set, parse_save};

/// A datagram of answers to a listing: elements that are printed don't read back as others.
pub(crate) fn read(bytes: &[u8]) {
    let mut listing = None;
    for message in Messages::new(bytes).map_while(Result::ok) {
        let _ = Set::read(&message).map(|set| format!("{set:?}"));
        let _ = Listing::take(&mut listing, &message);
    }
    let Some(listing) = listing else {
        return;
    };
    let Some(kind) = Kind::parse(&listing.kind) else {
        assert!(listing.entries.is_empty());
        return;
    };
    for entry in &listing.entries {
        assert_eq!(entry.kind(), kind);
        let text = entry.to_string();
        // A kernel may have what no set of ours takes, such as a whole address family.
        if let Ok(read) = Entry::parse(kind, None, &text) {
            assert_eq!(read, *entry, "{text}");
        }
    }
}

/// The text of `ipset save`.
pub(crate) fn parse(bytes: &[u8]) {
    let saved = match parse_save(&String::from_utf8_lossy(bytes)) {
        Ok(saved) => saved,
        Err(error) => return drop(error.to_string()),
    };
    let mut printed = String::new();
    for set in &saved {
        let _ = write!(printed, "{set}");
    }
    assert_eq!(parse_save(&printed).as_ref(), Ok(&saved), "{printed}");
}
