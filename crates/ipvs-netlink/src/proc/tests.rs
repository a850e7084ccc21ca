//! Lines against what the kernel prints.

use super::*;
use crate::text;

/// `/proc/net/ip_vs` after `tests/data/every-option.sh`.
const OPTIONS: &str = include_str!("../../tests/data/every-option.proc");
/// `ipvsadm -Sn` at the same time.
const SAVED: &str = include_str!("../../tests/data/every-option.txt");

/// The lines, each destination with its server.
fn all(text: &str) -> Vec<(ServerLine<'_>, Option<DestinationLine>)> {
    let (mut found, mut server) = (Vec::new(), None);
    for line in lines(text) {
        match line.unwrap() {
            Line::Server(line) => {
                server = Some(line);
                found.push((line, None));
            }
            Line::Destination(line) => found.push((server.unwrap(), Some(line))),
        }
    }
    found
}

fn id(server: &ServerId) -> LineId {
    match *server {
        ServerId::Address {
            address,
            port,
            protocol,
        } => LineId::Address {
            address,
            port,
            protocol: Some(protocol),
        },
        ServerId::Fwmark { mark, .. } => LineId::Fwmark(mark),
    }
}

/// What the file does not tell.
fn blurred(forwarding: Forwarding) -> Forwarding {
    match forwarding {
        Forwarding::Tunnel(_) => Forwarding::Tunnel(Tunnel::IpIp),
        other => other,
    }
}

#[test]
fn the_kernel_tells_what_ipvsadm_tells() {
    let mut told: Vec<String> = all(OPTIONS)
        .into_iter()
        .map(|(server, entry)| {
            let entry = entry.map(|entry| (entry.id, entry.forwarding, entry.weight));
            let scheduler = entry.is_none().then_some(server.scheduler);
            format!("{:?} {scheduler:?} {entry:?}", server.id)
        })
        .collect();
    let mut saved: Vec<String> = text::parse(SAVED)
        .map(|line| match line.unwrap() {
            text::Line::Server {
                id: server,
                server: content,
            } => {
                let scheduler = Some(content.scheduler.as_str());
                let entry: Option<(DestinationId, Forwarding, u32)> = None;
                format!("{:?} {scheduler:?} {entry:?}", id(&server))
            }
            text::Line::Destination {
                server,
                id: destination,
                destination: content,
            } => {
                let scheduler: Option<&str> = None;
                let forwarding = blurred(content.forwarding);
                let entry = Some((destination, forwarding, content.weight));
                format!("{:?} {scheduler:?} {entry:?}", id(&server))
            }
        })
        .collect();
    told.sort_unstable();
    saved.sort_unstable();
    assert_eq!(told, saved);
}

#[test]
fn flags_are_read() {
    let find = |wanted: &str| {
        let (line, _) = all(OPTIONS)
            .into_iter()
            .find(|(line, _)| line.id.server().is_some_and(|id| id.to_string() == wanted))
            .unwrap();
        (line.one_packet, line.persistence)
    };
    let persistence = |ticks, netmask| Some(Persistence { ticks, netmask });
    assert_eq!(find("TCP 10.0.0.1:80"), (false, None));
    assert_eq!(
        find("TCP 10.0.0.1:0"),
        (false, persistence(60_000, 0xffff_ff00))
    );
    assert_eq!(
        find("UDP 10.0.0.1:5060"),
        (true, persistence(6000, u32::MAX))
    );
    assert_eq!(find("TCP [fd00::1]:80"), (false, persistence(10_000, 64)));
}

#[test]
fn counts_and_unknown_things_are_read() {
    let text = "\n\n\nGRE  0A000001:0000 rr synproxy\n  -> 0A000002:0050      Local   -1     3          7         \n";
    let [(server, None), (_, Some(entry))] = all(text)[..] else {
        unreachable!()
    };
    assert_eq!(server.id.server(), None);
    assert!(matches!(server.id, LineId::Address { protocol: None, .. }));
    assert_eq!(
        (entry.active, entry.inactive, entry.weight),
        (3, 7, u32::MAX)
    );
    assert_eq!(entry.forwarding, Forwarding::Local);
}

#[test]
fn reading_in_pieces_is_reading_at_once() {
    let mut count = 0;
    let pieces = BufReader::with_capacity(7, OPTIONS.as_bytes());
    read_from(pieces, |_| count += 1).unwrap();
    assert_eq!(count, OPTIONS.lines().count() - HEADINGS);
}

#[test]
fn errors_name_the_line() {
    for line in [
        "TCP",
        "TCP  0A000001 rr",
        "TCP  0A00000G:0050 rr",
        "TCP  [fd00::1:0050 rr",
        "TCP  0A000001:0050 ",
        "TCP  0A000001:0050 rr persistent 60000",
        "FWM  G rr",
        "  -> 0A000002:0050      Masq    1      3",
        "  -> 0A000002:0050      Else    1      3          7         ",
        "",
    ] {
        let text = format!("\n\n\n{line}\n");
        let error = lines(&text).next().unwrap().unwrap_err();
        assert_eq!((error.line, error.text.as_str()), (4, line));
    }
}
