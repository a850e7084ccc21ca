//! Properties of sets' listings and texts: nothing is lost, and no bytes make them panic.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_batch::{Attrs, Messages, message};
use nfnetlink::Family;
use nfnetlink::ipset::{Entry, IpPort, Kind, Listing, Saved, Set, Spec, parse_save};
use proptest::collection::vec;
use proptest::prelude::*;

fn address(family: Family) -> BoxedStrategy<IpAddr> {
    match family {
        Family::Ipv4 => any::<[u8; 4]>().prop_map(IpAddr::from).boxed(),
        Family::Ipv6 => prop_oneof![any::<u128>(), any::<u128>().prop_map(|at| at >> 90)]
            .prop_map(|at| IpAddr::from(at.to_be_bytes()))
            .boxed(),
    }
}

fn net(family: Family) -> impl Strategy<Value = IpNet> {
    (address(family), 1..=128_u8).prop_map(|(address, prefix)| {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        IpNet::new(address, prefix.min(longest)).unwrap().trunc()
    })
}

fn ip_port(family: Family) -> impl Strategy<Value = IpPort> {
    // ICMP has types in place of ports.
    let protocol = prop_oneof![Just(6), Just(17), Just(132), Just(136), 140..=255_u8];
    (address(family), protocol, any::<u16>()).prop_map(|(address, protocol, port)| IpPort {
        address,
        protocol,
        port,
    })
}

fn entry(kind: Kind, family: Family) -> BoxedStrategy<Entry> {
    let ip_port = ip_port(family);
    match kind {
        Kind::BitmapPort => any::<u16>().prop_map(Entry::Port).boxed(),
        Kind::HashIp => address(family).prop_map(Entry::Ip).boxed(),
        Kind::HashNet => net(family).prop_map(Entry::Net).boxed(),
        Kind::HashIpPort => ip_port.prop_map(Entry::IpPort).boxed(),
        Kind::HashIpPortIp => (ip_port, address(family))
            .prop_map(|(first, ip)| Entry::IpPortIp(first, ip))
            .boxed(),
        Kind::HashIpPortNet => (ip_port, net(family))
            .prop_map(|(first, net)| Entry::IpPortNet(first, net))
            .boxed(),
        other => panic!("no elements of {other}"),
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    proptest::sample::select(Kind::ALL)
}

fn family() -> impl Strategy<Value = Family> {
    proptest::sample::select(&Family::ALL[..])
}

fn saved() -> impl Strategy<Value = Saved> {
    let spec = (kind(), family(), any::<u32>(), any::<u16>(), any::<u16>()).prop_map(
        |(kind, family, max_elements, a, b)| match kind {
            Kind::BitmapPort => Spec::Ports {
                first: a.min(b),
                last: a.max(b),
            },
            _ => Spec::Hash {
                kind,
                family,
                max_elements,
            },
        },
    );
    ("[A-Za-z][A-Za-z0-9:_-]{0,30}", spec).prop_flat_map(|(name, spec)| {
        let family = spec.family().unwrap_or(Family::Ipv4);
        vec(entry(spec.kind(), family), 0..20).prop_map(move |entries| Saved {
            name: name.clone(),
            spec,
            entries: entries.into_iter().collect(),
        })
    })
}

/// A message of a listing: type, flags and attributes are told apart by the kernel's numbers.
fn list_message(attrs: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    message::write(&mut bytes, 0x0607, 2, 1, &[2, 0, 0, 0], |writer| {
        for (kind, payload) in attrs {
            writer.bytes(*kind, payload);
        }
    });
    bytes
}

fn read_all(bytes: &[u8]) -> Option<Listing> {
    let mut listing = None;
    for message in Messages::new(bytes).map_while(Result::ok) {
        let _ = Set::read(&message);
        let _ = Listing::take(&mut listing, &message);
    }
    listing
}

/// A real listing of one set: `captures/` tells of what.
fn captured() -> Vec<u8> {
    include_str!("../src/ipset/captures/list-v6.hex")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn elements_read_back_from_their_text(
        (kind, family, entry) in (kind(), family())
            .prop_flat_map(|(kind, family)| (Just(kind), Just(family), entry(kind, family))),
    ) {
        let text = entry.to_string();
        prop_assert_eq!(Entry::parse(kind, Some(family), &text), Ok(entry), "{}", text);
        prop_assert_eq!(entry.kind(), kind);
    }

    #[test]
    fn saved_sets_read_back(set in saved()) {
        prop_assert_eq!(parse_save(&set.to_string()), Ok(vec![set]));
    }

    #[test]
    fn random_lines_never_panic(
        words in vec(proptest::sample::select(&[
            "create", "add", "a", "b", "hash:ip", "hash:ip,port", "hash:net", "bitmap:port",
            "list:set", "family", "inet", "inet6", "maxelem", "7", "range", "1-2", "2-1",
            "bucketsize", "\n", "10.0.0.1", "10.0.0.1,tcp:80", "fd00::/8", "nomatch", "#",
        ][..]), 0..24),
    ) {
        if let Ok(sets) = parse_save(&words.join(" ")) {
            let text: String = sets.iter().map(Saved::to_string).collect();
            prop_assert_eq!(parse_save(&text), Ok(sets));
        }
    }

    #[test]
    fn random_text_is_no_element_or_reads_back(kind in kind(), text in "[0-9a-f.:/,tcpud]{0,24}") {
        for family in [None, Some(Family::Ipv4), Some(Family::Ipv6)] {
            if let Ok(entry) = Entry::parse(kind, family, &text) {
                prop_assert_eq!(Entry::parse(kind, family, &entry.to_string()), Ok(entry));
            }
        }
    }

    #[test]
    fn damaged_listings_never_panic(
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = captured();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read_all(&bytes);
    }

    #[test]
    fn random_listings_never_panic(
        kind in proptest::sample::select(&[
            "hash:ip", "hash:net", "hash:ip,port,net", "bitmap:port", "list:set",
        ][..]),
        attrs in vec((0..12_u16, vec(any::<u8>(), 0..40)), 0..8),
        bytes in vec(any::<u8>(), 0..200),
    ) {
        let mut all = vec![(2, b"s\0".to_vec()), (3, [kind.as_bytes(), b"\0"].concat())];
        all.extend(attrs);
        if let Some(listing) = read_all(&list_message(&all)) {
            let entries: BTreeSet<_> = listing.entries.iter().map(Entry::to_string).collect();
            prop_assert!(entries.len() <= listing.entries.len());
        }
        read_all(&bytes);
        for &kind in Kind::ALL {
            let _ = Entry::read(kind, Attrs::new(&bytes));
        }
    }
}
