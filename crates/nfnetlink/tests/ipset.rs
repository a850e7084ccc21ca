//! Sets in the kernel, beside the `ipset` program.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};

use common::{in_netns, run};
use netlink_batch::Socket;
use nfnetlink::Family;
use nfnetlink::ipset::{
    self, Changes, ElementFault, Entry, Error, IpPort, Kind, Listing, Protocol, Refused, Saved,
    SetIndex, SetNames, Spec, parse_save,
};

const GOLDEN: &str = include_str!("data/ipvs/ipset-save.txt");

fn hash(kind: Kind, max_elements: u32) -> Spec {
    Spec::Hash {
        kind,
        family: Family::Ipv4,
        max_elements,
    }
}

/// The n-th of many elements of hash:ip,port.
fn nth(n: u32) -> Entry {
    Entry::IpPort(IpPort {
        address: Ipv4Addr::from(0x0a00_0000 + n).into(),
        protocol: 6,
        port: 80,
    })
}

fn add(
    socket: &mut Socket,
    set: &str,
    entries: impl IntoIterator<Item = Entry>,
) -> Vec<Refused<usize>> {
    let mut changes = Changes::new();
    for (index, entry) in entries.into_iter().enumerate() {
        changes.add(set, entry, index);
    }
    changes.send(socket).unwrap()
}

fn listed(socket: &mut Socket, name: &str) -> Listing {
    ipset::list(socket, name).unwrap().unwrap()
}

fn restore(text: &str) {
    let mut child = Command::new("ipset")
        .arg("restore")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
}

fn by_name(sets: Vec<Saved>) -> BTreeMap<String, Saved> {
    sets.into_iter()
        .map(|set| (set.name.clone(), set))
        .collect()
}

/// Everything in the kernel, through our listings.
fn everything(socket: &mut Socket) -> BTreeMap<String, Saved> {
    let mut names = Vec::new();
    ipset::sets(socket, |set| names.push(set.name.to_owned())).unwrap();
    names
        .into_iter()
        .map(|name| {
            let listing = listed(socket, &name);
            assert_eq!(listing.unreadable, 0);
            assert!(listing.header.plain);
            let saved = Saved {
                name: name.clone(),
                spec: listing.header.spec.unwrap(),
                entries: listing.entries.into_iter().collect(),
            };
            (name, saved)
        })
        .collect()
}

#[test]
fn what_we_write_is_what_kube_proxy_and_ipset_write() {
    let golden = by_name(parse_save(GOLDEN).unwrap());
    assert_eq!(golden.len(), 34);
    in_netns(|socket| {
        for set in golden.values() {
            ipset::create(socket, &set.name, &set.spec).unwrap();
            // Again, as on every start.
            ipset::create(socket, &set.name, &set.spec).unwrap();
        }
        let mut changes = Changes::new();
        for set in golden.values() {
            for entry in &set.entries {
                changes.add(&set.name, *entry, ());
            }
        }
        for _ in 0..2 {
            assert_eq!(changes.send(socket).unwrap().len(), 0);
        }
        assert_eq!(everything(socket), golden);

        // The program prints the same lines, but for the order and the random initval.
        let shown = run("ipset", &["save"]);
        assert_eq!(by_name(parse_save(&shown).unwrap()), golden);
        let lines = |text: &str| -> BTreeSet<String> {
            text.lines()
                .map(|line| line.split(" initval").next().unwrap().to_owned())
                .collect()
        };
        assert_eq!(lines(&shown), lines(GOLDEN));
    });
}

#[test]
fn what_ipset_writes_is_read_back() {
    in_netns(|socket| {
        restore(GOLDEN);
        assert_eq!(everything(socket), by_name(parse_save(GOLDEN).unwrap()));
    });
}

#[test]
fn our_text_is_what_ipset_restores_and_saves() {
    in_netns(|_| {
        let sets = parse_save(GOLDEN).unwrap();
        restore(&sets.iter().map(Saved::to_string).collect::<String>());
        assert_eq!(parse_save(&run("ipset", &["save"])).unwrap(), sets);
    });
}

#[test]
fn every_kind_takes_and_gives_up_its_elements() {
    let elements: [(Kind, Family, &[&str]); 11] = [
        (Kind::HashIp, Family::Ipv4, &["10.0.0.1", "0.0.0.1"]),
        (Kind::HashIp, Family::Ipv6, &["fd00::1", "::1.2.3.4"]),
        (Kind::HashNet, Family::Ipv4, &["10.0.0.0/8", "10.1.2.3"]),
        (Kind::HashNet, Family::Ipv6, &["fd00::/64", "fd00::1"]),
        (
            Kind::HashIpPort,
            Family::Ipv4,
            &[
                "10.0.0.1,tcp:0",
                "10.0.0.1,udp:53",
                "10.0.0.1,sctp:65535",
                "10.0.0.1,udplite:1",
            ],
        ),
        (Kind::HashIpPort, Family::Ipv6, &["fd00::1,tcp:80"]),
        (
            Kind::HashIpPortIp,
            Family::Ipv4,
            &["10.0.0.1,tcp:80,10.0.0.1"],
        ),
        (
            Kind::HashIpPortIp,
            Family::Ipv6,
            &["fd00::1,udp:80,fd00::2"],
        ),
        (
            Kind::HashIpPortNet,
            Family::Ipv4,
            &["10.0.0.1,tcp:80,192.0.2.0/25", "10.0.0.1,tcp:80,192.0.2.1"],
        ),
        (
            Kind::HashIpPortNet,
            Family::Ipv6,
            &["fd00::1,sctp:80,fd00:1::/48"],
        ),
        (Kind::BitmapPort, Family::Ipv4, &["0", "80", "65535"]),
    ];
    in_netns(|socket| {
        for (kind, family, texts) in elements {
            let spec = match kind {
                Kind::BitmapPort => Spec::Ports {
                    first: 0,
                    last: u16::MAX,
                },
                _ => Spec::Hash {
                    kind,
                    family,
                    max_elements: 100,
                },
            };
            ipset::create(socket, "s", &spec).unwrap();
            let entries: BTreeSet<Entry> = texts
                .iter()
                .map(|text| Entry::parse(kind, spec.family(), text).unwrap())
                .collect();
            assert!(add(socket, "s", entries.clone()).is_empty());
            let listing = listed(socket, "s");
            assert_eq!(listing.kind, kind.name());
            assert_eq!(listing.header.spec, Some(spec));
            let count = u32::try_from(texts.len()).unwrap();
            assert_eq!(listing.header.elements, Some(count));
            assert_eq!(
                listing.entries.iter().copied().collect::<BTreeSet<_>>(),
                entries
            );

            // As the program prints them, and as it takes them from us.
            let shown = run("ipset", &["save"]);
            for text in texts {
                assert!(
                    shown.contains(&format!("add s {text}\n")),
                    "{text}: {shown}"
                );
                run("ipset", &["test", "s", text]);
            }

            let mut changes = Changes::new();
            for entry in &entries {
                changes.remove("s", *entry, ());
                changes.remove("s", *entry, ());
            }
            assert_eq!(changes.send(socket).unwrap().len(), 0);
            assert_eq!(listed(socket, "s").entries, []);
            assert!(ipset::destroy(socket, "s").unwrap());
        }
    });
}

#[test]
fn thousands_of_elements_go_and_come_in_few_messages() {
    in_netns(|socket| {
        ipset::create(socket, "s", &hash(Kind::HashIpPort, 65_536)).unwrap();
        assert!(add(socket, "s", (0..25_000).map(nth)).is_empty());
        let listing = listed(socket, "s");
        assert_eq!(listing.entries.len(), 25_000);
        assert_eq!(
            listing.entries.into_iter().collect::<BTreeSet<_>>(),
            (0..25_000).map(nth).collect()
        );
        assert!(ipset::flush(socket, "s").unwrap());
        assert_eq!(listed(socket, "s").header.elements, Some(0));
    });
}

#[test]
fn a_refused_element_is_told_and_all_others_are_added() {
    let v6 = Entry::parse(Kind::HashIpPort, None, "fd00::1,tcp:80").unwrap();
    in_netns(|socket| {
        ipset::create(socket, "s", &hash(Kind::HashIpPort, 65_536)).unwrap();
        let bad = [0, 7, 8, 1_500, 2_999];
        let entries = (0..3_000).map(|n| if bad.contains(&n) { v6 } else { nth(n) });
        let refused = add(socket, "s", entries);
        let mut tags: Vec<_> = refused.iter().map(|refused| refused.tag).collect();
        tags.sort_unstable();
        assert_eq!(tags, bad.map(|n| n as usize));
        for Refused { error, entry, .. } in refused {
            let shape = ElementFault::Shape;
            assert!(
                matches!(error, Error::Element { why, .. } if why == shape),
                "{error}"
            );
            assert_eq!(entry, v6);
        }
        assert_eq!(listed(socket, "s").entries.len(), 2_995);
    });
}

/// As for sockets without privileges in the initial user namespace.
#[test]
fn small_buffers_only_take_longer() {
    let v6 = Entry::parse(Kind::HashIpPort, None, "fd00::1,tcp:80").unwrap();
    in_netns(|socket| {
        socket.allow_send(128 << 10).unwrap();
        socket.allow_receive(128 << 10).unwrap();
        ipset::create(socket, "s", &hash(Kind::HashIpPort, 65_536)).unwrap();
        // A refused one in every message.
        let entries = (0..20_000).map(|n| if n % 100 == 7 { v6 } else { nth(n) });
        assert_eq!(add(socket, "s", entries).len(), 200);
        assert_eq!(listed(socket, "s").entries.len(), 19_800);
    });
}

#[test]
fn a_full_set_refuses_what_is_too_much() {
    in_netns(|socket| {
        ipset::create(socket, "s", &hash(Kind::HashIpPort, 2_000)).unwrap();
        let refused = add(socket, "s", (0..5_000).map(nth));
        assert_eq!(refused.len(), 3_000);
        assert!(
            refused
                .iter()
                .all(|one| matches!(&one.error, Error::Full { name } if name == "s"))
        );
        assert_eq!(listed(socket, "s").entries.len(), 2_000);

        ipset::grow(socket, "s", "twin", 5_000).unwrap();
        assert!(add(socket, "s", (0..5_000).map(nth)).is_empty());
        let listing = listed(socket, "s");
        assert_eq!(listing.entries.len(), 5_000);
        assert_eq!(listing.header.spec, Some(hash(Kind::HashIpPort, 5_000)));
        assert_eq!(ipset::list(socket, "twin").unwrap(), None);
    });
}

#[test]
fn a_set_grows_under_its_rules() {
    in_netns(|socket| {
        ipset::create(socket, "s", &hash(Kind::HashIp, 65_536)).unwrap();
        run("ipset", &["add", "s", "10.0.0.1"]);
        run(
            "iptables-nft",
            &["-A", "OUTPUT", "-m", "set", "--match-set", "s", "dst"],
        );
        // Left by an attempt that was cut short.
        ipset::create(socket, "twin", &hash(Kind::HashIp, 9)).unwrap();
        ipset::grow(socket, "s", "twin", 100_000).unwrap();
        let many = (0..100_000).map(|n| Entry::Ip(IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n))));
        assert!(add(socket, "s", many).is_empty());
        let header = listed(socket, "s").header;
        assert_eq!((header.elements, header.references), (Some(100_000), 1));
        assert!(header.hash_size >= 16_384, "{header:?}");
        assert!(run("iptables-nft-save", &[]).contains("-m set --match-set s dst"));
        // Large enough: nothing to do but to tidy up.
        ipset::create(socket, "twin", &hash(Kind::HashIp, 9)).unwrap();
        ipset::grow(socket, "s", "twin", 70_000).unwrap();
        assert_eq!(ipset::list(socket, "twin").unwrap(), None);
        assert_eq!(listed(socket, "s").header, header);
    });
}

#[test]
fn failures_have_names() {
    in_netns(|socket| {
        let ports = Spec::Ports {
            first: 10,
            last: 20,
        };
        ipset::create(socket, "a", &hash(Kind::HashIp, 100)).unwrap();
        ipset::create(socket, "b", &hash(Kind::HashIp, 200)).unwrap();
        ipset::create(socket, "p", &ports).unwrap();

        for other in [hash(Kind::HashIp, 101), hash(Kind::HashNet, 100), ports] {
            let error = ipset::create(socket, "a", &other).unwrap_err();
            assert!(matches!(error, Error::Differs { .. }), "{error}");
        }
        let error = ipset::swap(socket, "a", "p").unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }), "{error}");
        let error = ipset::swap(socket, "a", "missing").unwrap_err();
        assert!(
            matches!(&error, Error::Missing { name } if name == "missing"),
            "{error}"
        );
        let error = ipset::swap(socket, "missing", "a").unwrap_err();
        assert!(
            matches!(&error, Error::Missing { name } if name == "missing"),
            "{error}"
        );
        let error = ipset::rename(socket, "a", "b").unwrap_err();
        assert!(
            matches!(&error, Error::Exists { name } if name == "b"),
            "{error}"
        );
        assert!(!ipset::destroy(socket, "missing").unwrap());
        assert!(!ipset::flush(socket, "missing").unwrap());
        assert_eq!(ipset::list(socket, "missing").unwrap(), None);

        let one =
            |socket: &mut Socket, set: &str, entry| add(socket, set, [entry]).pop().unwrap().error;
        let error = one(socket, "missing", nth(1));
        assert!(
            matches!(&error, Error::Missing { name } if name == "missing"),
            "{error}"
        );
        let error = one(socket, "p", Entry::Port(21));
        assert!(
            matches!(
                error,
                Error::Element {
                    why: ElementFault::Range,
                    ..
                }
            ),
            "{error}"
        );
        let net = Entry::Net("10.0.0.0/0".parse().unwrap());
        ipset::create(socket, "n", &hash(Kind::HashNet, 100)).unwrap();
        let error = one(socket, "n", net);
        assert!(
            matches!(
                error,
                Error::Element {
                    why: ElementFault::Prefix,
                    ..
                }
            ),
            "{error}"
        );

        run(
            "iptables-nft",
            &["-A", "OUTPUT", "-m", "set", "--match-set", "a", "dst"],
        );
        let error = ipset::destroy(socket, "a").unwrap_err();
        assert!(matches!(error, Error::Busy { .. }), "{error}");
        let error = ipset::rename(socket, "a", "c").unwrap_err();
        assert!(matches!(error, Error::Busy { .. }), "{error}");

        for name in ["", "a\0b", "KUBE-6-LOAD-BALANCER-SOURCE-CIDR"] {
            assert!(matches!(
                ipset::create(socket, name, &ports),
                Err(Error::Name { .. })
            ));
            assert!(matches!(
                ipset::destroy(socket, name),
                Err(Error::Name { .. })
            ));
        }
    });
}

#[test]
fn sets_of_others_are_listed_as_far_as_they_are_known() {
    in_netns(|socket| {
        restore(
            "create l list:set size 8\ncreate t hash:ip timeout 300 counters comment\n\
             add t 10.0.0.1 timeout 100 comment x\ncreate n hash:ip,port,net\n\
             add n 10.0.0.1,tcp:80,10.0.0.0/8 nomatch\nadd n 10.0.0.1,tcp:80,10.0.0.0/9\n\
             create m hash:ip netmask 24\n",
        );
        let list = listed(socket, "l");
        assert_eq!((&*list.kind, list.header.spec), ("list:set", None));
        let timed = listed(socket, "t");
        assert!(!timed.header.plain);
        assert_eq!(timed.entries, [Entry::Ip("10.0.0.1".parse().unwrap())]);
        let networks = listed(socket, "n");
        assert!(networks.header.plain);
        assert_eq!((networks.entries.len(), networks.unreadable), (1, 1));
        assert!(!listed(socket, "m").header.plain);

        let saved = parse_save(&run("ipset", &["save"])).unwrap();
        let counts: Vec<_> = saved
            .iter()
            .map(|set| (&*set.name, set.entries.len()))
            .collect();
        assert_eq!(counts, [("t", 1), ("n", 1), ("m", 0)]);
    });
}

#[test]
fn numbers_of_sets_follow_them() {
    in_netns(|socket| {
        assert_eq!(
            ipset::protocol(socket).unwrap(),
            Protocol { min: 6, max: 7 }
        );
        let spec = hash(Kind::HashIp, 100);
        for name in ["a", "b", "c"] {
            ipset::create(socket, name, &spec).unwrap();
        }
        let mut names = SetNames::new();
        assert_eq!(names.ask_index(socket, "missing").unwrap(), None);
        let b = names.ask_index(socket, "b").unwrap().unwrap();
        assert_eq!(names.ask_name(socket, b).unwrap(), Some("b"));
        assert_eq!(ipset::ask_name(socket, b).unwrap().as_deref(), Some("b"));
        assert_eq!(ipset::ask_name(socket, SetIndex(60_000)).unwrap(), None);
        assert_eq!(ipset::ask_name(socket, SetIndex::INVALID).unwrap(), None);

        // Swapping leaves names and numbers alone; making a set anew does not.
        ipset::swap(socket, "a", "b").unwrap();
        assert_eq!(ipset::ask_index(socket, "b").unwrap(), Some(b));
        let a = ipset::ask_index(socket, "a").unwrap().unwrap();
        ipset::destroy(socket, "a").unwrap();
        ipset::destroy(socket, "b").unwrap();
        ipset::create(socket, "b", &spec).unwrap();
        assert_eq!(ipset::ask_index(socket, "b").unwrap(), Some(a));
        names.insert("b", a);
        assert_eq!(
            (names.index("b"), names.name(a), names.name(b)),
            (Some(a), Some("b"), None)
        );
    });
}
