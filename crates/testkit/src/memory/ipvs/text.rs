//! `/proc/net/ip_vs` (`ip_vs_info_seq_show`).

use std::fmt::Write as _;
use std::net::Ipv6Addr;

use super::uapi::service;
use super::{IpVs, ServerKey};

/// The kernel's clock, ticks in a second.
const TICKS: u32 = 100;

impl IpVs {
    /// The file.
    pub(in crate::memory) fn text(&self) -> String {
        let mut text = "IP Virtual Server version 1.2.1 (size=4096)\n\
            Prot LocalAddress:Port Scheduler Flags\n  \
            -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n"
            .to_owned();
        for (key, server) in &self.servers {
            let scheduler = &server.scheduler;
            let one_packet = if server.flags & service::ONE_PACKET == 0 {
                ""
            } else {
                "ops "
            };
            let _infallible = match key {
                ServerKey::Mark { mark, .. } => {
                    write!(text, "FWM  {mark:08X} {scheduler} {one_packet}")
                }
                ServerKey::Address {
                    af,
                    protocol,
                    address,
                    port,
                } => {
                    let protocol = match protocol {
                        6 => "TCP",
                        17 => "UDP",
                        132 => "SCTP",
                        _ => "IP",
                    };
                    let place = place(*af, address, *port);
                    // One-packet scheduling is not told of IPv6.
                    let one_packet = if *af == 2 {
                        format!(" {one_packet} ")
                    } else {
                        " ".to_owned()
                    };
                    write!(text, "{protocol}  {place} {scheduler}{one_packet}")
                }
            };
            let _infallible = if server.flags & service::PERSISTENT == 0 {
                writeln!(text)
            } else {
                let ticks = server.timeout.wrapping_mul(TICKS);
                let netmask = u32::from_be_bytes(server.netmask);
                writeln!(text, "persistent {ticks} {netmask:08X}")
            };
            for (id, destination) in &server.destinations {
                let (af, address, port) = id;
                let forwarding = match destination.forwarding {
                    1 => "Local",
                    2 => "Tunnel",
                    3 => "Route",
                    _ => "Masq",
                };
                let connections = self.connections.get(&(*key, *id));
                let connections = connections.copied().unwrap_or_default();
                let _infallible = writeln!(
                    text,
                    "  -> {}      {forwarding:<7} {:<6} {:<10} {:<10}",
                    place(*af, address, *port),
                    destination.weight.cast_signed(),
                    connections.active,
                    connections.inactive,
                );
            }
        }
        text
    }
}

fn place(af: u16, address: &[u8; 16], port: [u8; 2]) -> String {
    let port = u16::from_be_bytes(port);
    if af == 2 {
        let [a, b, c, d, ..] = *address;
        return format!("{:08X}:{port:04X}", u32::from_be_bytes([a, b, c, d]));
    }
    let segments = Ipv6Addr::from(*address).segments();
    let segments = segments.map(|segment| format!("{segment:04x}"));
    format!("[{}]:{port:04X}", segments.join(":"))
}
