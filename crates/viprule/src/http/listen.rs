//! Listening sockets.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Connections that the kernel holds until they are accepted, for the most part within its own
/// bound. Of one that it has no place for, the client hears nothing for a second.
const BACKLOG: i32 = 4096;

/// Listens on an address. The wildcard of either family means both (contract 6.1), but for
/// 0.0.0.0 on a kernel without IPv6.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_unspecified() {
        return listen_one_family(address);
    }
    let both = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), address.port());
    match open(both, false) {
        Err(error) if address.is_ipv4() && lacks_ipv6(&error) => listen_one_family(address),
        result => result,
    }
}

/// Listens on an address of one family; the wildcard `::` does not take IPv4 then, so that both
/// families' wildcards can be listened on side by side (contract 6.2).
pub(crate) fn listen_one_family(address: SocketAddr) -> io::Result<TcpListener> {
    open(address, true)
}

fn open(address: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    // Connections of a former listener that linger in TIME-WAIT must not keep us from listening.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn lacks_ipv6(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL))
}
