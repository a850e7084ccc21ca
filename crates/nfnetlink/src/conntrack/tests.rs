//! Bytes against what the kernel and conntrack-tools sent; `captures/` names the commands.

use netlink_batch::{Messages, Socket, socket::NETFILTER};

use super::dump::attempt;
use super::{Deletions, Filter, Flow, Tuple, protocol, status};
use crate::Family::{Ipv4, Ipv6};

fn capture(text: &str) -> Vec<u8> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

fn flows(bytes: &[u8]) -> Vec<Flow> {
    Messages::new(bytes)
        .map(|message| Flow::read(&message.unwrap()).unwrap().unwrap())
        .collect()
}

fn captured() -> [Flow; 2] {
    flows(&capture(include_str!("captures/dump.hex")))
        .try_into()
        .unwrap()
}

fn tuple(source: &str, destination: &str) -> Tuple {
    Tuple {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        zone: None,
    }
}

#[test]
fn flows_are_read() {
    let [ipv6, ipv4] = captured();
    assert_eq!((ipv6.family, ipv6.protocol), (Ipv6, protocol::UDP));
    assert_eq!(ipv6.original, tuple("[::1]:40001", "[::1]:9"));
    assert_eq!(ipv6.reply, tuple("[::1]:9", "[::1]:40001"));
    assert!(!ipv6.is_dnat() && ipv6.in_default_zone());
    assert_eq!((ipv4.family, ipv4.protocol), (Ipv4, protocol::UDP));
    assert_eq!(ipv4.original, tuple("10.9.9.9:40000", "10.1.0.20:53"));
    assert_eq!(ipv4.reply, tuple("127.0.0.1:5353", "10.9.9.9:40000"));
    assert!(ipv4.is_dnat() && ipv4.in_default_zone());
    assert_ne!(ipv4.id, ipv6.id);
}

#[test]
fn other_families_are_left_out() {
    let mut bytes = capture(include_str!("captures/dump.hex"));
    bytes[16] = 7; // NFPROTO_BRIDGE
    let message = Messages::new(&bytes).next().unwrap().unwrap();
    assert_eq!(Flow::read(&message).unwrap(), None);
}

#[test]
fn a_flow_without_an_id_or_a_tuple_is_an_error() {
    let bytes = capture(include_str!("captures/dump.hex"));
    for kind in [1_u8, 2, 12] {
        let mut bytes = bytes.clone();
        let mut at = 20;
        while bytes[at + 2] != kind {
            let len = usize::from(u16::from_ne_bytes([bytes[at], bytes[at + 1]]));
            at += len.next_multiple_of(4);
        }
        bytes[at + 2] = 60;
        let message = Messages::new(&bytes).next().unwrap().unwrap();
        let error = Flow::read(&message).unwrap_err().to_string();
        assert!(error.contains("flow"), "{error}");
    }
}

#[test]
fn a_deletion_names_tuple_zone_and_id() {
    let [_, mut flow] = captured();
    let mut deletions = Deletions::new();
    deletions.push(&flow);
    let reply = capture(include_str!("captures/reply-tuple.hex"));
    let message = deletions.bytes();
    assert_eq!(&message[4..8], [0x02, 0x01, 0x01, 0x00], "DELETE, REQUEST");
    assert_eq!(&message[16..20], [2, 0, 0, 0]);
    assert_eq!(&message[20..20 + reply.len()], reply);
    let mut id = vec![8, 0, 12, 0];
    id.extend(flow.id.to_be_bytes());
    assert_eq!(&message[20 + reply.len()..], id);

    flow.zone = Some(7);
    flow.reply.zone = Some(9);
    deletions.push(&flow);
    let second = &deletions.bytes()[deletions.bytes().len() / 2 - 8..];
    let has = |bytes: &[u8]| second.windows(bytes.len()).any(|window| window == bytes);
    assert!(has(&[6, 0, 18, 0, 0, 7, 0, 0]), "CTA_ZONE");
    assert!(has(&[6, 0, 3, 0, 0, 9, 0, 0]), "CTA_TUPLE_ZONE");
    assert_eq!(deletions.len(), 2);
}

#[test]
fn filters_match_what_they_say() {
    let [ipv6, ipv4] = captured();
    let filter = Filter {
        address: Some("10.1.0.20".parse().unwrap()),
        port: Some(53),
        dnat_only: true,
        ..Filter::udp(Ipv4)
    };
    assert!(filter.matches(&ipv4) && !filter.matches(&ipv6));
    let but = |change: &dyn Fn(&mut Flow)| {
        let mut flow = ipv4;
        change(&mut flow);
        filter.matches(&flow)
    };
    assert!(but(&|flow| flow.id += 1));
    assert!(!but(&|flow| flow.protocol = 6));
    assert!(!but(&|flow| flow.status = 0));
    assert!(!but(&|flow| flow.original.destination.set_port(54)));
    assert!(!but(&|flow| flow
        .original
        .destination
        .set_ip("10.1.0.21".parse().unwrap())));
    let unreplied = Filter {
        unreplied_only: true,
        ..filter
    };
    let replied = status::DST_NAT | status::SEEN_REPLY;
    assert!(unreplied.matches(&Flow {
        status: status::DST_NAT,
        ..ipv4
    }));
    assert!(!unreplied.matches(&Flow {
        status: replied,
        ..ipv4
    }));
    assert!(!Filter::unreplied_tcp(Ipv4).matches(&ipv4), "UDP");
    assert!(Filter::udp(Ipv6).matches(&ipv6) && !Filter::udp(Ipv6).matches(&ipv4));
}

#[test]
fn a_kernel_without_filters_is_asked_for_everything() {
    let flows_of = |in_kernel| {
        let (add, socket) = ("conntrack", Socket::open(NETFILTER));
        let run = |address: &str| {
            let line = format!("-I -p udp -s 10.9.9.9 -d {address} --sport 1 --dport 53 -t 99");
            let status = std::process::Command::new(add)
                .args(line.split(' '))
                .output();
            assert!(status.unwrap().status.success());
        };
        run("10.1.0.20");
        run("10.1.0.21");
        let filter = Filter {
            address: Some("10.1.0.20".parse().unwrap()),
            ..Filter::udp(Ipv4)
        };
        let mut found = Vec::new();
        let dumped = attempt(&mut socket.unwrap(), &filter, in_kernel, &mut |flow| {
            found.push(flow.original.destination.ip());
        });
        assert_eq!(found, [filter.address.unwrap()]);
        let dumped = dumped.unwrap();
        (dumped.seen, dumped.matched, dumped.by_kernel)
    };
    let in_namespace = |in_kernel| {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                flows_of(in_kernel)
            });
            thread.join().unwrap()
        })
    };
    assert_eq!(in_namespace(true), (1, 1, true));
    assert_eq!(in_namespace(false), (2, 1, false));
}
