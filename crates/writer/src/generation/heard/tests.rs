//! Notifications one after the other.

use nfnetlink::Family;
use nfnetlink::nftables::Generation;
use viprule_dataplane::netfilter::{Kind, Piece, Table};
use viprule_dataplane::ownership::Chain;

use super::*;

const OWN: u32 = 4711;
const OTHER: u32 = 4712;
const NAT: Table = Table {
    family: Family::Ipv4,
    kind: Kind::Nat,
};
const SERVICES: Piece = Piece::Owned(NAT, Chain::Services);

fn heard() -> Heard<Piece> {
    Heard::new(OWN, 10)
}

fn event(port: u32, change: Change, object: Object<'_>) -> Event<'_> {
    Event {
        port,
        family: Some(Family::Ipv4),
        change,
        object,
    }
}

fn rule<'a>(port: u32, table: &'a str, chain: &'a str) -> Event<'a> {
    let handle = 7;
    let object = Object::Rule {
        table,
        chain,
        handle,
    };
    event(port, Change::New, object)
}

fn generation(port: u32, id: u32, name: &str) -> Event<'_> {
    let generation = Generation {
        id,
        process_id: Some(99),
        process_name: Some(name),
    };
    event(port, Change::New, Object::Generation(generation))
}

fn parts(parts: &[Piece]) -> Scope<Piece> {
    Scope::Pieces(parts.iter().copied().collect())
}

#[test]
fn who_touches_ours_is_named_and_nobody_else() {
    let mut heard = heard();
    heard.take(&rule(OTHER, "foreign", "KUBE-SERVICES"));
    heard.take(&rule(OTHER, "nat", "CNI-1"));
    heard.take(&generation(OTHER, 11, "elsewhere"));
    heard.take(&rule(OTHER, "nat", "KUBE-SERVICES"));
    heard.take(&generation(OTHER, 12, "nft"));
    heard.take(&generation(OTHER, 13, "elsewhere"));
    assert_eq!(heard.generation(), 13);
    let report = heard.report();
    assert_eq!(report.scope, parts(&[SERVICES]));
    assert_eq!(report.by, ["nft (99)"]);
    // It stays to be read, and who did it is told once.
    let report = heard.report();
    assert_eq!(report.scope, parts(&[SERVICES]));
    assert!(report.by.is_empty());
    heard.accept(&BTreeSet::from([SERVICES]));
    assert!(heard.touched().is_empty());
}

#[test]
fn what_we_do_is_nobody_elses_doing() {
    let mut heard = heard();
    heard.take(&rule(OWN, "nat", "KUBE-SERVICES"));
    heard.take(&generation(OWN, 11, "viprule"));
    assert!(heard.touched().is_empty() && heard.report().by.is_empty());
    assert_eq!(heard.generation(), 11);
    // The kernel need not tell of it at all.
    heard.made(12);
    heard.take(&rule(OTHER, "nat", "KUBE-SERVICES"));
    heard.take(&generation(OTHER, 13, "nft"));
    assert_eq!(heard.generation(), 13);
    assert_eq!(heard.report().by, ["nft (99)"]);
}

#[test]
fn a_generation_that_was_left_out_shows() {
    let mut heard = heard();
    assert!(!heard.is_behind(10) && heard.is_behind(11));
    heard.take(&generation(OTHER, 12, "nft"));
    assert!(heard.is_behind(12), "nobody told of 11");
    heard.lose_track(12);
    assert!(!heard.is_behind(12));
    assert_eq!(*heard.touched(), Scope::Everything);
    heard.accept_everything(13);
    assert!(heard.touched().is_empty());
    assert_eq!(heard.generation(), 13);
}

#[test]
fn a_table_that_goes_takes_everything_along() {
    for (name, change, all) in [
        ("nat", Change::Deleted, true),
        ("nat", Change::New, false),
        ("foreign", Change::Deleted, false),
    ] {
        let mut heard = heard();
        heard.take(&event(OTHER, change, Object::Table { table: name }));
        assert_eq!(*heard.touched() == Scope::Everything, all, "{name}");
    }
}

#[test]
fn what_is_touched_while_it_is_read_is_known() {
    let mut heard = heard();
    heard.take(&rule(OTHER, "nat", "KUBE-SERVICES"));
    heard.accept(&BTreeSet::from([SERVICES]));
    heard.begin_reading();
    assert!(!heard.touched_meanwhile(&SERVICES));
    heard.take(&rule(OTHER, "nat", "KUBE-NODEPORTS"));
    assert!(!heard.touched_meanwhile(&SERVICES));
    assert!(!heard.contents_changed_meanwhile(NAT));
    let (table, chain) = ("nat", "CNI-1");
    heard.take(&event(OTHER, Change::New, Object::Chain { table, chain }));
    assert!(heard.contents_changed_meanwhile(NAT), "whosever it is");
    heard.take(&rule(OTHER, "nat", "KUBE-SERVICES"));
    assert!(heard.touched_meanwhile(&SERVICES));
    assert_eq!(
        *heard.touched(),
        parts(&[SERVICES, Piece::Owned(NAT, Chain::Nodeports)]),
        "and is to be read again"
    );
    heard.begin_reading();
    heard.lose_track(20);
    assert!(heard.touched_meanwhile(&SERVICES) && heard.contents_changed_meanwhile(NAT));
}
