//! What is sent, against what `ipvsadm` sends.

use netlink_batch::message::HEADER_LEN;
use netlink_batch::{Attrs, Messages};

use super::capture;
use crate::text::Line;
use crate::{
    Checksum, Destination, DestinationId, Family, Forwarding, Invalid, Netmask, Protocol, Requests,
    Scheduler, Server, ServerFlags, ServerId, Timeouts, Tunnel,
};

/// Sections of a line with the command and the message that it sent last.
const SENT: &str = include_str!("../../tests/data/sent.hex");

fn sent(command: &str) -> Vec<u8> {
    let section = SENT
        .split("\n> ")
        .find_map(|section| section.strip_prefix(command)?.strip_prefix('\n'))
        .unwrap();
    capture(section)
}

/// A message's command, and its attributes by their place: what they are nested in, and their kind.
fn attributes(message: &[u8]) -> (u8, Vec<(u16, u16, Vec<u8>)>) {
    let message = Messages::new(message).next().unwrap().unwrap();
    let (header, attrs) = message.split::<4>().unwrap();
    assert_eq!(header[1..], [1, 0, 0], "version");
    let mut found = Vec::new();
    for attr in attrs.map(Result::unwrap) {
        // IPVS_CMD_ATTR_SERVICE and IPVS_CMD_ATTR_DEST.
        if attr.kind <= 2 {
            for inner in attr.nested().map(Result::unwrap) {
                found.push((attr.kind, inner.kind, inner.payload.to_vec()));
            }
        } else {
            found.push((0, attr.kind, attr.payload.to_vec()));
        }
    }
    (header[0], found)
}

/// The requests made from a line that adds or edits something.
fn request(line: &str, set: bool) -> Requests<()> {
    let mut requests = Requests::new(0x1c);
    match line.parse().unwrap() {
        Line::Server { id, server } if set => requests.set_server(&id, &server).unwrap(),
        Line::Server { id, server } => requests.new_server(&id, &server).unwrap(),
        Line::Destination {
            server,
            id,
            destination,
        } => {
            if set {
                requests.set_destination(&server, &id, &destination)
            } else {
                requests.new_destination(&server, &id, &destination)
            }
            .unwrap();
        }
    }
    requests
}

/// `ipvsadm` sends all that is sent here, and more: attributes of the server where only its
/// identity counts, and the encapsulation where there is none.
fn assert_sent(ours: &[u8], theirs: &[u8]) {
    let (command, mut ours) = attributes(ours);
    let (their_command, theirs) = attributes(theirs);
    assert_eq!(command, their_command);
    for (of, kind, payload) in theirs {
        if let Some(at) = ours
            .iter()
            .position(|(ours_of, ours_kind, _)| (*ours_of, *ours_kind) == (of, kind))
        {
            assert_eq!(ours.remove(at).2, payload, "attribute {kind} of {of}");
        } else {
            let ignored = match of {
                1 => command != 1 && command != 2 && (6..=9).contains(&kind),
                2 if command == 7 => kind >= 3,
                _ => of == 2 && kind >= 13 && payload.iter().all(|byte| *byte == 0),
            };
            assert!(ignored, "attribute {kind} of {of} is missing: {payload:?}");
        }
    }
    assert_eq!(ours, [], "more than ipvsadm sends");
}

#[test]
fn servers_are_written_as_ipvsadm_writes_them() {
    for (command, line, set) in [
        (
            "ipvsadm -A -t 10.0.0.1:80 -s wrr -p 600 -M 255.255.255.0",
            "-A -t 10.0.0.1:80 -s wrr -p 600 -M 255.255.255.0",
            false,
        ),
        (
            "ipvsadm -A -t [fd00::2]:80 -s mh -b mh-port -p 60 -M 64",
            "-A -t [fd00::2]:80 -s mh -b mh-port -p 60 -M 64",
            false,
        ),
        (
            "ipvsadm -E -u 10.0.0.1:5060 -s sh -p 60 --pe sip -o -b sh-port",
            "-A -u 10.0.0.1:5060 -s sh -p 60 --pe sip -o -b sh-port",
            true,
        ),
    ] {
        let requests = request(line, set);
        let (ours, theirs) = (requests.as_bytes(), sent(command));
        assert_eq!(ours[..6], theirs[..6], "length and type");
        assert_eq!(ours[HEADER_LEN..], theirs[HEADER_LEN..], "{command}");
    }
}

#[test]
fn destinations_are_written_as_ipvsadm_writes_them() {
    let tunnel = "-f 7 -r [fd00::3]:0 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum";
    let add = "-t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 3 -x 100 -y 50";
    let set = "-t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 0";
    for (command, line, set) in [
        (format!("ipvsadm -a {add}"), add, false),
        (format!("ipvsadm -e {set}"), set, true),
        (
            format!("ipvsadm -a {}", tunnel.replace("[fd00::3]:0", "fd00::3")),
            tunnel,
            false,
        ),
    ] {
        let requests = request(&format!("-a {line}"), set);
        assert_sent(requests.as_bytes(), &sent(&command));
    }
}

fn tcp() -> ServerId {
    ServerId::Address {
        address: [10, 0, 0, 1].into(),
        port: 80,
        protocol: Protocol::Tcp,
    }
}

fn pod() -> DestinationId {
    DestinationId {
        address: [10, 1, 0, 1].into(),
        port: 8080,
    }
}

#[test]
fn the_rest_is_written_as_ipvsadm_writes_it() {
    type Fill = fn(&mut Requests<()>);
    let cases: [(&str, Fill); 6] = [
        ("ipvsadm -d -t 10.0.0.1:80 -r 10.1.0.1:8080", |requests| {
            requests.delete_destination(&tcp(), &pod());
        }),
        ("ipvsadm -D -f 7", |requests| {
            requests.delete_server(&ServerId::Fwmark {
                family: Family::Ipv4,
                mark: 7,
            });
        }),
        ("ipvsadm -Z -t 10.0.0.1:80", |requests| {
            requests.zero(Some(&tcp()));
        }),
        ("ipvsadm -Z", |requests| requests.zero(None)),
        ("ipvsadm -C", Requests::flush),
        ("ipvsadm --set 900 120 300", |requests| {
            requests.set_config(&Timeouts {
                tcp: 900,
                tcp_fin: 120,
                udp: 300,
            });
        }),
    ];
    for (command, fill) in cases {
        let mut requests = Requests::new(0x1c);
        fill(&mut requests);
        assert_sent(requests.as_bytes(), &sent(command));
    }
}

#[test]
fn only_what_is_asked_for_is_acknowledged() {
    let mut requests = Requests::new(0x1c);
    requests.tag('a');
    requests.delete_server(&tcp());
    requests.acknowledge();
    requests.tag('b');
    requests.delete_server(&tcp());
    requests.delete_server(&tcp());
    let flags: Vec<u16> = Messages::new(requests.as_bytes())
        .map(|message| message.unwrap().flags)
        .collect();
    assert_eq!(flags, [0x5, 0x1, 0x1]);
    assert_eq!(requests.tag_at(0), Some(&'a'));
    assert_eq!(requests.tag_at(2), Some(&'b'));
    assert_eq!((requests.count(), requests.is_full()), (3, false));
    requests.clear();
    assert!(requests.is_empty());
}

#[test]
fn the_kernels_own_flag_is_never_sent() {
    let mut requests = Requests::<()>::new(0x1c);
    let server = Server {
        flags: ServerFlags::HASHED | ServerFlags::SCHED_3,
        ..Server::new(Scheduler::RR, Family::Ipv4)
    };
    requests.new_server(&tcp(), &server).unwrap();
    let (_, attributes) = attributes(requests.as_bytes());
    let (.., flags) = attributes
        .iter()
        .find(|(of, kind, _)| (*of, *kind) == (1, 7))
        .unwrap();
    assert_eq!(flags, &[0x20, 0, 0, 0, 255, 255, 255, 255]);
}

#[test]
fn every_netmask_is_written() {
    for len in 0..=32 {
        let mut requests = Requests::<()>::new(0x1c);
        let server = Server {
            netmask: Netmask(len),
            ..Server::new(Scheduler::RR, Family::Ipv4)
        };
        requests.new_server(&tcp(), &server).unwrap();
        let attrs = Attrs::new(&requests.as_bytes()[HEADER_LEN + 4..]).next();
        let mask = attrs
            .unwrap()
            .unwrap()
            .nested()
            .map(Result::unwrap)
            .find(|attr| attr.kind == 9)
            .unwrap()
            .u32_be()
            .unwrap();
        assert_eq!(
            (mask.leading_ones(), mask.count_ones()),
            (u32::from(len), u32::from(len))
        );
    }
}

#[test]
fn what_the_kernel_would_take_in_vain_is_refused() {
    let mut requests = Requests::<()>::new(0x1c);
    let server = Server::new(Scheduler::RR, Family::Ipv4);
    let any = ServerId::Address {
        address: [10, 0, 0, 1].into(),
        port: 0,
        protocol: Protocol::Tcp,
    };
    let one = |flags| Server { flags, ..server };
    let with = |netmask| Server { netmask, ..server };
    let (persistent, one_packet) = (ServerFlags::PERSISTENT, ServerFlags::ONE_PACKET);
    requests.new_server(&any, &one(persistent)).unwrap();
    let error = requests.new_server(&any, &server).unwrap_err();
    assert_eq!(
        error.to_string(),
        "virtual server TCP 10.0.0.1:0: port 0 stands for all ports only where it is persistent"
    );
    let unmarked = ServerId::Fwmark {
        family: Family::Ipv4,
        mark: 0,
    };
    assert!(matches!(
        requests.set_server(&unmarked, &server),
        Err(Invalid::Unmarked(_))
    ));
    let error = requests.set_server(&tcp(), &one(one_packet));
    assert!(matches!(error, Err(Invalid::OnePacket(_))));
    for (id, len) in [("10.0.0.1", 33), ("fd00::1", 0), ("fd00::1", 129)] {
        let id = ServerId::Address {
            address: id.parse().unwrap(),
            port: 80,
            protocol: Protocol::Tcp,
        };
        let error = requests.new_server(&id, &with(Netmask(len)));
        assert!(matches!(error, Err(Invalid::Netmask { .. })), "{id} {len}");
    }

    let add = |requests: &mut Requests<()>, address: &str, destination| {
        let id = DestinationId {
            address: address.parse().unwrap(),
            port: 8080,
        };
        requests.new_destination(&tcp(), &id, &destination)
    };
    let plain = Destination::masqueraded(1);
    let through = |tunnel| Destination {
        forwarding: Forwarding::Tunnel(tunnel),
        ..plain
    };
    let error = add(&mut requests, "fd00::1", plain);
    assert!(matches!(error, Err(Invalid::Family { .. })));
    add(&mut requests, "fd00::1", through(Tunnel::IpIp)).unwrap();
    let error = add(&mut requests, "10.1.0.1", Destination::masqueraded(1 << 31));
    assert!(matches!(error, Err(Invalid::Weight { .. })));
    let above = Destination {
        lower_threshold: 1,
        ..plain
    };
    assert!(matches!(
        add(&mut requests, "10.1.0.1", above),
        Err(Invalid::Thresholds { .. })
    ));
    let (port, checksum) = (0, Checksum::Remote);
    for tunnel in [Tunnel::Gue { port, checksum }, Tunnel::Gre { checksum }] {
        let error = add(&mut requests, "10.1.0.1", through(tunnel));
        assert!(matches!(error, Err(Invalid::Tunnel { .. })), "{tunnel:?}");
    }
    assert_eq!(requests.count(), 2, "what is refused is not added");
}
