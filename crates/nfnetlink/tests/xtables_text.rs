//! Rules as text: what iptables-save prints and what kube-proxy writes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use nfnetlink::Family;
use nfnetlink::xtables::{Match, NotOr, ParseError, PortRange, Rule, Target};

fn lines(save: &'static str) -> impl Iterator<Item = &'static str> {
    save.lines().filter_map(|line| {
        let rule = line.strip_prefix("-A ")?;
        Some(rule.split_once(' ').map_or("", |(_chain, text)| text))
    })
}

#[test]
fn what_iptables_save_prints_round_trips() {
    for (family, save, count) in [
        (Family::Ipv4, include_str!("data/iptables-save.txt"), 127),
        (Family::Ipv6, include_str!("data/ip6tables-save.txt"), 44),
        (
            Family::Ipv4,
            include_str!("data/ipvs/iptables-save.txt"),
            40,
        ),
        (
            Family::Ipv6,
            include_str!("data/ipvs/ip6tables-save.txt"),
            31,
        ),
    ] {
        let rules: Vec<_> = lines(save).collect();
        assert_eq!(rules.len(), count);
        for text in rules {
            let rule = Rule::parse(family, text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(rule.to_string(), text);
        }
    }
}

/// The text that a rule prints as, read from another one.
#[track_caller]
fn reads(family: Family, text: &str, printed: &str) {
    let rule = Rule::parse(family, text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(rule.to_string(), printed);
    assert_eq!(Rule::parse(family, printed), Ok(rule), "{printed}");
}

#[test]
fn what_kube_proxy_writes_reads_like_what_iptables_save_prints() {
    let v4 = |text, printed| reads(Family::Ipv4, text, printed);
    v4(
        r#"-m comment --comment "ns/svc:p cluster IP" -m tcp -p tcp -d 10.1.0.41 --dport 80 -j KUBE-SVC-A"#,
        r#"-d 10.1.0.41/32 -p tcp -m comment --comment "ns/svc:p cluster IP" -m tcp --dport 80 -j KUBE-SVC-A"#,
    );
    v4(
        r#"-m comment --comment "x y" -m udp -p udp -d 10.1.0.41 --dport 53 ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ"#,
        r#"! -s 10.244.0.0/16 -d 10.1.0.41/32 -p udp -m comment --comment "x y" -m udp --dport 53 -j KUBE-MARK-MASQ"#,
    );
    v4(
        "-j MARK --or-mark 0x00004000",
        "-j MARK --set-xmark 0x4000/0x4000",
    );
    v4(
        "-j MARK --xor-mark 0x00004000",
        "-j MARK --set-xmark 0x4000/0x0",
    );
    v4("-j MARK --set-mark 5/1", "-j MARK --set-xmark 0x5/0x5");
    v4(
        "-j MARK --and-mark 0xf0",
        "-j MARK --set-xmark 0x0/0xffffff0f",
    );
    v4(
        "-m mark ! --mark 0x00004000/0x00004000 -j RETURN",
        "-m mark ! --mark 0x4000/0x4000 -j RETURN",
    );
    v4(
        "-m statistic --mode random --probability 0.3333333333 -j KUBE-SEP-A",
        "-m statistic --mode random --probability 0.33333333349 -j KUBE-SEP-A",
    );
    v4(
        "-m comment --comment ns/svc -m recent --name KUBE-SEP-A --rcheck --seconds 10800 --reap -j KUBE-SEP-A",
        r#"-m comment --comment "ns/svc" -m recent --rcheck --seconds 10800 --reap --name KUBE-SEP-A --mask 255.255.255.255 --rsource -j KUBE-SEP-A"#,
    );
    v4(
        "-m comment --comment word -m recent --name KUBE-SEP-A --set -m tcp -p tcp -j DNAT --to-destination 10.0.0.1:80",
        "-p tcp -m comment --comment word -m recent --set --name KUBE-SEP-A --mask 255.255.255.255 --rsource -m tcp -j DNAT --to-destination 10.0.0.1:80",
    );
    v4(
        r#"-m comment --comment "block" -d 127.0.0.0/8 ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"#,
        "! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment block -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
    );
    v4(
        "-m nfacct --nfacct-name ct_state_invalid_dropped_pkts -j DROP",
        "-m nfacct --nfacct-name  ct_state_invalid_dropped_pkts -j DROP",
    );
    v4("-j REJECT", "-j REJECT --reject-with icmp-port-unreachable");
    reads(
        Family::Ipv6,
        "-j REJECT",
        "-j REJECT --reject-with icmp6-port-unreachable",
    );
    reads(
        Family::Ipv6,
        "-m comment --comment w -m addrtype --dst-type LOCAL ! -d ::1/128 -j KUBE-NODEPORTS",
        "! -d ::1/128 -m comment --comment w -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS",
    );
    reads(
        Family::Ipv6,
        "-m tcp -p tcp -j DNAT --to-destination [fd00:10::1]:80",
        "-p tcp -m tcp -j DNAT --to-destination [fd00:10::1]:80",
    );
}

#[test]
fn sets_bridges_and_ipvs_read_like_what_iptables_save_prints() {
    let v4 = |text, printed| reads(Family::Ipv4, text, printed);
    v4(
        r#"-m comment --comment "a b" -m set --match-set KUBE-CLUSTER-IP dst,dst ! -s 10.0.0.0/8 -j KUBE-MARK-MASQ"#,
        r#"! -s 10.0.0.0/8 -m comment --comment "a b" -m set --match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ"#,
    );
    v4(
        "-m set ! --match-set A src -m set --match-set B dst,dst,src",
        "-m set ! --match-set A src -m set --match-set B dst,dst,src",
    );
    v4(
        "-m physdev --physdev-is-bridged ! --physdev-out br+ --physdev-is-out --physdev-in eth0 --physdev-is-in",
        "-m physdev --physdev-is-in --physdev-in eth0 --physdev-is-out ! --physdev-out br+ --physdev-is-bridged",
    );
    v4("-m ipvs --ipvs", "-m ipvs --ipvs");
    v4("-m ipvs ! --ipvs", "-m ipvs ! --ipvs");
    v4(
        "-s 1.2.3.4 -m ipvs --vaddr 1.2.3.4 --vproto tcp --vport 80 -j DROP",
        "-s 1.2.3.4/32 -m ipvs --vproto 6 --vaddr 1.2.3.4 --vport 80 -j DROP",
    );
    v4(
        "-m ipvs --ipvs ! --vportctl 21 --vdir reply ! --vmethod gate ! --vaddr 10.1.2.3/8",
        "-m ipvs ! --vaddr 10.0.0.0/8 --vdir REPLY ! --vmethod GATE ! --vportctl 21",
    );
    reads(
        Family::Ipv6,
        "-m ipvs --vaddr fd00:10::1 --vproto sctp --vdir ORIGINAL --vmethod MASQ",
        "-m ipvs --vproto 132 --vaddr fd00:10::1 --vdir ORIGINAL --vmethod MASQ",
    );
}

#[test]
fn conditions_that_let_everything_pass_vanish() {
    let v4 = |text, printed| reads(Family::Ipv4, text, printed);
    v4("-s 0.0.0.0/0 -d 10.1.2.3/8", "-d 10.0.0.0/8");
    v4("-d 10.1.2.3/255.255.0.0 -p all", "-d 10.1.0.0/16");
    v4("-i + -o eth+", "-o eth+");
    v4("! -i +", "! -i +");
    v4("-p tcp --dport 0:65535", "-p tcp -m tcp");
    v4(
        "-p 6 --dport 80: --sport :9",
        "-p tcp -m tcp --sport 0:9 --dport 80:65535",
    );
    v4(
        "-p tcp ! --dport 0:65535",
        "-p tcp -m tcp ! --dport 0:65535",
    );
    v4("-p 17", "-p udp");
}

#[test]
fn comments_are_quoted_like_iptables_does() {
    for (text, printed) in [
        ("word_-9", "word_-9"),
        ("", r#""""#),
        ("a/b", r#""a/b""#),
        ("ä", r#""ä""#),
        (r#"say "it's\""#, r#""say \"it\'s\\\"""#),
    ] {
        let rule = Rule {
            matches: vec![Match::Comment(text.to_owned())],
            ..Rule::new(Family::Ipv4)
        };
        let line = format!("-m comment --comment {printed}");
        assert_eq!(rule.to_string(), line);
        assert_eq!(Rule::parse(Family::Ipv4, &line), Ok(rule));
    }
}

#[test]
fn rules_put_together_by_hand_are_normalized() {
    let rule = Rule {
        src: Some(NotOr::is("10.1.2.3/0".parse().unwrap())),
        dst: Some(NotOr::not("10.1.2.3/24".parse().unwrap())),
        protocol: Some(NotOr::is(6)),
        matches: vec![Match::Ports {
            protocol: 6,
            src: Some(NotOr::is(PortRange {
                first: 0,
                last: 65535,
            })),
            dst: Some(NotOr::is(PortRange::one(80))),
        }],
        target: Target::Accept,
        ..Rule::new(Family::Ipv4)
    };
    let text = "! -d 10.1.2.0/24 -p tcp -m tcp --dport 80 -j ACCEPT";
    assert_eq!(Ok(rule.normalized()), Rule::parse(Family::Ipv4, text));
}

/// Lines of IPv4 tables and what is wrong with them.
const BAD_LINES: &[(&str, &str)] = &[
    ("-d 10.0.0.0.1", "`-d 10.0.0.0.1`: expected an IPv4 address"),
    ("-d fd00::1", "`-d fd00::1`: expected an IPv4 address"),
    (
        "-d 1.2.3.4/33",
        "`-d 1.2.3.4/33`: the prefix length is not one of this family",
    ),
    (
        "-d 1.2.3.4/255.0.255.0",
        "`-d 1.2.3.4/255.0.255.0`: masks with gaps are not supported, write one rule per prefix",
    ),
    ("! -d 0.0.0.0/0", "`-d 0.0.0.0/0`: this never matches"),
    ("-d", "`-d` needs a value behind it"),
    ("-d 1.2.3.4 !", "`!` needs a value behind it"),
    ("! ! -d 1.2.3.4", "`!` cannot be inverted, remove the `!`"),
    ("! -j DROP", "`-j` cannot be inverted, remove the `!`"),
    ("! -m comment", "`-m` cannot be inverted, remove the `!`"),
    ("-p tcp -p udp", "`-p` is given twice, write two rules"),
    (
        "-p 300",
        "`-p 300`: expected tcp, udp, sctp or a number of 0 to 255",
    ),
    (
        "-p tcp --dport 80 --dport 81",
        "`--dport` is given twice, write two rules",
    ),
    (
        "-p tcp --dport http",
        "`--dport http`: expected a port number of 0 to 65535",
    ),
    (
        "-p tcp --dport 9:8",
        "`--dport 9:8`: the first port is above the last",
    ),
    (
        "--dport 80",
        "`--dport` needs `-p tcp, udp or sctp` before it",
    ),
    ("-m tcp --dport 80", "`-m tcp` needs `-p tcp`"),
    ("-m udp -p tcp", "`-m udp` needs `-p udp`"),
    ("-m sctp ! -p sctp", "`-m sctp` needs `-p sctp`"),
    ("-m socket", "`-m socket` is not supported"),
    ("-m set", "`-m set` needs `--match-set`"),
    (
        "-m set --match-set x",
        "`--match-set` needs a value behind it",
    ),
    (
        "-m set --match-set x dest",
        "`--match-set dest`: expected one to six of src and dst, as in dst,dst",
    ),
    (
        "-m set --match-set x src,src,src,src,src,src,src",
        "`--match-set src,src,src,src,src,src,src`: expected one to six of src and dst, as in dst,dst",
    ),
    (
        "-m set --match-set KUBE-6-LOAD-BALANCER-SOURCE-CIDR dst",
        "`--match-set KUBE-6-LOAD-BALANCER-SOURCE-CIDR`: the name is empty or too long",
    ),
    (
        "-m set --match-set x src --match-set y src",
        "`--match-set` is given twice, write two rules",
    ),
    (
        "-m set --match-set x src --return-nomatch",
        "\"--return-nomatch\" is no option that this program reads",
    ),
    (
        "-m physdev",
        "`-m physdev` needs `an option such as --physdev-is-in`",
    ),
    (
        "--physdev-is-in",
        "`--physdev-is-in` needs `-m physdev` before it",
    ),
    (
        "-m physdev --physdev-is-in ! --physdev-is-in",
        "`--physdev-is-in` is given twice, write two rules",
    ),
    ("-m ipvs", "`-m ipvs` needs `an option such as --vaddr`"),
    ("--vport 80", "`--vport` needs `-m ipvs` before it"),
    (
        "-m ipvs ! --ipvs --vport 80",
        "`--ipvs` cannot be inverted, remove the `!`",
    ),
    (
        "-m ipvs --vproto 256",
        "`--vproto 256`: expected tcp, udp, sctp or a number of 0 to 255",
    ),
    (
        "-m ipvs --vaddr ::1",
        "`--vaddr ::1`: expected an IPv4 address",
    ),
    (
        "-m ipvs ! --vdir REPLY",
        "`--vdir` cannot be inverted, remove the `!`",
    ),
    (
        "-m ipvs --vdir BOTH",
        "`--vdir BOTH`: expected ORIGINAL or REPLY",
    ),
    (
        "-m ipvs --vmethod LOCAL",
        "`--vmethod LOCAL`: expected GATE, IPIP or MASQ",
    ),
    ("-m comment", "`-m comment` needs `--comment`"),
    ("--comment x", "`--comment` needs `-m comment` before it"),
    (
        "-m comment --comment \"x",
        "the quotes in \"\\\"x\" are not closed",
    ),
    ("-m mark", "`-m mark` needs `--mark`"),
    (
        "-m mark --mark 0x100000000",
        "`--mark 0x100000000`: expected a number of 32 bits",
    ),
    ("-m conntrack", "`-m conntrack` needs `--ctstate`"),
    (
        "-m conntrack --ctstate NEW,",
        "`--ctstate NEW,`: expected conntrack states such as NEW,RELATED",
    ),
    (
        "-m conntrack --ctstate NEW --ctstate DNAT",
        "`--ctstate` is given twice, write two rules",
    ),
    (
        "-m addrtype",
        "`-m addrtype` needs `--src-type or --dst-type`",
    ),
    (
        "-m addrtype --src-type HERE",
        "`--src-type HERE`: expected address types such as LOCAL,UNICAST",
    ),
    (
        "-m statistic --probability 0.5",
        "`-m statistic` needs `--mode`",
    ),
    (
        "-m statistic --mode random",
        "`-m statistic` needs `--probability`",
    ),
    (
        "-m statistic --mode nth",
        "`--mode nth`: only `random` is supported",
    ),
    (
        "-m statistic --mode random --probability 1.1",
        "`--probability 1.1`: expected a number of 0 to 1",
    ),
    (
        "-m statistic --mode random --probability nan",
        "`--probability nan`: expected a number of 0 to 1",
    ),
    (
        "-m recent --name x",
        "`-m recent` needs `--set, --rcheck, --update or --remove`",
    ),
    (
        "-m recent --set --rcheck",
        "`--rcheck` is given twice, write two rules",
    ),
    ("-m recent --rcheck --reap", "`--reap` needs `--seconds`"),
    (
        "-m recent --set --mask 255.255.0.0",
        "`--mask 255.255.0.0`: only the mask of a whole address is supported",
    ),
    ("-i \"a b\"", "`-i a b`: names have no spaces and no quotes"),
    (
        "-i abcdefghijklmnop",
        "`-i abcdefghijklmnop`: the name is empty or too long",
    ),
    ("-j ACCEPT -j DROP", "`-j` is given twice, write two rules"),
    ("-j LOG", "`-j LOG` is not supported"),
    ("-j MARK", "`-j MARK` needs `--set-xmark`"),
    ("-j DNAT", "`-j DNAT` needs `--to-destination`"),
    (
        "-j DNAT --to-destination 1.2.3.4-1.2.3.5",
        "`--to-destination 1.2.3.4-1.2.3.5`: expected one address and at most one port of this family",
    ),
    (
        "--to-destination 1.2.3.4",
        "`--to-destination` needs `-j DNAT` before it",
    ),
    (
        "-j KUBE --random-fully",
        "`--random-fully` needs `-j MASQUERADE` before it",
    ),
    (
        "-j KUBE --to-ports 1024-2000",
        "`--to-ports` needs `-j MASQUERADE` before it",
    ),
    (
        "-j MASQUERADE --to-ports 2000-1024",
        "`--to-ports 2000-1024`: the first port is above the last",
    ),
    (
        "-j MASQUERADE --to-ports 1024:2000",
        "`--to-ports 1024:2000`: expected a port number of 0 to 65535",
    ),
    (
        "-j REJECT --reject-with icmp6-no-route",
        "`--reject-with icmp6-no-route`: REJECT of this family has no such",
    ),
    ("-c 1 2", "\"-c\" is no option that this program reads"),
    (
        "-d 1.2.3.4 junk",
        "\"junk\" is no option that this program reads",
    ),
    (
        "-m comment --comment \"a\0\"",
        "the line has a NUL in it, remove it",
    ),
];

#[test]
fn errors_name_the_word_and_why() {
    for (text, message) in BAD_LINES {
        match Rule::parse(Family::Ipv4, text) {
            Err(error) => assert_eq!(error.to_string(), *message, "{text}"),
            Ok(rule) => panic!("{text} was read as {rule}"),
        }
    }
    let long = format!("-m comment --comment {}", "x".repeat(256));
    assert!(matches!(
        Rule::parse(Family::Ipv4, &long),
        Err(ParseError::Value { .. })
    ));
}
