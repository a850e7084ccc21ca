use netlink_batch::{Errno, Message, Messages, Verdict};

use super::capture;
use crate::Family::{Ipv4, Ipv6};
use crate::nftables::{
    BaseChain, Chain, Change, Event, Generation, Hook, Object, Operation, RawRule, Subject, Table,
};

fn messages(bytes: &[u8]) -> Vec<Message<'_>> {
    Messages::new(bytes).map(Result::unwrap).collect()
}

#[test]
fn tables() {
    let bytes = capture(include_str!("captures/tables.hex"));
    let found: Vec<_> = messages(&bytes)
        .iter()
        .map(|m| Table::read(m).unwrap())
        .collect();
    assert_eq!(
        found[0],
        Table {
            name: "nat",
            handle: 1,
            uses: 2,
            flags: 0
        }
    );
    assert_eq!(
        found[1],
        Table {
            name: "mangle",
            handle: 2,
            uses: 1,
            flags: 0
        }
    );
    assert_eq!(found.len(), 2);
}

#[test]
fn chains() {
    let bytes = capture(include_str!("captures/chains.hex"));
    let found: Vec<_> = messages(&bytes)
        .iter()
        .map(|m| Chain::read(m).unwrap())
        .collect();
    let base = |kind, priority| Some(BaseChain::accepting(kind, Hook::Output, priority));
    let chain = |table, name, handle, uses, base| Chain {
        table,
        name,
        handle,
        uses,
        base,
    };
    assert_eq!(
        found,
        [
            chain("nat", "OUTPUT", 1, 1, base("nat", -100)),
            chain("nat", "KUBE-A", 3, 4, None),
            chain("mangle", "OUTPUT", 1, 1, base("route", -150)),
        ]
    );
}

#[test]
fn rules() {
    let bytes = capture(include_str!("captures/rules.hex"));
    let found: Vec<_> = messages(&bytes)
        .iter()
        .map(|m| RawRule::read(m).unwrap())
        .collect();
    let places: Vec<_> = found
        .iter()
        .map(|rule| (rule.table, rule.chain, rule.handle, rule.previous))
        .collect();
    assert_eq!(
        places,
        [
            ("nat", "OUTPUT", 2, None),
            ("nat", "KUBE-A", 6, None),
            ("nat", "KUBE-A", 7, Some(6)),
            ("nat", "KUBE-A", 4, Some(7)),
            ("nat", "KUBE-A", 8, Some(4)),
        ]
    );
    let names: Vec<_> = found[0]
        .expressions
        .clone()
        .map(|element| {
            element
                .unwrap()
                .nested()
                .next()
                .unwrap()
                .unwrap()
                .str()
                .unwrap()
        })
        .collect();
    assert_eq!(names, ["payload", "cmp", "counter", "immediate"]);
    assert_eq!(found[0].userdata, None);
    assert_eq!(found[0].attrs.clone().count(), 4);
}

#[test]
fn generation() {
    let bytes = capture(include_str!("captures/generation.hex"));
    let found = Generation::read(&messages(&bytes)[0]).unwrap();
    assert_eq!((found.id, found.process_name), (11, Some("nft")));
    assert_eq!(found.process_id, Some(messages(&bytes)[0].port));
}

#[test]
fn refusal() {
    let bytes = capture(include_str!("captures/refused.hex"));
    let verdict = Verdict::read(&messages(&bytes)[0]).unwrap();
    assert_eq!((verdict.seq, verdict.errno), (1, Some(Errno::NOENT)));
    assert_eq!((verdict.text, verdict.offset), (None, Some(40)));
    assert_eq!(verdict.judged, &bytes[36..72]);
    // The kernel sent the judged message back, as nft does not set NETLINK_CAP_ACK.
    let judged = &bytes[20..72];
    let subject = Subject::of(&messages(judged)[0], verdict.offset);
    assert_eq!(subject.operation, Operation::DeleteRule);
    assert_eq!(
        subject.to_string(),
        "deleting rules of chain KUBE-A of table ip nat"
    );
}

#[test]
fn events() {
    let bytes = capture(include_str!("captures/events.hex"));
    let messages = messages(&bytes);
    let found: Vec<_> = messages
        .iter()
        .map(|m| Event::read(m).unwrap().unwrap())
        .collect();
    let (first, second, third) = (0x7dcf, 0x7dd0, 0x7dd1);
    let rule = Object::Rule {
        table: "nat",
        chain: "OUTPUT",
        handle: 2,
    };
    let chain = Object::Chain {
        table: "nat",
        chain: "OUTPUT",
    };
    let table = Object::Table { table: "nat" };
    let made = |id, process_id, process_name| {
        Object::Generation(Generation {
            id,
            process_id: Some(process_id),
            process_name: Some(process_name),
        })
    };
    let expected = [
        (first, Some(Ipv4), Change::New, table),
        (first, Some(Ipv4), Change::New, chain),
        (first, Some(Ipv4), Change::New, rule),
        (first, None, Change::New, made(2, first, "iptables-nft")),
        (second, Some(Ipv4), Change::Deleted, rule),
        (second, None, Change::New, made(3, second, "iptables-nft")),
        (third, Some(Ipv4), Change::Deleted, chain),
        (third, Some(Ipv4), Change::Deleted, table),
        (third, None, Change::New, made(4, third, "nft")),
    ]
    .map(|(port, family, change, object)| Event {
        port,
        family,
        change,
        object,
    });
    assert_eq!(found, expected);
}

#[test]
fn events_of_other_families_and_subsystems() {
    let mut bytes = capture(include_str!("captures/events.hex"));
    bytes[16] = 1; // NFPROTO_INET
    assert_eq!(
        Event::read(&messages(&bytes)[0]).unwrap().unwrap().family,
        None
    );
    bytes[16] = 10;
    assert_eq!(
        Event::read(&messages(&bytes)[0]).unwrap().unwrap().family,
        Some(Ipv6)
    );
    bytes[4] = 18; // NFT_MSG_NEWOBJ
    let event = Event::read(&messages(&bytes)[0]).unwrap().unwrap();
    assert_eq!(event.object, Object::Other(0x0a12));
    bytes[5] = 1; // NFNL_SUBSYS_CTNETLINK
    assert_eq!(Event::read(&messages(&bytes)[0]).unwrap(), None);
}
