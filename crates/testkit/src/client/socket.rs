//! Client sockets with distinct source ports.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const FIRST_PORT: u32 = 33_000;
const PORTS: u32 = 32_000;

/// A source port that this process hasn't used for its last 32,000 attempts. Above the default
/// node port range, so that no client can be mistaken for a node port.
pub(super) fn next_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let offset = NEXT.fetch_add(1, Ordering::Relaxed) % PORTS;
    u16::try_from(FIRST_PORT + offset).unwrap_or(u16::MAX)
}

/// A stream or datagram socket bound to a fresh source port. Streams are reset on close: thousands
/// a second would otherwise pile up in `TIME_WAIT`.
pub(super) fn bound(kind: Type, target: SocketAddr, source: Option<IpAddr>) -> io::Result<Socket> {
    const TRIES: u32 = 100;
    let socket = Socket::new(Domain::for_address(target), kind, None)?;
    if kind == Type::STREAM {
        socket.set_linger(Some(Duration::ZERO))?;
        socket.set_tcp_nodelay(true)?;
    }
    let address = source.unwrap_or(match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    });
    for _ in 1..TRIES {
        match socket.bind(&SocketAddr::new(address, next_port()).into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            result => return result.map(|()| socket),
        }
    }
    socket.bind(&SocketAddr::new(address, 0).into())?;
    Ok(socket)
}

/// A non-blocking TCP socket that has sent its SYN.
///
/// Between namespaces of one machine the answer is back before connect(2) returns. The kernel then
/// keeps an ICMP error as "soft", as the socket is in use, and would act on it only when it repeats
/// the SYN a second later. Asking for the error here sees it at once.
pub(super) fn connecting(target: SocketAddr, source: Option<IpAddr>) -> io::Result<Socket> {
    connect(bound(Type::STREAM, target, source)?, target)
}

fn connect(socket: Socket, target: SocketAddr) -> io::Result<Socket> {
    socket.set_nonblocking(true)?;
    match socket.connect(&target.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => return Err(error),
        _ => {}
    }
    match socket.take_error()? {
        Some(error) => Err(error),
        None => Ok(socket),
    }
}

/// A blocking TCP socket whose handshake is done.
pub(super) fn connected(
    target: SocketAddr,
    source: Option<IpAddr>,
    deadline: Instant,
) -> io::Result<Socket> {
    established(connecting(target, source)?, deadline)
}

/// The same with this address and port, whoever used it before.
pub(super) fn connected_from(
    source: SocketAddr,
    target: SocketAddr,
    deadline: Instant,
) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_tcp_nodelay(true)?;
    socket.set_reuse_address(true)?;
    socket.bind(&source.into())?;
    established(connect(socket, target)?, deadline)
}

fn established(socket: Socket, deadline: Instant) -> io::Result<Socket> {
    let mut waits = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    let left = time_left(deadline)?;
    // Rounded up, so as not to give up early.
    let timeout =
        PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
    if poll(&mut waits, timeout)? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    socket.set_nonblocking(false)?;
    Ok(socket)
}

/// Time until `deadline`, never zero, which sockets take for "forever".
pub(super) fn time_left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(io::ErrorKind::TimedOut.into())
    } else {
        Ok(left)
    }
}

/// Sends one packet on a connected socket. A packet that the machine's own OUTPUT chains drop or
/// reject fails at once (EPERM); what follows tells which of the two it was.
pub(super) fn send(send: impl FnOnce() -> io::Result<usize>) -> io::Result<()> {
    match send() {
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(error),
        _ => Ok(()),
    }
}

/// A raw socket that receives only what comes from `target`, and that learns of ICMP errors.
pub(super) fn raw(protocol: i32, target: IpAddr, source: Option<IpAddr>) -> io::Result<Socket> {
    let target = SocketAddr::new(target, 0);
    let socket = Socket::new(
        Domain::for_address(target),
        Type::RAW,
        Some(Protocol::from(protocol)),
    )?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    socket.connect(&target.into())?;
    Ok(socket)
}
