//! One INIT, one INIT-ACK.

use super::outcome::Failure;
use super::socket;
use crate::sctp::{Chunk, IP_PROTOCOL, Packet};
use crate::server::strip_ipv4_header;
use crate::wire::Answer;
use nix::errno::Errno;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Tells who would accept an association with `target`. INIT isn't repeated.
pub(super) fn init(
    target: SocketAddr,
    source: Option<IpAddr>,
    timeout: Duration,
) -> Result<Answer, Failure> {
    let deadline = Instant::now() + timeout;
    // The standard library's type is only used for its calls; the socket is a raw one.
    let socket: UdpSocket = socket::raw(IP_PROTOCOL, target.ip(), source)?.into();
    let port = socket::next_port();
    let tag = 0x5c70_0000 | u32::from(port);
    let init = Packet {
        source_port: port,
        destination_port: target.port(),
        verification_tag: 0,
        chunk: Chunk::Init { initiate_tag: tag },
    };
    socket::send(|| socket.send(&init.encode())).map_err(failure)?;
    let mut buffer = [0; 2048];
    loop {
        socket.set_read_timeout(Some(socket::time_left(deadline)?))?;
        let length = socket.recv(&mut buffer).map_err(failure)?;
        let packet = Packet::decode(strip_ipv4_header(&buffer[..length], target))?;
        // Other associations of this host with the same peer end up here as well.
        if packet.destination_port != port || packet.source_port != target.port() {
            continue;
        }
        if let Chunk::InitAck { cookie, .. } = packet.chunk
            && packet.verification_tag == tag
        {
            return Ok(Answer::from_json(&cookie)?);
        }
    }
}

/// A host without SCTP says so by ICMP "protocol unreachable" or `ICMPv6` "unknown next header".
fn failure(error: io::Error) -> Failure {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOPROTOOPT | Errno::EPROTO) => Failure::Refused,
        _ => error.into(),
    }
}
