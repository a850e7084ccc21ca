//! Bytes against what ipset and the kernel sent; `captures/` names the commands.

use netlink_batch::{AttrWriter, Attrs, Messages, Verdict};

use super::change::{line, put};
use super::command::put_spec;
use super::{DATA, Entry, Header, Kind, Listing, Spec, VERSION};
use crate::Family::{Ipv4, Ipv6};

fn capture(text: &str) -> Vec<u8> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

/// The attributes of a captured request, in the version of the protocol that we speak.
fn attributes(text: &str) -> Vec<u8> {
    let mut bytes = capture(text).split_off(20);
    assert_eq!(bytes[..5], [5, 0, 1, 0, 7]);
    bytes[4] = VERSION;
    bytes
}

fn written(fill: impl FnOnce(&mut AttrWriter<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    fill(&mut AttrWriter::new(&mut bytes));
    bytes
}

fn entry(kind: Kind, text: &str) -> Entry {
    Entry::parse(kind, None, text).unwrap()
}

const HASH: Spec = Spec::Hash {
    kind: Kind::HashIpPort,
    family: Ipv4,
    max_elements: 65_536,
};

#[test]
fn sets_are_made_as_ipset_makes_them() {
    let hash = written(|attrs| put_spec(attrs, "s4", HASH, 7));
    assert_eq!(hash, attributes(include_str!("captures/create-hash.hex")));
    let spec = Spec::Ports {
        first: 10,
        last: 20,
    };
    let bitmap = written(|attrs| put_spec(attrs, "q", spec, 3));
    assert_eq!(
        bitmap,
        attributes(include_str!("captures/create-bitmap.hex"))
    );
}

#[test]
fn elements_are_added_as_ipset_restore_adds_them() {
    let entries = ["10.0.0.1,tcp:80", "10.0.0.2,tcp:80", "10.0.0.3,udp:53"]
        .map(|text| entry(Kind::HashIpPort, text));
    let bytes = written(|attrs| put(attrs, "s4", entries.iter()));
    assert_eq!(bytes, attributes(include_str!("captures/restore.hex")));
}

/// The one element of an `ipset add`, as attributes.
fn element(text: &str) -> Vec<u8> {
    let bytes = attributes(text);
    let data = Attrs::new(&bytes).map(Result::unwrap);
    let data = data.into_iter().find(|attr| attr.kind == DATA);
    data.unwrap().payload.to_vec()
}

#[test]
fn elements_of_both_families_look_like_those_of_ipset() {
    for (kind, text, captured) in [
        (
            Kind::HashIpPort,
            "10.1.0.70,tcp:80",
            element(include_str!("captures/add-v4.hex")),
        ),
        (
            Kind::HashIpPortNet,
            "fd00:10:1::80,sctp:132,fd00:1::/48",
            element(include_str!("captures/add-v6.hex")),
        ),
    ] {
        let entry = entry(kind, text);
        let bytes = written(|attrs| entry.put(attrs, 0));
        assert_eq!(bytes, captured, "{text}");
        assert_eq!(bytes.len(), entry.wire_len(), "{text}");
        assert_eq!(Entry::read(kind, Attrs::new(&bytes)), Ok(Some(entry)));
    }
}

#[test]
fn the_length_of_an_element_is_known_before_it_is_written() {
    for (kind, text) in [
        (Kind::BitmapPort, "80"),
        (Kind::HashIp, "10.0.0.1"),
        (Kind::HashIp, "fd00::1"),
        (Kind::HashNet, "10.0.0.0/8"),
        (Kind::HashNet, "fd00::/8"),
        (Kind::HashIpPort, "fd00::1,tcp:80"),
        (Kind::HashIpPortIp, "10.0.0.1,tcp:80,10.0.0.2"),
        (Kind::HashIpPortIp, "fd00::1,tcp:80,fd00::2"),
        (Kind::HashIpPortNet, "10.0.0.1,tcp:80,10.0.0.0/8"),
    ] {
        let entry = entry(kind, text);
        let bytes = written(|attrs| entry.put(attrs, 7));
        assert_eq!(bytes.len(), entry.wire_len(), "{text}");
    }
}

fn listing(text: &str) -> Listing {
    let bytes = capture(text);
    let mut listing = None;
    for message in Messages::new(&bytes) {
        Listing::take(&mut listing, &message.unwrap()).unwrap();
    }
    listing.unwrap()
}

#[test]
fn listings_are_read() {
    let v4 = listing(include_str!("captures/list-v4.hex"));
    let header = Header {
        spec: Some(HASH),
        plain: true,
        revision: 7,
        hash_size: 1024,
        elements: Some(1),
        references: 0,
        memory: 264,
    };
    assert_eq!((&*v4.kind, v4.header), ("hash:ip,port", header));
    assert_eq!(v4.entries, [entry(Kind::HashIpPort, "10.1.0.70,tcp:80")]);

    let v6 = listing(include_str!("captures/list-v6.hex"));
    assert_eq!(
        v6.header.spec,
        Some(Spec::Hash {
            kind: Kind::HashIpPortNet,
            family: Ipv6,
            max_elements: 65_536
        })
    );
    let text = "fd00:10:1::80,sctp:132,fd00:1::/48";
    assert_eq!(v6.entries, [entry(Kind::HashIpPortNet, text)]);
    assert_eq!((v6.unreadable, v6.header.memory), (0, 1360));
}

#[test]
fn the_line_of_a_refused_element_is_found() {
    let bytes = capture(include_str!("captures/refused-line.hex"));
    let message = Messages::new(&bytes).next().unwrap().unwrap();
    let verdict = Verdict::read(&message).unwrap();
    assert_eq!(verdict.errno.unwrap().raw(), 4103);
    assert_eq!(line(verdict.judged).unwrap(), Some(2));
    // A message that was refused as a whole does not come back.
    assert_eq!(line(&[]).unwrap(), None);
}
