//! Rules as a kernel dumped them after iptables-nft 1.8.9 wrote them (`data/capture.py`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use netlink_batch::{AttrWriter, Attrs};
use nfnetlink::Family;
use nfnetlink::ipset::{SetIndex, SetNames};
use nfnetlink::xtables::{EncodeOptions, Match, Rule, Target};

/// One captured rule: family, the text behind `-A CHAIN ` and the message's attributes.
struct Capture {
    family: Family,
    text: &'static str,
    attributes: Vec<u8>,
}

impl Capture {
    fn decode(&self) -> Rule {
        Rule::decode(self.family, Attrs::new(&self.attributes))
            .unwrap_or_else(|error| panic!("{}: {error}", self.text))
    }

    fn decode_with(&self, sets: &SetNames) -> Rule {
        let name = |index| sets.name(index).map(str::to_owned);
        Rule::decode_with(self.family, Attrs::new(&self.attributes), name)
            .unwrap_or_else(|error| panic!("{}: {error}", self.text))
    }
}

fn captures(file: &'static str) -> Vec<Capture> {
    let lines: Vec<_> = file.lines().filter(|line| !line.starts_with('#')).collect();
    let pairs = lines.chunks_exact(2).map(|pair| {
        let [head, hex] = pair else {
            panic!("a rule takes two lines")
        };
        let (family, rest) = head.split_once(' ').unwrap();
        let (_table, rule) = rest.split_once(" -A ").unwrap();
        Capture {
            family: if family == "ip" {
                Family::Ipv4
            } else {
                Family::Ipv6
            },
            text: rule.split_once(' ').map_or("", |(_chain, text)| text),
            attributes: unpack(hex),
        }
    });
    let captures: Vec<_> = pairs.collect();
    assert!(!captures.is_empty());
    captures
}

/// Hex with `(N)` for N zero bytes.
fn unpack(mut hex: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !hex.is_empty() {
        if let Some(rest) = hex.strip_prefix('(') {
            let (count, rest) = rest.split_once(')').unwrap();
            bytes.resize(bytes.len() + count.parse::<usize>().unwrap(), 0);
            hex = rest;
        } else {
            let (byte, rest) = hex.split_at(2);
            bytes.push(u8::from_str_radix(byte, 16).unwrap());
            hex = rest;
        }
    }
    bytes
}

fn decodes_to_its_text(file: &'static str) {
    decodes_with_sets(file, "");
}

/// `sets` is what `ipset` restored before the rules: it gives sets their numbers in order.
fn decodes_with_sets(file: &'static str, sets: &str) {
    let sets = numbered(sets);
    for capture in captures(file) {
        let parsed = Rule::parse(capture.family, capture.text).expect(capture.text);
        let decoded = capture.decode_with(&sets);
        assert_eq!(decoded, parsed, "{}", capture.text);
        assert_eq!(decoded.to_string(), capture.text);
    }
}

fn numbered(sets: &str) -> SetNames {
    let mut names = SetNames::new();
    let creates = sets.lines().filter_map(|line| line.strip_prefix("create "));
    for (index, create) in (0..).zip(creates) {
        names.insert(create.split(' ').next().unwrap(), SetIndex(index));
    }
    names
}

/// Name, revision and data of the xt matches among a rule's attributes.
fn xt_matches(attributes: &[u8]) -> Vec<[Vec<u8>; 3]> {
    let list = Attrs::new(attributes).map(Result::unwrap);
    let expressions = list
        .filter(|attr| attr.kind == 4)
        .flat_map(|attr| attr.nested());
    let parts = |attrs: Attrs<'_>| -> Vec<Vec<u8>> {
        attrs.map(|attr| attr.unwrap().payload.to_vec()).collect()
    };
    expressions
        .map(|expression| parts(expression.unwrap().nested()))
        .filter(|expression| expression[0] == b"match\0")
        .map(|expression| parts(Attrs::new(&expression[1])).try_into().unwrap())
        .collect()
}

#[test]
fn rules_of_a_kube_proxy_decode_to_their_text() {
    decodes_to_its_text(include_str!("data/golden-1.8.9.capture"));
}

#[test]
fn every_option_decodes_to_its_text() {
    decodes_to_its_text(include_str!("data/variants-1.8.9.capture"));
}

#[test]
fn ranges_of_source_ports_decode_to_their_text() {
    decodes_to_its_text(include_str!("data/source-ports-1.8.9.capture"));
}

const ASK_SETS: &str = include_str!("data/ask.sets");

#[test]
fn rules_on_sets_bridges_and_ipvs_decode_to_their_text() {
    decodes_with_sets(include_str!("data/ask-1.8.9.capture"), ASK_SETS);
    decodes_with_sets(
        include_str!("data/ipvs/golden-1.8.9.capture"),
        include_str!("data/ipvs/ipset-save.txt"),
    );
}

#[test]
fn every_version_of_iptables_matches_alike_on_sets_bridges_and_ipvs() {
    let sets = numbered(ASK_SETS);
    let of_1_8_9 = captures(include_str!("data/ask-1.8.9.capture"));
    for other in [
        include_str!("data/ask-1.8.7.capture"),
        include_str!("data/ask-1.8.11.capture"),
    ] {
        let other = captures(other);
        assert_eq!(other.len(), of_1_8_9.len());
        for (one, other) in of_1_8_9.iter().zip(&other) {
            let (rule, same) = (one.decode_with(&sets), other.decode_with(&sets));
            assert_eq!(same, rule, "{}", one.text);
        }
    }
}

#[test]
fn rules_on_sets_bridges_and_ipvs_are_written_as_iptables_writes_them() {
    let sets = numbered(ASK_SETS);
    let options = EncodeOptions::default().with_sets(&sets);
    for capture in captures(include_str!("data/ask-1.8.9.capture")) {
        let mut bytes = Vec::new();
        let rule = Rule::parse(capture.family, capture.text).unwrap();
        rule.encode_with(&mut AttrWriter::new(&mut bytes), options);
        let expected = xt_matches(&capture.attributes);
        assert!(!expected.is_empty());
        assert_eq!(xt_matches(&bytes), expected, "{}", capture.text);
    }
}

#[test]
fn what_is_more_than_membership_is_no_rule_of_ours() {
    let sets = numbered(ASK_SETS);
    let captures = captures(include_str!("data/ask-foreign-1.8.9.capture"));
    assert_eq!(captures.len(), 4);
    for capture in captures {
        let decoded = capture.decode_with(&sets);
        assert!(
            matches!(&*decoded.matches, [Match::Other { .. }]),
            "{}: {decoded:?}",
            capture.text
        );
    }
}

#[test]
fn a_set_without_a_known_name_is_kept_as_it_is() {
    let capture = &captures(include_str!("data/ask-1.8.9.capture"))[0];
    let decoded = capture.decode();
    assert_eq!(decoded.to_string(), "-m set [revision 4, 48 bytes]");
    assert_eq!(decoded.sets().count(), 0);
    let mut bytes = Vec::new();
    decoded.encode(&mut AttrWriter::new(&mut bytes));
    assert_eq!(xt_matches(&bytes), xt_matches(&capture.attributes));

    let named = capture.decode_with(&numbered(ASK_SETS));
    assert_eq!(named.sets().collect::<Vec<_>>(), ["A"]);
    let error = SetNames::new().require(named.sets()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no IP set A, which a rule matches on; create the set first"
    );
    assert_eq!(numbered(ASK_SETS).require(named.sets()), Ok(()));
}

/// What iptables-save 1.8.9 shows where 1.8.7 wrote another rule: it keeps two `-m tcp` apart,
/// keeps `! --sport 0:1024`, and drops `! -i +`.
const NOT_IN_1_8_7: [&str; 4] = [
    r#"-p udp -m udp --sport 7 ! --dport 1000:2000 -m comment --comment "a\"b\\c\'d e" -j DROP"#,
    "-p tcp -m tcp --sport 1025:65535 ! --dport 1024:65535",
    "! -i + -o abcdefghijklmno",
    "-p tcp -m tcp --sport 9 --dport 80 -m tcp -m comment --comment x",
];

/// The same input to the versions that each brought another encoding.
#[test]
fn every_version_of_iptables_decodes_to_the_same_rules() {
    let of_1_8_7 = captures(include_str!("data/variants-1.8.7.capture"));
    let of_1_8_9 = captures(include_str!("data/variants-1.8.9.capture"));
    let of_1_8_11 = captures(include_str!("data/variants-1.8.11.capture"));
    assert_eq!(
        (of_1_8_7.len(), of_1_8_11.len()),
        (of_1_8_9.len(), of_1_8_9.len())
    );
    for ((old, one), new) in of_1_8_7.iter().zip(&of_1_8_9).zip(&of_1_8_11) {
        assert_eq!(new.decode(), one.decode(), "{}", one.text);
        assert_eq!(
            old.decode() != one.decode(),
            NOT_IN_1_8_7.contains(&one.text),
            "{}",
            one.text
        );
    }
}

#[test]
fn foreign_rules_decode_to_what_no_rule_of_ours_equals() {
    for capture in captures(include_str!("data/foreign-1.8.9.capture")) {
        let decoded = capture.decode();
        let opaque = |one: &Match| matches!(one, Match::Other { .. } | Match::Native { .. });
        assert!(
            decoded.matches.iter().any(opaque) || matches!(decoded.target, Target::Other { .. }),
            "{}: {decoded:?}",
            capture.text
        );
        let printed = decoded.to_string();
        assert!(printed.contains(" bytes]"), "{printed}");
        assert!(Rule::parse(capture.family, &printed).is_err(), "{printed}");
        assert!(
            Rule::parse(capture.family, capture.text).is_err(),
            "{}",
            capture.text
        );
    }
}

#[test]
fn foreign_rules_are_printed_with_what_is_known_of_them() {
    let capture = |text: &str| {
        let all = captures(include_str!("data/foreign-1.8.9.capture"));
        all.into_iter()
            .find(|one| one.text == text)
            .expect(text)
            .decode()
            .to_string()
    };
    assert_eq!(
        capture("-p tcp -m multiport --dports 1,2"),
        "-p tcp -m multiport [revision 1, 48 bytes]"
    );
    assert_eq!(
        capture("-p tcp -m tcp --tcp-flags SYN,ACK SYN -j ACCEPT"),
        "-p tcp [nft payload, 32 bytes] [nft bitwise, 56 bytes] [nft cmp, 28 bytes] -j ACCEPT"
    );
    assert_eq!(
        capture("-m limit --limit 5/min -j LOG --log-prefix \"a b\""),
        "[nft limit, 48 bytes] -j LOG [revision 0, 32 bytes]"
    );
}
