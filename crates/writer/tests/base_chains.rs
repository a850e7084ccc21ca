//! Another program's base chain that has a name of ours.

#![allow(clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use nfnetlink::Family;
use nfnetlink::xtables::Rule;
use viprule_dataplane::netfilter::{Key, Kind, Object, Piece, Table};
use viprule_dataplane::ownership::Chain;
use viprule_dataplane::{Scope, State, diff};
use viprule_testkit::Namespace;
use viprule_testkit::netns::require_privileges;
use viprule_writer::netfilter::NftWriter;
use viprule_writer::{ApplyError, Tag, Writer as _};

#[test]
fn a_refused_jump_names_the_base_chain_and_what_to_do() {
    require_privileges().unwrap();
    let namespace = Namespace::new("base").unwrap();
    let base = "{ type nat hook prerouting priority 7 ; }";
    for words in [
        &["add", "table", "ip", "nat"][..],
        &["add", "chain", "ip", "nat", "KUBE-SERVICES", base],
        &["add", "chain", "ip", "nat", "OTHER", base],
    ] {
        namespace.command("nft").args(words).text().unwrap();
    }
    let opened = namespace.run(|| NftWriter::open(&[Family::Ipv4]));
    let mut writer = opened.unwrap().unwrap();
    let seen: State<Key, Object> = writer.observe(&Scope::Everything).unwrap();
    assert!(seen.is_empty(), "not ours, so not ours to remove: {seen:?}");
    let key = Key::Chain {
        table: Table {
            family: Family::Ipv4,
            kind: Kind::Nat,
        },
        chain: Chain::Postrouting,
    };
    let jump = Rule::parse(Family::Ipv4, "-j KUBE-SERVICES").unwrap();
    let new = (key, Object::Rules(vec![jump]));
    let wanted: State<Key, Object> = seen.iter().cloned().chain([new]).collect();
    writer.stage(Tag(1), &diff(&seen, &wanted)).unwrap();
    let Err(ApplyError::Refused { refusals, .. }) = writer.commit() else {
        panic!("no rule can jump to a base chain");
    };
    let reason = &refusals[0].reason;
    for part in [
        "chain KUBE-SERVICES of table ip nat is a base chain of another program",
        "(type nat, hook prerouting, priority 7)",
        "nft rename chain ip nat KUBE-SERVICES",
    ] {
        assert!(reason.contains(part), "{reason}");
    }
    assert!(!reason.contains("OTHER"), "{reason}");
}

#[test]
fn a_base_chain_with_one_of_our_names_is_not_seen_whoever_looks() {
    require_privileges().unwrap();
    let namespace = Namespace::new("based").unwrap();
    let opened = namespace.run(|| NftWriter::open(&[Family::Ipv4]));
    let mut writer = opened.unwrap().unwrap();
    let table = Table {
        family: Family::Ipv4,
        kind: Kind::Nat,
    };
    let parts = [Piece::Owned(table, Chain::Services)].into();
    let scope = Scope::Pieces(parts);
    let mut looks = |base: &str| {
        for words in [
            &["add", "table", "ip", "nat"][..],
            &["add", "chain", "ip", "nat", "KUBE-SERVICES", base],
        ] {
            namespace.command("nft").args(words).text().unwrap();
        }
        let seen = [&Scope::Everything, &scope].map(|scope| {
            let seen: State<Key, Object> = writer.observe(scope).unwrap();
            seen.len()
        });
        let delete = ["delete", "table", "ip", "nat"];
        namespace.command("nft").args(delete).text().unwrap();
        seen
    };
    assert_eq!(looks("{ type nat hook prerouting priority 7 ; }"), [0, 0]);
    assert_eq!(looks("{ }"), [1, 1], "a chain like ours");
}
