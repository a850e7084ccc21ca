//! Native rules, sets and elements against the kernel and nft, each test in a network namespace of
//! its own.

#![allow(clippy::panic, clippy::unwrap_used, reason = "these are tests")]

mod common;
#[path = "common/foundation.rs"]
mod foundation;

use common::{in_netns, open, run};
use foundation::foundation;
use netlink_batch::Socket;
use nfnetlink::Family;
use nfnetlink::nftables::native::{Counters, Listing, Rule, SetType, Statement, TableFlags};
use nfnetlink::nftables::{Position, Transaction};

fn commit(socket: &mut Socket, write: impl FnOnce(&mut Transaction<()>)) {
    socket.allow_send(8 << 20).unwrap();
    let mut transaction = Transaction::new();
    write(&mut transaction);
    if let Err(error) = transaction.commit(socket) {
        panic!("{error}");
    }
}

/// What nft prints of the table.
fn list(listing: &Listing) -> String {
    let family = listing.family.to_string();
    run("nft", &["list", "table", &family, &listing.name])
}

/// Lines that differ, so that a failure can be read.
fn differences(ours: &str, theirs: &str) -> Vec<String> {
    let (ours, theirs): (Vec<_>, Vec<_>) = (ours.lines().collect(), theirs.lines().collect());
    let mut found = vec![format!("{} and {} lines", ours.len(), theirs.len())];
    let pairs = ours.iter().zip(&theirs).filter(|(one, other)| one != other);
    found.extend(
        pairs
            .take(10)
            .map(|(one, other)| format!("ours {one:?}, nft {other:?}")),
    );
    found
}

/// Writes the table, compares what nft prints and what the kernel tells with it, and lets nft make
/// the same table from its own words.
fn round_trip(socket: &mut Socket, listing: &Listing) {
    commit(socket, |transaction| listing.write(transaction));
    let read = Listing::read(socket, listing.id()).unwrap().unwrap();
    let (printed, ours) = (list(listing), listing.to_string());
    let parsed = Listing::parse(&printed);
    assert!(parsed.as_ref() == Ok(listing), "{:?}", parsed.err());
    assert!(printed == ours, "{:#?}", differences(&ours, &printed));
    assert!(
        read == *listing,
        "{:#?}",
        differences(&format!("{listing:#?}"), &format!("{read:#?}"))
    );

    run("nft", &["flush", "ruleset"]);
    let file = std::env::temp_dir().join(format!("nfnetlink-{}", std::process::id()));
    let file = file.with_extension(listing.family.to_string());
    std::fs::write(&file, &printed).unwrap();
    run("nft", &["-f", file.to_str().unwrap()]);
    std::fs::remove_file(file).unwrap();
    assert_eq!(list(listing), printed);
    let read = Listing::read(socket, listing.id()).unwrap().unwrap();
    assert!(
        read == *listing,
        "{:#?}",
        differences(&format!("{listing:#?}"), &format!("{read:#?}"))
    );
}

#[test]
fn the_largest_table_is_the_same_to_us_the_kernel_and_nft() {
    for family in Family::ALL {
        in_netns(|socket| round_trip(socket, &foundation(family, 8192)));
    }
}

/// Has nft make a table, reads it from the kernel and from nft's words, and compares. Whether
/// statements are all of types here is for `known` to say.
fn from_nft(socket: &mut Socket, text: &str) -> Listing {
    let file = std::env::temp_dir().join(format!("nfnetlink-{}-text", std::process::id()));
    let file = file.with_extension(format!("{:?}", std::thread::current().id()));
    std::fs::write(&file, text).unwrap();
    run("nft", &["-f", file.to_str().unwrap()]);
    std::fs::remove_file(file).unwrap();
    let printed = run("nft", &["list", "ruleset"]);
    let parsed = Listing::parse(&printed).unwrap_or_else(|error| panic!("{error}\n{printed}"));
    let read = Listing::read(socket, parsed.id()).unwrap().unwrap();
    assert!(
        parsed.to_string() == printed,
        "{:#?}",
        differences(&parsed.to_string(), &printed)
    );
    assert!(
        read.to_string() == printed,
        "{:#?}",
        differences(&read.to_string(), &printed)
    );
    let (one, other) = (format!("{parsed:#?}"), format!("{read:#?}"));
    assert!(parsed == read, "{:#?}", differences(&one, &other));
    parsed
}

#[test]
fn every_statement_that_nft_prints_reads_back() {
    let text = include_str!("data/native/statements.nft");
    let listing = in_netns(|socket| from_nft(socket, text));
    for rule in listing.chains.iter().flat_map(|chain| &chain.rules) {
        for statement in &rule.statements {
            assert!(!matches!(statement, Statement::Other(_)), "{statement:?}");
        }
    }
    in_netns(|socket| round_trip(socket, &listing));
}

#[test]
fn every_set_that_nft_prints_reads_back() {
    let text = include_str!("data/native/sets.nft");
    in_netns(|socket| {
        let listing = from_nft(socket, text);
        for listed in &listing.sets {
            assert!(
                !matches!(listed.set.kind, SetType::Raw { .. }),
                "{listed:?}"
            );
        }
        run("nft", &["flush", "ruleset"]);
        // Counters begin anew.
        let mut expected = listing.clone();
        for listed in &mut expected.sets {
            for element in &mut listed.elements {
                element.counters = element.counters.map(|_| Counters::default());
            }
        }
        commit(socket, |transaction| listing.write(transaction));
        let printed = list(&expected);
        let read = Listing::read(socket, listing.id()).unwrap().unwrap();
        assert!(
            printed == expected.to_string(),
            "{:#?}",
            differences(&expected.to_string(), &printed)
        );
        assert_eq!(read, expected);
    });
}

#[test]
fn a_table_with_an_owner_is_its_own_and_stays() {
    in_netns(|socket| {
        let mut listing = Listing::new(Family::Ipv4, "t");
        listing.comment = Some("ours".into());
        listing.flags = TableFlags::OWNER.with(TableFlags::PERSIST);
        let mut writer = open();
        commit(&mut writer, |transaction| listing.write(transaction));
        let read = |socket: &mut Socket| Listing::read(socket, listing.id()).unwrap().unwrap();
        assert_eq!(read(socket), listing);
        let text = "table ip t {\n\tflags owner,persist\n\tcomment \"ours\"\n}\n";
        assert_eq!(listing.to_string(), text);
        assert_eq!(Listing::parse(text).as_ref(), Ok(&listing));
        // Another socket may not touch it, and nft lets it be.
        let mut transaction = Transaction::<()>::new();
        transaction.delete_table(Family::Ipv4, "t");
        let error = transaction.commit(socket).unwrap_err();
        assert!(error.to_string().contains("EPERM"), "{error}");
        run("nft", &["flush", "ruleset"]);
        assert_eq!(read(socket), listing);

        // Without its owner it is there for the next one.
        drop(writer);
        let mut orphan = listing.clone();
        orphan.flags = TableFlags::PERSIST;
        assert_eq!(read(socket), orphan);
        commit(socket, |transaction| listing.write(transaction));
        assert_eq!(read(socket), listing);
    });
}

/// A rule that has what no type here says is told as such, and is no rule of ours.
#[test]
fn rules_of_others_stay_what_they_are() {
    let text = "table ip t {
        map m { type ipv4_addr : verdict; }
        chain c {
            tcp flags syn / fin,syn,rst,ack counter drop
            ip saddr vmap @m
            ip ttl 3 drop
            drop
        }
    }";
    in_netns(|socket| {
        let file = std::env::temp_dir().join(format!("nfnetlink-{}-foreign", std::process::id()));
        std::fs::write(&file, text).unwrap();
        run("nft", &["-f", file.to_str().unwrap()]);
        std::fs::remove_file(file).unwrap();
        let table = Listing::new(Family::Ipv4, "t");
        let listing = Listing::read(socket, table.id()).unwrap().unwrap();
        let rules = &listing.chains[0].rules;
        assert_eq!(rules.len(), 4);
        let others = |rule: &Rule| {
            let is_other = |one: &&Statement| matches!(one, Statement::Other(_));
            rule.statements.iter().filter(is_other).count()
        };
        for (rule, count) in rules.iter().zip([7, 2, 3, 0]) {
            assert_eq!(others(rule), count, "{}", rule.text(Family::Ipv4));
        }
        let error = Listing::parse(&listing.to_string()).unwrap_err();
        assert_eq!((error.line, error.token.as_str()), (7, "["), "{error}");
        // The same expressions are written again.
        let chain = table.id().chain("c");
        let expressions = |rule: &Rule| rule.expressions(Family::Ipv4);
        commit(socket, |transaction| {
            for rule in rules {
                transaction.new_rule(chain, Position::End, false, |attrs| {
                    rule.clone().without_counts().encode(Family::Ipv4, attrs);
                });
            }
        });
        let read = Listing::read(socket, table.id()).unwrap().unwrap();
        let read: Vec<_> = read.chains[0].rules.iter().map(expressions).collect();
        assert_eq!(read[..4], read[4..]);
    });
}
