//! Lines against what `ipvsadm` prints.

use super::{Line, parse};
use crate::{Engine, Family, Netmask, ServerFlags, ServerId};

/// `ipvsadm -Sn` on a node where kube-proxy runs in IPVS mode.
const GOLDEN: &str = include_str!("../../tests/data/ipvsadm-Sn.txt");
/// The same after `tests/data/every-option.sh`: each option that `ipvsadm` 1.31 prints.
const OPTIONS: &str = include_str!("../../tests/data/every-option.txt");

fn one(text: &str) -> Line {
    text.parse().unwrap()
}

fn error(text: &str) -> String {
    parse(text)
        .find_map(Result::err)
        .unwrap_or_else(|| unreachable!("{text} was read"))
        .to_string()
}

#[test]
fn what_kube_proxy_leaves_reads_and_prints_back() {
    let lines: Vec<Line> = parse(GOLDEN).map(Result::unwrap).collect();
    assert_eq!(lines.len(), GOLDEN.lines().count());
    for (line, text) in lines.iter().zip(GOLDEN.lines()) {
        assert_eq!(line.to_string(), text);
    }
}

#[test]
fn every_option_of_ipvsadm_reads_and_prints_back() {
    for text in OPTIONS.lines() {
        assert_eq!(
            one(text).to_string(),
            text.replace("-f -1", "-f 4294967295")
        );
    }
}

#[test]
fn attributes_are_read() {
    let Line::Server { id, server } =
        one("-A -u 10.0.0.1:5060 -s sh -p 60 -M 255.255.255.0 --pe sip -o -b sh-fallback,sh-port")
    else {
        unreachable!()
    };
    assert_eq!(id.to_string(), "UDP 10.0.0.1:5060");
    assert_eq!((server.timeout, server.netmask), (60, Netmask(24)));
    assert_eq!(server.engine, Some(Engine::SIP));
    let flags = ServerFlags::PERSISTENT | ServerFlags::ONE_PACKET;
    let scheduling = ServerFlags::FALLBACK | ServerFlags::HASH_PORT;
    assert_eq!(server.flags, flags | scheduling);
}

#[test]
fn what_is_left_out_is_as_ipvsadm_has_it() {
    let full = |text| one(text).to_string();
    assert_eq!(full("-A -t 10.0.0.1:80"), "-A -t 10.0.0.1:80 -s wlc");
    assert_eq!(full("-A -t 10.0.0.1 -p"), "-A -t 10.0.0.1:0 -s wlc -p 360");
    assert_eq!(
        full("-a -t 10.0.0.1:80 -r 10.1.0.1"),
        "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -g -w 1"
    );
    assert_eq!(
        full("--add-server --fwmark-service 7 --ipv6 --real-server [fd00::1] --ipip --weight 0"),
        "-a -f 7 -6 -r [fd00::1]:0 -i -w 0 --tun-type ipip"
    );
    let mark = ServerId::Fwmark {
        family: Family::Ipv4,
        mark: u32::MAX,
    };
    assert!(matches!(one("-A -f -1 -s rr"), Line::Server { id, .. } if id == mark));
}

#[test]
fn thresholds_print_where_there_are_any() {
    let text = "-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 3 -x 100 -y 50";
    assert_eq!(one(text).to_string(), text);
}

/// Lines and how their errors begin.
const WRONG: &[(&str, &str)] = &[
    (
        "\n# saved\n-E -t 10.0.0.1:80",
        "line 3: -E: a line begins with -A",
    ),
    ("-A", "line 1: -A: it needs a virtual server: -t, -u"),
    (
        "-A -t 10.0.0.1:80 -w 1",
        "line 1: -w: there is no such option of -A",
    ),
    (
        "-a -t 10.0.0.1:80 -s rr",
        "line 1: -s: there is no such option of -a",
    ),
    ("-A -t", "line 1: -t: it takes a value: ADDRESS:PORT"),
    (
        "-A -t 10.0.0.1:80 -u 10.0.0.1:80",
        "line 1: -u: this was given before",
    ),
    (
        "-A -t 10.0.0.1:x",
        "line 1: 10.0.0.1:x: this is not an ADDRESS:PORT",
    ),
    (
        "-A -t fd00::1",
        "line 1: fd00::1: this is not an ADDRESS:PORT",
    ),
    (
        "-A -t [fe80::1%1]:80",
        "line 1: [fe80::1%1]:80: this is not an ADDRESS:PORT",
    ),
    (
        "-A -f 0",
        "line 1: 0: this is not a mark of 1 to 4294967295",
    ),
    (
        "-A -t 10.0.0.1:80 -6",
        "line 1: -6: it needs a firewall mark",
    ),
    (
        "-A -t 10.0.0.1:80 -s a/b",
        "line 1: a/b: this is not a scheduler's name",
    ),
    (
        "-A -t 10.0.0.1:80 -p soon",
        "line 1: soon: this is not a number of seconds",
    ),
    (
        "-A -t 10.0.0.1:80 -M 255.0.0.0",
        "line 1: -M: it needs persistence: -p",
    ),
    (
        "-A -t 10.0.0.1:80 -p -M 255.0.255.0",
        "line 1: 255.0.255.0: this is not an IPv4",
    ),
    (
        "-A -t [fd00::1]:80 -p -M 0",
        "line 1: 0: this is not a prefix length of 1 to 128",
    ),
    (
        "-A -t 10.0.0.1:80 -s rr -b sh-port",
        "line 1: sh-port: this is not a flag of the",
    ),
    (
        "-a -t 10.0.0.1:80 -m",
        "line 1: -a: it needs a destination: -r ADDRESS:PORT",
    ),
    (
        "-a -t 10.0.0.1:80 -r 10.0.0.2:80 -m -g",
        "line 1: -g: this was given before, or",
    ),
    (
        "-a -t 10.0.0.1:80 -r 10.0.0.2:80 -w -1",
        "line 1: -1: this is not a weight",
    ),
    (
        "-a -t 10.0.0.1:80 -r 10.0.0.2:80 -x 1k",
        "line 1: 1k: this is not a number",
    ),
    (
        "-a -t 10.0.0.1:80 -r 10.0.0.2:80 -m --tun-type gue",
        "line 1: --tun-type: it needs a tunnel: -i",
    ),
    (
        "-a -t 10.0.0.1:80 -r 10.0.0.2:80 -i --tun-type gue",
        "line 1: --tun-type: it needs a port: --tun-port",
    ),
    (
        "-a -t 10.0.0.1:80 -r 10.0.0.2:80 -i --tun-type gre --tun-remcsum",
        "line 1: --tun-remcsum: it needs a GUE tunnel",
    ),
    (
        "-a -t 10.0.0.1:80 -r 10.0.0.2:80 -i --tun-port 1",
        "line 1: --tun-port: it needs a GUE tunnel",
    ),
    (
        "-a -t 10.0.0.1:80 -r 10.0.0.2:80 -i --tun-type vxlan",
        "line 1: vxlan: this is not a tunnel",
    ),
];

#[test]
fn errors_name_line_and_word() {
    for (text, expected) in WRONG {
        let found = error(text);
        assert!(found.starts_with(expected), "{text}\n{found}\n{expected}");
    }
}
