//! Tracked flows against the kernel, and the decoder against anything.

#![allow(clippy::panic, clippy::unwrap_used, reason = "these are tests")]

mod common;

use common::{in_netns, run};
use netlink_batch::{Messages, Socket};
use nfnetlink::Family::{Ipv4, Ipv6};
use nfnetlink::conntrack::{Deletions, Filter, Flow, dump, lookup, protocol};
use proptest::prelude::*;

/// Adds a UDP flow from 10.9.9.9 and this port; its packets go to `to` where there is one.
fn add(port: u16, destination: &str, to: Option<&str>, more: &[&str]) {
    let (ip, target) = destination.rsplit_once(':').unwrap();
    let port = port.to_string();
    let mut args = vec![
        "-I", "-p", "udp", "-s", "10.9.9.9", "-d", ip, "--sport", &port,
    ];
    args.extend(["--dport", target, "--timeout", "300"]);
    if let Some(to) = to {
        args.extend(["--dst-nat", to]);
    }
    args.extend(more);
    run("conntrack", &args);
}

/// Adds a TCP flow from 10.9.9.9 and this port, in this state.
fn add_tcp(port: u16, destination: &str, state: &str, more: &[&str]) {
    let port = port.to_string();
    let args = ["-I", "-p", "tcp", "-s", "10.9.9.9", "-d", destination];
    let ports = ["--sport", &port, "--dport", "53", "--timeout", "300"];
    run(
        "conntrack",
        &[&args[..], &ports, &["--state", state], more].concat(),
    );
}

fn found(socket: &mut Socket, filter: Filter) -> Vec<Flow> {
    let mut flows = Vec::new();
    let dumped = dump(socket, &filter, |flow| flows.push(*flow)).unwrap();
    assert!(dumped.by_kernel, "{dumped:?}");
    assert_eq!(dumped.matched, flows.len() as u64);
    flows.sort_by_key(|flow| flow.original.source.port());
    flows
}

fn ports(flows: &[Flow]) -> Vec<u16> {
    flows
        .iter()
        .map(|flow| flow.original.source.port())
        .collect()
}

#[test]
fn the_kernel_filters_by_destination_port_and_translation() {
    in_netns(|socket| {
        add(1, "10.1.0.20:53", Some("10.244.0.5:5353"), &[]);
        add(2, "10.1.0.20:53", None, &[]);
        add(3, "10.1.0.20:54", None, &[]);
        add(4, "10.1.0.21:53", Some("10.244.0.5:5353"), &[]);
        add_tcp(5, "10.1.0.20", "ESTABLISHED", &[]);
        let udp = Filter::udp(Ipv4);
        assert_eq!(ports(&found(socket, udp)), [1, 2, 3, 4]);
        let address = udp.to_address("10.1.0.20".parse().unwrap());
        assert_eq!(ports(&found(socket, address)), [1, 2, 3]);
        let one = address.to_port(53);
        assert_eq!(ports(&found(socket, one)), [1, 2]);
        let flows = found(socket, one.only_dnat());
        assert_eq!(ports(&flows), [1]);
        assert_eq!(flows[0].reply.source, "10.244.0.5:5353".parse().unwrap());
        assert_eq!(ports(&found(socket, udp.to_port(53))), [1, 2, 4]);
        assert_eq!(found(socket, Filter::udp(Ipv6)), []);
    });
}

#[test]
fn tcp_flows_tell_their_state_and_those_without_an_answer_are_filtered_by_the_kernel() {
    in_netns(|socket| {
        add(1, "10.1.0.20:53", None, &[]);
        add_tcp(2, "10.1.0.20", "SYN_SENT", &[]);
        add_tcp(3, "10.1.0.20", "SYN_SENT", &["--dst-nat", "10.244.0.5:53"]);
        add_tcp(4, "10.1.0.20", "ESTABLISHED", &["-u", "SEEN_REPLY"]);
        let unreplied = Filter::unreplied_tcp(Ipv4);
        let flows = found(socket, unreplied);
        assert_eq!(ports(&flows), [2, 3]);
        assert!(flows.iter().all(Flow::is_syn_sent));
        let dnat = found(socket, unreplied.only_dnat());
        assert_eq!(ports(&dnat), [3]);
        let all = found(socket, Filter::new(Ipv4, protocol::TCP));
        assert_eq!(ports(&all), [2, 3, 4]);
        assert_eq!(all[2].tcp_state, Some(3), "TCP_CONNTRACK_ESTABLISHED");
    });
}

#[test]
fn a_flow_is_looked_up_and_no_other_with_its_tuples() {
    in_netns(|socket| {
        add_tcp(1, "10.1.0.20", "SYN_SENT", &["--dst-nat", "10.244.0.5:53"]);
        let flow = found(socket, Filter::unreplied_tcp(Ipv4)).remove(0);
        assert_eq!(lookup(socket, &flow).unwrap(), Some(flow));
        let mut another = flow;
        another.id = !flow.id;
        assert_eq!(lookup(socket, &another).unwrap(), None);
        run("conntrack", &["-D", "-p", "tcp", "--sport", "1"]);
        assert_eq!(lookup(socket, &flow).unwrap(), None);
    });
}

#[test]
fn exactly_the_flows_that_were_read_are_deleted() {
    in_netns(|socket| {
        for port in 1..=4 {
            add(port, "10.1.0.20:53", Some("10.244.0.5:5353"), &[]);
        }
        let flows = found(socket, Filter::udp(Ipv4));
        // The first one goes by itself, the second one comes back and leads elsewhere.
        let delete = |port: &str| run("conntrack", &["-D", "-p", "udp", "--sport", port]);
        delete("1");
        delete("2");
        add(2, "10.1.0.20:53", Some("10.244.0.6:5353"), &[]);
        let mut deletions = Deletions::new();
        flows[..3].iter().for_each(|flow| deletions.push(flow));
        let done = deletions.send(socket).unwrap();
        assert_eq!((done.deleted, done.gone, done.refused), (1, 2, None));
        assert!(deletions.is_empty());
        let left = found(socket, Filter::udp(Ipv4));
        assert_eq!(ports(&left), [2, 4]);
        assert_eq!(deletions.send(socket).unwrap().deleted, 0, "nothing sent");
        assert_eq!(ports(&found(socket, Filter::udp(Ipv4))), [2, 4]);
    });
}

#[test]
fn zones_are_told_apart() {
    in_netns(|socket| {
        add(1, "10.1.0.20:53", None, &["--zone", "7"]);
        add(1, "10.1.0.20:53", None, &[]);
        add(2, "10.1.0.20:53", None, &["--orig-zone", "8"]);
        let flows = found(socket, Filter::udp(Ipv4));
        let mut zones: Vec<_> = flows.iter().map(|f| (f.zone, f.original.zone)).collect();
        zones.sort_unstable();
        assert_eq!(zones, [(None, None), (None, Some(8)), (Some(7), None)]);
        let mut deletions = Deletions::new();
        flows
            .iter()
            .filter(|flow| !flow.in_default_zone())
            .for_each(|flow| deletions.push(flow));
        assert_eq!(deletions.send(socket).unwrap().deleted, 2);
        let left = found(socket, Filter::udp(Ipv4));
        assert_eq!((left.len(), left[0].zone), (1, None));
    });
}

#[test]
fn ipv6_flows_are_filtered_and_deleted() {
    in_netns(|socket| {
        for destination in ["fd00:10:1::20", "fd00:10:1::21"] {
            let args = ["-I", "-p", "udp", "-s", "fd00::9", "-d", destination];
            let ports = ["--sport", "1", "--dport", "53", "--timeout", "300"];
            run("conntrack", &[&args[..], &ports].concat());
        }
        let address = "fd00:10:1::20".parse().unwrap();
        let one = Filter::udp(Ipv6).to_address(address).to_port(53);
        let flows = found(socket, one);
        assert_eq!(flows.len(), 1);
        let mut deletions = Deletions::new();
        deletions.push(&flows[0]);
        assert_eq!(deletions.send(socket).unwrap().deleted, 1);
        assert_eq!(found(socket, one), []);
        assert_eq!(found(socket, Filter::udp(Ipv6)).len(), 1);
    });
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(
        noise in proptest::collection::vec(any::<u8>(), 0..300),
        family in prop_oneof![Just(2_u8), Just(10), any::<u8>()],
        kind in prop_oneof![Just(1_u8), Just(2), any::<u8>()],
    ) {
        // A message of the right type around attributes whose first one may be a tuple.
        let mut bytes = vec![0; 20];
        bytes[5] = 1;
        bytes[16] = family;
        bytes.extend(u16::try_from(noise.len() + 4).unwrap().to_ne_bytes());
        bytes.extend([kind, 0x80]);
        bytes.extend(&noise);
        let len = u32::try_from(bytes.len()).unwrap();
        bytes[..4].copy_from_slice(&len.to_ne_bytes());
        for message in Messages::new(&bytes).flatten() {
            let _ = Flow::read(&message);
        }
        for message in Messages::new(&noise).flatten() {
            let _ = Flow::read(&message);
        }
    }
}
