//! Native objects of `nf_tables`, as messages and as text.

use netlink_batch::{AttrWriter, Attrs, Messages};
use nfnetlink::Family;
use nfnetlink::nftables::native::{
    DataType, Expression, ListedSet, Listing, Rule, Set, SetFlags, SetListing, elements_of,
};
use nfnetlink::nftables::{RawRule, table_of};

/// A datagram of answers, notifications or requests.
pub(crate) fn read(bytes: &[u8]) {
    let mut last = None;
    for message in Messages::new(bytes).map_while(Result::ok) {
        let _ = table_of(&message);
        for family in Family::ALL {
            let raw = RawRule::read(&message);
            if let Ok(rule) = raw.and_then(|raw| Ok(Rule::read(family, &raw)?)) {
                let text = rule.text(family).to_string();
                assert_rewritten(family, &rule, &text);
            }
            if let Ok(listed) = ListedSet::read(family, &message) {
                let listing = listing(family, listed.set.clone());
                let text = listing.to_string();
                // What has no type here is in brackets, and a kernel takes names that nft does not.
                if let Ok(read) = Listing::parse(&text) {
                    assert_eq!(Listing::parse(&read.to_string()), Ok(read), "{text}");
                }
                last = Some(listed.set);
            }
        }
        // Of the set before, as in a dump, and of one of each layout.
        let address = || Set::of_types("s", [DataType::Ipv4Addr]);
        let ranges = Set::of_types("s", [DataType::Ipv4Addr, DataType::InetService]);
        let interval = SetFlags::INTERVAL;
        let others = [
            address(),
            address().with_flags(interval),
            ranges.with_flags(interval),
        ];
        for set in others.into_iter().chain(last.clone()) {
            let Ok(elements) = elements_of(&set, &message) else {
                continue;
            };
            for family in Family::ALL {
                let mut listing = listing(family, set.clone());
                listing.sets[0].elements.clone_from(&elements);
                listing.sort();
                let _ = listing.to_string();
            }
        }
    }
}

/// What `nft list ruleset` prints.
pub(crate) fn parse(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let listings = match Listing::parse_all(&text) {
        Ok(listings) => listings,
        Err(error) => {
            let _ = error.to_string();
            return;
        }
    };
    for listing in listings {
        let again = listing.to_string();
        assert!(Listing::parse(&again).as_ref() == Ok(&listing), "{again}");
        for rule in listing.chains.iter().flat_map(|chain| &chain.rules) {
            let text = rule.text(listing.family).to_string();
            assert_rewritten(listing.family, rule, &text);
        }
    }
}

fn listing(family: Family, set: Set) -> Listing {
    let mut listing = Listing::new(family, "t");
    let elements = Vec::new();
    listing.sets.push(SetListing { set, elements });
    listing
}

/// The rule's expressions are the same once they were written and read, and as statements again.
fn assert_rewritten(family: Family, rule: &Rule, text: &str) {
    let expressions = rule.expressions(family);
    let mut bytes = Vec::new();
    rule.encode(family, &mut AttrWriter::new(&mut bytes));
    if bytes.len() > usize::from(u16::MAX) {
        return;
    }
    let list = Attrs::new(&bytes).next().and_then(Result::ok);
    let read = list.map(|list| Expression::list(list.nested()));
    assert_eq!(read, Some(Ok(expressions.clone())), "{text}");
    let again = Rule::of_expressions(family, expressions.clone());
    assert_eq!(again.expressions(family), expressions, "{text}");
}
