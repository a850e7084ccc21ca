//! The socket against the kernel, with rtnetlink messages of a namespace of its own.

#![allow(clippy::panic, clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::time::Duration;

use common::in_netns;
use netlink_batch::message::flags::{ACK, CREATE, EXCL};
use netlink_batch::{Batch, Errno, Error, Socket, socket};

/// For what has to come; tests that pass never wait so long.
const LIMIT: Duration = Duration::from_secs(180);
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const IFLA_IFNAME: u16 = 3;
const IFA_LOCAL: u16 = 2;
const RTNLGRP_LINK: u32 = 1;
const IFINFO: [u8; 16] = [0; 16];
/// `ifaddrmsg`: IPv4, /32, interface 1 (lo).
const LO: [u8; 8] = [2, 32, 0, 0, 1, 0, 0, 0];

fn route() -> Socket {
    Socket::open(socket::ROUTE).unwrap()
}

fn up(batch: &mut Batch<u32>, index: i32) {
    let mut info = IFINFO;
    info[4..8].copy_from_slice(&index.to_ne_bytes());
    info[8..12].copy_from_slice(&1u32.to_ne_bytes()); // IFF_UP
    info[12..16].copy_from_slice(&1u32.to_ne_bytes());
    batch.message(RTM_NEWLINK, ACK, &info, |_| {});
}

fn addresses(socket: &mut Socket) -> usize {
    let mut count = 0;
    socket
        .dump(
            RTM_GETADDR,
            &[2, 0, 0, 0, 0, 0, 0, 0],
            |_| {},
            |_| {
                count += 1;
                Ok(())
            },
        )
        .unwrap();
    count
}

#[test]
fn dumps_all_links_of_the_namespace() {
    in_netns(|| {
        let mut names = Vec::new();
        route()
            .dump(
                RTM_GETLINK,
                &IFINFO,
                |_| {},
                |message| {
                    let (_, attrs) = message.split::<16>()?;
                    for attr in attrs {
                        let attr = attr?;
                        if attr.kind == IFLA_IFNAME {
                            names.push(attr.str()?.to_owned());
                        }
                    }
                    Ok(())
                },
            )
            .unwrap();
        assert!(names.contains(&"lo".to_owned()), "{names:?}");
    });
}

#[test]
fn a_refused_request_carries_errno_and_text() {
    in_netns(|| {
        let mut socket = route();
        let mut info = IFINFO;
        info[4..8].copy_from_slice(&4711i32.to_ne_bytes());
        let ask = |socket: &mut Socket| socket.request(RTM_GETLINK, 0, &info, |_| {}, |_| Ok(()));
        assert_eq!(ask(&mut socket).unwrap_err().errno(), Some(Errno(19)));

        // The kernel explains itself where it has words: 33 bits do not fit an IPv4 prefix.
        let bad = [2, 33, 0, 0, 1, 0, 0, 0];
        let error = socket
            .request(
                RTM_NEWADDR,
                CREATE,
                &bad,
                |a| a.bytes(IFA_LOCAL, &[192, 0, 2, 1]),
                |_| Ok(()),
            )
            .unwrap_err();
        let Error::Refused {
            errno: Errno::INVAL,
            text: Some(_),
            ..
        } = error
        else {
            panic!("{error:?}");
        };
    });
}

#[test]
fn the_first_error_of_the_reader_is_returned() {
    in_netns(|| {
        let mut socket = route();
        let mut calls = 0;
        let result = socket.dump(
            RTM_GETLINK,
            &IFINFO,
            |_| {},
            |_| {
                calls += 1;
                Err(Error::Missing {
                    object: "link",
                    attribute: "name",
                })
            },
        );
        assert!(matches!(result, Err(Error::Missing { .. })));
        assert_eq!(calls, 1);
        // The socket is ready for the next request.
        assert_eq!(addresses(&mut socket), 0);
    });
}

#[test]
fn refusals_name_their_tag_among_a_thousand_messages() {
    in_netns(|| {
        let mut socket = route();
        let mut batch = Batch::new();
        for n in 0..1000u32 {
            batch.tag(n / 10);
            let [_, _, high, low] = n.to_be_bytes();
            // The first of each hundred repeats the address before it.
            let low = if n % 100 == 99 { low - 1 } else { low };
            batch.message(RTM_NEWADDR, CREATE | EXCL, &LO, |attrs| {
                attrs.bytes(IFA_LOCAL, &[10, 0, high, low]);
            });
        }
        let answers = socket
            .send(&batch, |_, _| panic!("nothing was to be echoed"))
            .unwrap();
        let refused: Vec<_> = answers
            .refusals
            .iter()
            .map(|r| (r.tag, r.index, r.errno))
            .collect();
        let expected: Vec<_> = (0..10)
            .map(|hundred| {
                (
                    Some(hundred * 10 + 9),
                    Some(hundred * 100 + 99),
                    Errno::EXIST,
                )
            })
            .collect();
        assert_eq!(refused, expected);
        assert_eq!((answers.acknowledged, answers.lost), (0, false));
        assert_eq!(addresses(&mut socket), 990);
    });
}

#[test]
fn a_batch_can_be_cleared_and_sent_again() {
    in_netns(|| {
        let mut socket = route();
        let mut batch = Batch::new();
        for round in 0..3u8 {
            batch.clear();
            batch.tag(u32::from(round));
            batch.message(RTM_NEWADDR, CREATE | ACK, &LO, |attrs| {
                attrs.bytes(IFA_LOCAL, &[10, 0, 0, round]);
            });
            let answers = socket.send(&batch, |_, _| ()).unwrap();
            assert_eq!((answers.acknowledged, answers.refusals.len()), (1, 0));
        }
        assert_eq!(addresses(&mut socket), 3);
    });
}

#[test]
fn an_empty_batch_is_not_sent() {
    in_netns(|| {
        let answers = route().send(&Batch::<u32>::new(), |_, _| ()).unwrap();
        assert!(answers.refusals.is_empty() && answers.acknowledged == 0 && !answers.lost);
    });
}

#[test]
fn a_batch_beyond_the_capacity_is_refused_before_sending() {
    in_netns(|| {
        let mut socket = route();
        let capacity = socket.allow_send(64 * 1024).unwrap();
        assert!((64 * 1024..70 * 1024).contains(&capacity), "{capacity}");
        let mut batch = Batch::new();
        while batch.len() <= capacity {
            up(&mut batch, 1);
        }
        let Err(Error::TooLarge {
            bytes,
            capacity: told,
        }) = socket.send(&batch, |_, _| ())
        else {
            panic!("sent {} bytes with room for {capacity}", batch.len());
        };
        assert_eq!((bytes, told), (batch.len(), capacity));
    });
}

#[test]
fn the_capacity_told_is_exact() {
    in_netns(|| {
        let mut socket = route();
        socket.allow_send(64 * 1024).unwrap();
        let capacity = socket.send_capacity();
        // One byte more than the kernel allows is what it refuses itself.
        let inner = netlink_sys::Socket::new(socket::ROUTE).unwrap();
        inner.connect(&netlink_sys::SocketAddr::new(0, 0)).unwrap();
        let half = capacity.midpoint(32);
        nix::sys::socket::setsockopt(&inner, nix::sys::socket::sockopt::SndBuf, &half).unwrap();
        assert!(inner.send(&vec![0; capacity], 0).is_ok());
        let error = inner.send(&vec![0; capacity + 1], 0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::MSGSIZE.raw()));
    });
}

#[test]
fn lost_answers_are_told() {
    in_netns(|| {
        let mut socket = route();
        socket.allow_receive(2304).unwrap();
        let mut batch = Batch::new();
        for n in 0..200 {
            batch.tag(n);
            batch.message(RTM_NEWADDR, CREATE, &[2, 33, 0, 0, 1, 0, 0, 0], |attrs| {
                attrs.bytes(IFA_LOCAL, &[10, 0, 0, 1]);
            });
        }
        let answers = socket.send(&batch, |_, _| ()).unwrap();
        assert!(answers.lost);
        assert_eq!(
            answers.refusals.first().and_then(|refusal| refusal.tag),
            Some(0)
        );
        assert!(answers.refusals.len() < 200);
        // What was lost is not told again.
        batch.clear();
        up(&mut batch, 1);
        let answers = socket.send(&batch, |_, _| ()).unwrap();
        assert_eq!((answers.lost, answers.acknowledged), (false, 1));
    });
}

#[test]
fn notifications_arrive_with_the_port_of_their_cause() {
    in_netns(|| {
        let mut listener = route();
        listener.join(RTNLGRP_LINK).unwrap();
        let quiet = listener
            .receive(Some(Duration::from_millis(20)), |_| ())
            .unwrap();
        assert_eq!(quiet, 0);

        let mut writer = route();
        let mut batch = Batch::new();
        up(&mut batch, 1);
        assert!(writer.send(&batch, |_, _| ()).unwrap().refusals.is_empty());
        let mut kinds = Vec::new();
        listener
            .receive(Some(LIMIT), |message| {
                kinds.push(message.kind);
            })
            .unwrap();
        assert!(kinds.contains(&RTM_NEWLINK), "{kinds:?}");

        listener.leave(RTNLGRP_LINK).unwrap();
        batch.clear();
        batch.message(
            RTM_NEWLINK,
            ACK,
            &[0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
            |_| {},
        );
        assert_eq!(writer.send(&batch, |_, _| ()).unwrap().acknowledged, 1);
        // The kernel tells listeners before it acknowledges.
        let left = listener.receive(Some(Duration::ZERO), |_| ()).unwrap();
        assert_eq!(left, 0);
    });
}

#[test]
fn a_flooded_listener_is_told_to_resync() {
    in_netns(|| {
        let mut listener = route();
        listener.allow_receive(2304).unwrap();
        listener.join(RTNLGRP_LINK).unwrap();
        let mut writer = route();
        let mut batch = Batch::<u32>::new();
        for n in 0..50 {
            let mut info = IFINFO;
            info[4] = 1;
            info[8] = n % 2;
            info[12] = 1;
            batch.message(RTM_NEWLINK, 0, &info, |_| {});
        }
        assert!(writer.send(&batch, |_, _| ()).unwrap().refusals.is_empty());
        let told = listener.receive(Some(LIMIT), |_| ());
        assert!(matches!(told, Err(Error::Resync)), "{told:?}");
    });
}

#[test]
fn an_unknown_protocol_is_told_apart() {
    let error = Socket::open(31).unwrap_err();
    assert!(
        matches!(error, Error::NoProtocol { protocol: 31 }),
        "{error:?}"
    );
    assert!(error.is_unsupported());
}
