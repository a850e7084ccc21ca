//! One datagram in, one datagram out.

use super::Shared;
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
        // An error here is an ICMP message about an earlier answer; it concerns nobody.
        if let Ok((_, peer)) = received {
            shared.count();
            let _ = socket
                .send_to(Answer { backend, peer }.to_json().as_bytes(), peer)
                .await;
        }
    }
}
