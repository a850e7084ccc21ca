//! How long things take; prints and does not judge. Run with
//! `cargo test --release -p nfnetlink --test speed -- --ignored --nocapture --test-threads=1`.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "these are tests"
)]

mod common;

use std::time::{Duration, Instant};

use common::{accept, base, in_netns, jump, nat, uses};
use nfnetlink::Family::Ipv4;
use nfnetlink::ipset::{self, Changes, Entry, IpPort, Kind, Spec};
use nfnetlink::nftables::{CommitError, Position, Transaction, generation, rules};
use nfnetlink::xtables::{Match, NotOr, Rule};

const RULES: u32 = 170_000;

fn timed<R>(what: &str, body: impl FnOnce() -> R) -> (R, Duration) {
    let start = Instant::now();
    let result = body();
    let took = start.elapsed();
    println!("{what}: {:.3} ms", took.as_secs_f64() * 1e3);
    (result, took)
}

#[test]
#[ignore = "a measurement"]
fn encodes_a_rule_in_about_a_microsecond() {
    let mut rule = Rule::new(Ipv4);
    rule.dst = Some(NotOr::is("10.96.0.1/32".parse().unwrap()));
    rule.protocol = Some(NotOr::is(6));
    rule.matches
        .push(Match::Comment("default/kubernetes:https cluster IP".into()));
    let mut transaction = Transaction::<u32>::new();
    for round in ["cold", "warm"] {
        transaction.begin(None);
        let ((), took) = timed(&format!("{round}: {RULES} rules with a comment"), || {
            for n in 0..RULES {
                transaction.tag(n / 17);
                transaction.new_rule(nat(Ipv4, "A"), Position::End, false, |attrs| {
                    rule.encode(attrs);
                });
            }
        });
        println!(
            "  {} MB, {} ns a rule",
            transaction.len() >> 20,
            took.as_nanos() / u128::from(RULES)
        );
    }
}

#[test]
#[ignore = "a measurement"]
fn commits_and_reads_many_rules() {
    in_netns(|socket| {
        let mut transaction = Transaction::<u32>::new();
        base(&mut transaction, Ipv4);
        let names: Vec<String> = (0..RULES / 17).map(|n| format!("KUBE-SVC-{n}")).collect();
        for (tag, name) in (0..).zip(&names) {
            transaction.tag(tag);
            transaction.new_chain(nat(Ipv4, name));
            for _ in 0..17 {
                transaction.new_rule(nat(Ipv4, name), Position::End, false, accept);
            }
        }
        println!("{} MB", transaction.len() >> 20);
        timed("commit", || transaction.commit(socket).map(|_| ()).unwrap());
        let (count, _) = timed("read chain by chain", || {
            let mut count = 0;
            for name in &names {
                rules(socket, nat(Ipv4, name), |_| count += 1).unwrap();
            }
            count
        });
        assert_eq!(count, names.len() * 17);
        timed("list chains", || {
            assert_eq!(uses(socket, Ipv4).len(), names.len() + 1);
        });
        timed("ask for the generation 100 times", || {
            for _ in 0..100 {
                generation(socket).unwrap();
            }
        });
        transaction.begin(None);
        transaction.tag(1);
        transaction.new_rule(nat(Ipv4, &names[0]), Position::End, true, accept);
        timed("commit one rule", || {
            assert_eq!(transaction.commit(socket).unwrap().echoes.len(), 1);
        });
    });
}

#[test]
#[ignore = "a measurement"]
fn a_failed_validation_does_not_slow_the_next_commit() {
    in_netns(|socket| {
        let mut transaction = Transaction::<u32>::new();
        base(&mut transaction, Ipv4);
        transaction.commit(socket).unwrap();
        let write = |transaction: &mut Transaction<u32>, round: u32, looped: bool| {
            transaction.begin(None);
            for n in 0..300 {
                let name = format!("R{round}-{n}");
                transaction.tag(n);
                transaction.new_chain(nat(Ipv4, &name));
                transaction.new_rule(nat(Ipv4, &name), Position::End, false, accept);
                transaction.new_rule(nat(Ipv4, "OUTPUT"), Position::End, false, jump(&name));
            }
            if looped {
                let last = format!("R{round}-0");
                transaction.new_rule(nat(Ipv4, &last), Position::End, false, jump(&last));
            }
        };
        write(&mut transaction, 0, false);
        timed("good", || transaction.commit(socket).map(|_| ()).unwrap());
        write(&mut transaction, 1, true);
        let (error, _) = timed("looped", || transaction.commit(socket).unwrap_err());
        assert!(matches!(error, CommitError::Refused { .. }));
        write(&mut transaction, 2, false);
        timed("good again", || {
            transaction.commit(socket).map(|_| ()).unwrap();
        });
    });
}

/// Beside the `ipset` program, on the same elements.
#[test]
#[ignore = "a measurement"]
fn elements_of_sets_go_and_come_by_the_hundred() {
    const ELEMENTS: u32 = 25_000;
    let entry = |n: u32| {
        Entry::IpPort(IpPort {
            address: std::net::Ipv4Addr::from(0x0a00_0000 + n).into(),
            protocol: 6,
            port: 80,
        })
    };
    let spec = Spec::Hash {
        kind: Kind::HashIpPort,
        family: Ipv4,
        max_elements: Spec::DEFAULT_MAX_ELEMENTS,
    };
    in_netns(|socket| {
        let (mut all, mut gone) = (Changes::new(), Changes::new());
        for n in 0..ELEMENTS {
            all.add("s", entry(n), n);
            gone.remove("s", entry(n), n);
        }
        for round in ["cold", "warm"] {
            ipset::create(socket, "s", &spec).unwrap();
            println!("{round}, {ELEMENTS} elements of hash:ip,port");
            let refused = timed("add", || all.send(socket).unwrap()).0;
            let refused_again = timed("add again", || all.send(socket).unwrap()).0;
            let listing = timed("list", || ipset::list(socket, "s").unwrap().unwrap()).0;
            assert_eq!(listing.entries.len(), ELEMENTS as usize);
            timed("grow", || {
                ipset::grow(socket, "s", "twin", 200_000).unwrap();
            });
            timed("one more", || {
                let mut one = Changes::new();
                one.add("s", entry(ELEMENTS), 0);
                one.send(socket).unwrap()
            });
            let left = timed("remove", || gone.send(socket).unwrap()).0;
            assert!(refused.is_empty() && refused_again.is_empty() && left.is_empty());
            ipset::destroy(socket, "s").unwrap();
        }

        ipset::create(socket, "s", &spec).unwrap();
        timed("one at a time", || {
            for n in 0..ELEMENTS {
                let mut one = Changes::new();
                one.add("s", entry(n), ());
                assert!(one.send(socket).unwrap().is_empty());
            }
        });
        let saved = timed("ipset save", || common::run("ipset", &["save"])).0;
        ipset::destroy(socket, "s").unwrap();
        let file = tempfile();
        std::fs::write(&file, saved).unwrap();
        timed("ipset restore", || {
            common::run("ipset", &["restore", "-f", &file])
        });
        std::fs::remove_file(&file).unwrap();
    });
}

fn tempfile() -> String {
    let name = format!("nfnetlink-speed-{}", std::process::id());
    std::env::temp_dir().join(name).to_str().unwrap().to_owned()
}
