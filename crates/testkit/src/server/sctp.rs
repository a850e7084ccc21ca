//! Answers INIT with INIT-ACK on a raw socket; the state cookie carries the answer.

use super::Shared;
use crate::sctp::{Chunk, Packet};
use crate::wire::Answer;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::UdpSocket;

pub(super) async fn serve(socket: UdpSocket, backend: SocketAddr, shared: Arc<Shared>) {
    let mut buffer = [0; 2048];
    loop {
        let received = tokio::select! {
            biased;
            () = shared.stopped() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        let Ok((length, from)) = received else {
            continue;
        };
        if let Some(reply) = reply(strip_ipv4_header(&buffer[..length], backend), from, backend) {
            shared.count();
            let _ = socket.send_to(&reply, SocketAddr::new(from.ip(), 0)).await;
        }
    }
}

/// Raw IPv4 sockets deliver the IP header, raw IPv6 sockets don't (raw(7), RFC 3542 3).
pub(crate) fn strip_ipv4_header(packet: &[u8], local: SocketAddr) -> &[u8] {
    match packet.first() {
        Some(first) if local.is_ipv4() => packet
            .get(usize::from(first & 0xf) * 4..)
            .unwrap_or_default(),
        _ => packet,
    }
}

/// The INIT-ACK for a sound INIT to the backend's port. The socket sees packets of all ports.
fn reply(packet: &[u8], from: SocketAddr, backend: SocketAddr) -> Option<Vec<u8>> {
    let packet = Packet::decode(packet).ok()?;
    let Chunk::Init { initiate_tag } = packet.chunk else {
        return None;
    };
    if packet.destination_port != backend.port() || packet.verification_tag != 0 {
        return None;
    }
    let peer = SocketAddr::new(from.ip(), packet.source_port);
    let acknowledgement = Packet {
        source_port: backend.port(),
        destination_port: packet.source_port,
        verification_tag: initiate_tag,
        chunk: Chunk::InitAck {
            // Any tag but 0 will do: the association goes no further.
            initiate_tag: initiate_tag.wrapping_mul(2_654_435_761) | 1,
            cookie: Answer { backend, peer }.to_json().into_bytes(),
        },
    };
    Some(acknowledgement.encode())
}
