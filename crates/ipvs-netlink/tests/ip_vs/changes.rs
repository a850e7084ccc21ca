//! What is written.

use ipvs_netlink::text::Line;
use ipvs_netlink::{
    Destination, Family, Reason, Requests, Scheduler, Server, ServerFlags, ServerId, Timeouts,
    Version,
};

use crate::OPTIONS;
use crate::common::{all, apply, in_netns, must_open, pod, send, tcp};

#[test]
#[ignore = "needs a kernel with IPVS"]
fn refusals_name_their_request_and_reason_and_stop_nothing() {
    in_netns(|| {
        let mut ipvs = must_open();
        let (one, two, none) = (tcp(1), tcp(2), tcp(3));
        let server = Server::new(Scheduler::RR, Family::Ipv4);
        let unknown = Server::new("nosuch".parse().unwrap(), Family::Ipv4);
        let destination = Destination::masqueraded(1);
        let mut requests = ipvs.requests();
        let mut number = 0;
        let mut next = |requests: &mut Requests<u32>| {
            requests.tag(number);
            number += 1;
        };
        next(&mut requests);
        requests.new_server(&one, &server).unwrap();
        next(&mut requests);
        requests.new_server(&one, &server).unwrap();
        next(&mut requests);
        requests
            .new_destination(&one, &pod(1), &destination)
            .unwrap();
        next(&mut requests);
        requests
            .new_destination(&one, &pod(1), &destination)
            .unwrap();
        next(&mut requests);
        requests.new_server(&two, &unknown).unwrap();
        next(&mut requests);
        requests.set_server(&none, &server).unwrap();
        next(&mut requests);
        requests.delete_server(&none);
        next(&mut requests);
        requests
            .new_destination(&none, &pod(1), &destination)
            .unwrap();
        next(&mut requests);
        requests
            .set_destination(&one, &pod(2), &destination)
            .unwrap();
        next(&mut requests);
        requests.delete_destination(&one, &pod(2));
        next(&mut requests);
        requests.set_server(&one, &unknown).unwrap();
        next(&mut requests);
        requests.zero(Some(&none));
        next(&mut requests);
        requests.new_server(&two, &server).unwrap();

        let answers = ipvs.send(&mut requests).unwrap();
        assert_eq!((answers.acknowledged, answers.lost), (1, false));
        let reasons: Vec<(u32, Reason)> = answers
            .refusals
            .iter()
            .map(|refusal| (refusal.tag.unwrap(), requests.reason(refusal)))
            .collect();
        let expected = [
            (1, Reason::Exists),
            (3, Reason::Exists),
            (4, Reason::NoModule),
            (5, Reason::NoServer),
            (6, Reason::NoServer),
            (7, Reason::NoServer),
            (8, Reason::NoDestination),
            (9, Reason::NoDestination),
            (10, Reason::NoModule),
            (11, Reason::NoServer),
        ];
        assert_eq!(reasons, expected);
        let ids: Vec<ServerId> = all(&mut ipvs)
            .into_iter()
            .filter_map(|line| match line {
                Line::Server { id, .. } => Some(id),
                Line::Destination { .. } => None,
            })
            .collect();
        assert_eq!(ids.len(), 2);
    });
}

#[test]
#[ignore = "needs a kernel with IPVS"]
fn a_change_of_a_server_keeps_its_destinations() {
    in_netns(|| {
        let mut ipvs = must_open();
        let id = tcp(1);
        let mut requests = ipvs.requests();
        let first = Server::new(Scheduler::RR, Family::Ipv4);
        requests.new_server(&id, &first).unwrap();
        requests
            .new_destination(&id, &pod(1), &Destination::masqueraded(3))
            .unwrap();
        send(&mut ipvs, &mut requests);
        let mut second = Server::new(Scheduler::MH, Family::Ipv4);
        second.flags = ServerFlags::PERSISTENT | ServerFlags::HASH_PORT;
        second.timeout = 600;
        requests.set_server(&id, &second).unwrap();
        requests
            .set_destination(&id, &pod(1), &Destination::masqueraded(0))
            .unwrap();
        send(&mut ipvs, &mut requests);
        assert_eq!(ipvs.server(&id).unwrap().unwrap().server, second);
        let mut entries = Vec::new();
        ipvs.destinations(&id, |entry| entries.push(entry)).unwrap();
        assert_eq!((entries.len(), entries[0].destination.weight), (1, 0));
        assert!(entries[0].is_idle());

        requests.set_server(&id, &first).unwrap();
        send(&mut ipvs, &mut requests);
        assert_eq!(ipvs.server(&id).unwrap().unwrap().server, first);
        requests.delete_server(&id);
        send(&mut ipvs, &mut requests);
        assert_eq!(ipvs.server(&id).unwrap(), None);
        ipvs.destinations(&id, |entry| panic!("{entry:?}")).unwrap();
    });
}

#[test]
#[ignore = "needs a kernel with IPVS"]
fn namespaces_have_their_own_servers_and_timeouts() {
    in_netns(|| {
        let mut ipvs = must_open();
        let before = ipvs.config().unwrap();
        apply(&mut ipvs, OPTIONS);
        let mut requests = ipvs.requests();
        requests.set_config(&Timeouts {
            tcp: 77,
            ..Timeouts::default()
        });
        send(&mut ipvs, &mut requests);
        assert_eq!(ipvs.config().unwrap(), Timeouts { tcp: 77, ..before });
        in_netns(|| {
            let mut other = must_open();
            assert_eq!(other.config().unwrap(), before);
            assert!(all(&mut other).is_empty());
            let mut requests = other.requests();
            requests.flush();
            send(&mut other, &mut requests);
        });
        assert_eq!(all(&mut ipvs).len(), OPTIONS.lines().count());
        requests.flush();
        send(&mut ipvs, &mut requests);
        assert!(all(&mut ipvs).is_empty());
        let info = ipvs.info().unwrap();
        assert!(
            info.version >= Version::from_code(0x01_02_01),
            "{}",
            info.version
        );
        assert!(info.table_size.is_power_of_two());
    });
}

#[test]
#[ignore = "needs a kernel with IPVS"]
fn a_full_chunk_of_refusals_is_told_whole() {
    in_netns(|| {
        let mut ipvs = must_open();
        let mut requests = ipvs.requests();
        while !requests.is_full() {
            requests.tag(requests.count());
            requests.delete_server(&tcp(requests.count()));
        }
        let answers = ipvs.send(&mut requests).unwrap();
        assert!(!answers.lost);
        assert_eq!(answers.refusals.len(), requests.count() as usize);
        assert!(answers.refusals.iter().all(|refusal| {
            refusal.tag == refusal.index && requests.reason(refusal) == Reason::NoServer
        }));
    });
}
