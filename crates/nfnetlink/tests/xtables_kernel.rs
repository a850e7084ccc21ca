//! Rules of ours in the kernel: iptables shows them as the lines that they were read from.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod common;

use std::collections::BTreeSet;

use common::{in_netns, run};
use netlink_batch::Socket;
use nfnetlink::Family;
use nfnetlink::ipset::{self, SetNames, parse_save};
use nfnetlink::nfacct;
use nfnetlink::nftables::{BaseChain, ChainId, Hook, Position, Transaction, rules};
use nfnetlink::xtables::{EncodeOptions, Rule, Target};

/// Sets that the rules match on.
const SETS: &str = include_str!("data/ask.sets");
const GOLDEN_SETS: &str = include_str!("data/ipvs/ipset-save.txt");

/// A line of iptables-save with the table it is in.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug, Clone)]
struct Line {
    table: String,
    chain: String,
    text: String,
}

/// The rules of what iptables-save printed.
fn lines(save: &str) -> Vec<Line> {
    let mut table = String::new();
    let mut lines = Vec::new();
    for line in save.lines() {
        if let Some(name) = line.strip_prefix('*') {
            name.clone_into(&mut table);
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let (chain, text) = rule.split_once(' ').unwrap_or((rule, ""));
            let (chain, text) = (chain.to_owned(), text.to_owned());
            lines.push(Line {
                table: table.clone(),
                chain,
                text,
            });
        }
    }
    lines
}

/// The rules of a capture (`data/capture.py`), without the bytes.
fn captured(family: &str, capture: &str) -> Vec<Line> {
    let heads = capture
        .lines()
        .filter_map(|line| line.strip_prefix(family)?.strip_prefix(' '));
    heads
        .flat_map(|head| {
            let (table, rule) = head.split_once(' ').unwrap();
            lines(&format!("*{table}\n{rule}"))
        })
        .collect()
}

fn hook(table: &str, chain: &str) -> Option<BaseChain<'static>> {
    let (hook, nat_priority) = match chain {
        "PREROUTING" => (Hook::Prerouting, -100),
        "INPUT" => (Hook::Input, 100),
        "FORWARD" => (Hook::Forward, 0),
        "OUTPUT" => (Hook::Output, -100),
        "POSTROUTING" => (Hook::Postrouting, 100),
        _ => return None,
    };
    Some(match table {
        "nat" => BaseChain::accepting("nat", hook, nat_priority),
        "mangle" => BaseChain::accepting("filter", hook, -150),
        _ => BaseChain::accepting("filter", hook, 0),
    })
}

fn write(socket: &mut Socket, family: Family, lines: &[Line], options: EncodeOptions<'_>) {
    let rules: Vec<Rule> = lines
        .iter()
        .map(|line| Rule::parse(family, &line.text).expect(&line.text))
        .collect();
    let mut sets = SetNames::new();
    for name in rules.iter().flat_map(Rule::sets) {
        sets.ask_index(socket, name).unwrap();
    }
    for rule in &rules {
        sets.require(rule.sets()).unwrap();
    }
    let options = options.with_sets(&sets);
    let mut chains = BTreeSet::new();
    for (line, rule) in lines.iter().zip(&rules) {
        chains.insert((&*line.table, &*line.chain));
        if let Target::Jump(chain) | Target::Goto(chain) = &rule.target {
            chains.insert((&*line.table, chain));
        }
    }
    let mut transaction = Transaction::<usize>::new();
    for table in chains
        .iter()
        .map(|(table, _)| table)
        .collect::<BTreeSet<_>>()
    {
        transaction.new_table(family, table);
    }
    for (table, name) in chains {
        let chain = ChainId {
            family,
            table,
            name,
        };
        match hook(table, name) {
            Some(base) => transaction.new_base_chain(chain, base),
            None => transaction.new_chain(chain),
        }
    }
    for (index, (line, rule)) in lines.iter().zip(&rules).enumerate() {
        let chain = ChainId {
            family,
            table: &line.table,
            name: &line.chain,
        };
        transaction.tag(index);
        transaction.new_rule(chain, Position::End, false, |attrs| {
            rule.encode_with(attrs, options);
        });
    }
    transaction.commit(socket).unwrap();
}

fn is_shown_as_written(family: Family, lines: Vec<Line>, options: EncodeOptions<'_>) {
    assert!(!lines.is_empty());
    in_netns(move |socket| {
        for name in [
            "ct_state_invalid_dropped_pkts",
            "localhost_nps_accepted_pkts",
            "a b",
            "word",
        ] {
            nfacct::ensure(socket, name).unwrap();
        }
        for set in [SETS, GOLDEN_SETS]
            .into_iter()
            .flat_map(|sets| parse_save(sets).unwrap())
        {
            ipset::create(socket, &set.name, &set.spec).unwrap();
        }
        write(socket, family, &lines, options);

        let save = match family {
            Family::Ipv4 => "iptables-nft-save",
            Family::Ipv6 => "ip6tables-nft-save",
        };
        let mut shown = self::lines(&run(save, &[]));
        // Only the order within a chain means something.
        shown.sort_by(|a, b| (&a.table, &a.chain).cmp(&(&b.table, &b.chain)));
        let mut written = lines;
        written.sort_by(|a, b| (&a.table, &a.chain).cmp(&(&b.table, &b.chain)));
        for (shown, written) in shown.iter().zip(&written) {
            assert_eq!(shown, written);
        }
        assert_eq!(shown.len(), written.len());

        for chain in written.chunk_by(|a, b| (&a.table, &a.chain) == (&b.table, &b.chain)) {
            let id = ChainId {
                family,
                table: &chain[0].table,
                name: &chain[0].chain,
            };
            let (mut dumped, mut sets, mut other) = (Vec::new(), SetNames::new(), common::open());
            rules(socket, id, |rule| {
                let name = |index| {
                    let name = sets.ask_name(&mut other, index).unwrap();
                    name.map(str::to_owned)
                };
                dumped.push(Rule::decode_with(family, rule.attrs, name).unwrap());
            })
            .unwrap();
            let parsed: Vec<_> = chain
                .iter()
                .map(|line| Rule::parse(family, &line.text).unwrap())
                .collect();
            assert_eq!(dumped, parsed);
        }
    });
}

#[test]
fn iptables_shows_the_rules_of_a_kube_proxy() {
    for counters in [true, false] {
        for (family, save) in [
            (Family::Ipv4, include_str!("data/iptables-save.txt")),
            (Family::Ipv6, include_str!("data/ip6tables-save.txt")),
        ] {
            let options = EncodeOptions::default().with_counters(counters);
            is_shown_as_written(family, lines(save), options);
        }
    }
}

#[test]
fn iptables_shows_every_option() {
    let capture = include_str!("data/variants-1.8.9.capture");
    is_shown_as_written(
        Family::Ipv4,
        captured("ip", capture),
        EncodeOptions::default(),
    );
    is_shown_as_written(
        Family::Ipv6,
        captured("ip6", capture),
        EncodeOptions::default(),
    );
}

#[test]
fn iptables_shows_rules_on_sets_and_bridges() {
    let needs_ipvs = |line: &Line| line.text.contains("-m ipvs");
    let (mut v4, mut v6) = ipvs_lines();
    v4.retain(|line| !needs_ipvs(line));
    v6.retain(|line| !needs_ipvs(line));
    assert_eq!((v4.len(), v6.len()), (49, 34));
    is_shown_as_written(Family::Ipv4, v4, EncodeOptions::default());
    is_shown_as_written(Family::Ipv6, v6, EncodeOptions::default());
}

#[test]
#[ignore = "needs a kernel with xt_ipvs, as scripts/vm --needs nft has"]
fn iptables_shows_rules_on_ipvs() {
    let (v4, v6) = ipvs_lines();
    is_shown_as_written(Family::Ipv4, v4, EncodeOptions::default());
    is_shown_as_written(Family::Ipv6, v6, EncodeOptions::default());
}

/// Lines of every option and of kube-proxy's IPVS mode.
fn ipvs_lines() -> (Vec<Line>, Vec<Line>) {
    let with = |golden, asks| {
        let mut all = lines(golden);
        all.extend(lines(asks));
        all
    };
    (
        with(
            include_str!("data/ipvs/iptables-save.txt"),
            include_str!("data/ask.v4"),
        ),
        with(
            include_str!("data/ipvs/ip6tables-save.txt"),
            include_str!("data/ask.v6"),
        ),
    )
}

/// `iptables -C` and `-D` compare every byte that user space owns.
#[test]
fn iptables_finds_our_rules_by_their_text() {
    in_netns(|socket| {
        nfacct::ensure(socket, "localhost_nps_accepted_pkts").unwrap();
        for set in parse_save(SETS).unwrap() {
            ipset::create(socket, &set.name, &set.spec).unwrap();
        }
        let line = |text: &str| Line {
            table: "nat".to_owned(),
            chain: "X".to_owned(),
            text: text.to_owned(),
        };
        // `-C` cannot find a --mask even in rules of its own, so `recent` goes without.
        let texts = [
            "-d 10.1.0.41/32 -p tcp -m comment --comment word -m tcp --dport 80 -j RETURN",
            "-p sctp -m sctp --dport 30132 -m nfacct --nfacct-name localhost_nps_accepted_pkts",
            "-m recent --rcheck --seconds 600 --reap --name KUBE-SEP-A",
            "-m statistic --mode random --probability 0.33333333349 -j RETURN",
            "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -m addrtype --dst-type LOCAL",
            "-m mark ! --mark 0x4000/0x4000 -j MARK --set-xmark 0x4000/0x0",
            "-p tcp -m tcp -j DNAT --to-destination 10.244.0.10:8080",
            "-m set --match-set A src -m set ! --match-set B dst,dst,src -j ACCEPT",
            "-m physdev ! --physdev-is-in --physdev-in eth0 --physdev-out br+ -j RETURN",
        ];
        let lines: Vec<_> = texts.iter().map(|text| line(text)).collect();
        write(socket, Family::Ipv4, &lines, EncodeOptions::default());
        for text in texts {
            for action in ["-C", "-D"] {
                let mut args = vec!["-t", "nat", action, "X"];
                args.extend(text.split(' '));
                run("iptables-nft", &args);
            }
        }
        assert_eq!(self::lines(&run("iptables-nft-save", &[])), []);
    });
}
