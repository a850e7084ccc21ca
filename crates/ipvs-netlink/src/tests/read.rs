//! What the kernel sends.

use netlink_batch::Messages;

use super::capture;
use crate::text::{self, Line};
use crate::{
    Destination, DestinationEntry, Family, Forwarding, Info, Rates, ServerEntry, ServerFlags,
    Stats, Timeouts, Version,
};

const SERVERS: &str = include_str!("../../tests/data/servers.hex");
const DESTINATIONS: &str = include_str!("../../tests/data/destinations.hex");
/// What `ipvsadm -Sn` printed then, without the server that was made for the counts.
const SAVED: &str = include_str!("../../tests/data/every-option.txt");

fn servers(bytes: &[u8]) -> Vec<ServerEntry> {
    Messages::new(bytes)
        .filter_map(|message| ServerEntry::read(&message.unwrap()).unwrap())
        .collect()
}

fn destinations(bytes: &[u8], server: Family) -> Vec<DestinationEntry> {
    Messages::new(bytes)
        .filter_map(|message| DestinationEntry::read(&message.unwrap(), server).unwrap())
        .collect()
}

/// Changes each attribute of this kind in an object of the capture, found by its header.
fn rename(bytes: &mut [u8], from: [u8; 4], to: [u8; 4]) -> usize {
    let mut count = 0;
    for at in (0..bytes.len() - 4).step_by(4) {
        if bytes[at..at + 4] == from {
            bytes[at..at + 4].copy_from_slice(&to);
            count += 1;
        }
    }
    count
}

#[test]
fn servers_are_what_ipvsadm_saved() {
    let mut told: Vec<String> = servers(&capture(SERVERS))
        .into_iter()
        .map(|ServerEntry { id, server, .. }| Line::Server { id, server }.to_string())
        .filter(|line| !line.contains("10.0.0.9"))
        .collect();
    let mut saved: Vec<String> = text::parse(SAVED)
        .map(Result::unwrap)
        .filter(|line| matches!(line, Line::Server { .. }))
        .map(|line| line.to_string())
        .collect();
    told.sort_unstable();
    saved.sort_unstable();
    assert_eq!(told, saved);
}

#[test]
fn destinations_are_what_ipvsadm_saved() {
    let shape = |id, destination: Destination| {
        format!("{id} {:?} {}", destination.forwarding, destination.weight)
    };
    let mut told: Vec<String> = destinations(&capture(DESTINATIONS), Family::Ipv4)
        .into_iter()
        .filter(|entry| entry.id.port != 5353)
        .map(|entry| shape(entry.id, entry.destination))
        .collect();
    let mut saved: Vec<String> = text::parse(SAVED)
        .filter_map(|line| match line.unwrap() {
            Line::Destination {
                id, destination, ..
            } => Some(shape(id, destination)),
            Line::Server { .. } => None,
        })
        .collect();
    told.sort_unstable();
    saved.sort_unstable();
    assert_eq!(told, saved);
}

#[test]
fn the_kernels_own_flag_is_masked_off() {
    for entry in servers(&capture(SERVERS)) {
        assert!(
            !entry.server.flags.contains(ServerFlags::HASHED),
            "{entry:?}"
        );
    }
}

/// Three packets of 6 bytes each way, where an answer is ICMP's with the packet in it.
const COUNTED: Stats = Stats {
    connections: 3,
    packets_in: 3,
    packets_out: 3,
    bytes_in: 3 * (20 + 8 + 6),
    bytes_out: 3 * (20 + 8 + 20 + 8 + 6),
    rates: Rates {
        connections: 0,
        packets_in: 0,
        packets_out: 0,
        bytes_in: 10,
        bytes_out: 17,
    },
};

#[test]
fn counts_connections_and_thresholds_are_read() {
    let find = |bytes: &[u8]| {
        let server = servers(bytes)
            .into_iter()
            .find(|entry| entry.id.to_string() == "UDP 10.0.0.9:53");
        server.unwrap().stats
    };
    assert_eq!(find(&capture(SERVERS)), COUNTED);

    let [entry] = destinations(&capture(DESTINATIONS), Family::Ipv4)
        .into_iter()
        .filter(|entry| entry.id.port == 5353)
        .collect::<Vec<_>>()[..]
    else {
        unreachable!()
    };
    assert_eq!(entry.stats, COUNTED);
    assert_eq!((entry.active, entry.inactive, entry.persistent), (0, 3, 0));
    assert!(!entry.is_idle());
    let destination = Destination {
        upper_threshold: 9,
        lower_threshold: 4,
        ..Destination::masqueraded(1)
    };
    assert_eq!(entry.destination, destination);
}

#[test]
fn counts_of_kernels_with_32_bits_are_read() {
    let mut bytes = capture(SERVERS);
    // IPVS_SVC_ATTR_STATS64.
    let count = rename(&mut bytes, [0xa0, 0, 12, 0], [0xa0, 0, 60, 0]);
    let entries = servers(&bytes);
    assert_eq!(count, entries.len());
    assert!(entries.iter().any(|entry| entry.stats == COUNTED));
}

#[test]
fn destinations_of_old_kernels_have_the_servers_family() {
    let mut bytes = capture(DESTINATIONS);
    let told = destinations(&bytes, Family::Ipv4);
    let other = told.iter().filter(|entry| entry.id.address.is_ipv6());
    assert_eq!(other.count(), 3);
    // IPVS_DEST_ATTR_ADDR_FAMILY.
    assert_eq!(rename(&mut bytes, [6, 0, 11, 0], [6, 0, 60, 0]), told.len());
    for family in Family::ALL {
        let entries = destinations(&bytes, family);
        assert_eq!(entries.len(), told.len());
        assert!(entries.iter().all(|entry| entry.id.family() == family));
    }
}

#[test]
fn what_there_is_no_type_for_is_left_out() {
    let bytes = capture(SERVERS);
    let all = servers(&bytes).len();
    let mut gre = bytes.clone();
    let payload = |kind, value| [6, 0, kind, 0, value, 0, 0, 0];
    let udp = find(&gre, &payload(2, 17));
    gre[udp + 4] = 47;
    assert_eq!(servers(&gre).len(), all - 1);
    let mut family = bytes.clone();
    let at = find(&family, &payload(1, 10));
    family[at + 4] = 16;
    assert_eq!(servers(&family).len(), all - 1);

    let bytes = capture(DESTINATIONS);
    let all = destinations(&bytes, Family::Ipv4);
    for (from, value) in [
        (payload(11, 10), 16),
        ([8, 0, 3, 0, 2, 0, 0, 0], 5),
        ([5, 0, 13, 0, 1, 0, 0, 0], 3),
    ] {
        let mut bytes = bytes.clone();
        let at = find(&bytes, &from);
        bytes[at + 4] = value;
        assert_eq!(destinations(&bytes, Family::Ipv4).len(), all.len() - 1);
    }
    // The other messages are none of either.
    assert!(servers(&bytes).is_empty());
    assert!(destinations(&capture(SERVERS), Family::Ipv4).is_empty());
    let tunnels = all
        .iter()
        .filter(|entry| matches!(entry.destination.forwarding, Forwarding::Tunnel(_)));
    assert_eq!(tunnels.count(), 6);
}

fn find(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
        .unwrap()
}

#[test]
fn what_is_missing_is_named() {
    let bytes = capture(SERVERS);
    for (header, attribute) in [
        ([6, 0, 1, 0], "family"),
        ([6, 0, 2, 0], "protocol"),
        ([20, 0, 3, 0], "address"),
        ([6, 0, 4, 0], "port"),
        ([8, 0, 9, 0], "netmask"),
    ] {
        let mut bytes = bytes.clone();
        rename(&mut bytes, header, [header[0], 0, 60, 0]);
        let message = Messages::new(&bytes).next().unwrap().unwrap();
        let error = ServerEntry::read(&message).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("the kernel's virtual server has no {attribute}")
        );
    }
    let bytes = capture(DESTINATIONS);
    for (header, attribute) in [
        ([20, 0, 1, 0], "address"),
        ([6, 0, 2, 0], "port"),
        ([8, 0, 3, 0], "way of forwarding"),
    ] {
        let mut bytes = bytes.clone();
        rename(&mut bytes, header, [header[0], 0, 60, 0]);
        let message = Messages::new(&bytes).next().unwrap().unwrap();
        let error = DestinationEntry::read(&message, Family::Ipv4).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the kernel's destination has no {attribute}")
        );
    }
}

#[test]
fn configuration_and_version_are_read() {
    let bytes = capture(include_str!("../../tests/data/config.hex"));
    let message = Messages::new(&bytes).next().unwrap().unwrap();
    let timeouts = Timeouts {
        tcp: 900,
        tcp_fin: 120,
        udp: 300,
    };
    assert_eq!(Timeouts::read(&message).unwrap(), timeouts);

    let bytes = capture(include_str!("../../tests/data/info.hex"));
    let message = Messages::new(&bytes).next().unwrap().unwrap();
    let info = Info::read(&message).unwrap();
    assert_eq!(info.version, Version::from_code(0x01_02_01));
    assert_eq!(info.version.to_string(), "1.2.1");
    assert_eq!(info.table_size, 4096);
}
