//! What a socket is made of: one of the real kernel, or of one in memory.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::SocketAddr;
use nix::sys::socket::{MsgFlags, getsockopt, setsockopt, sockopt};
use socket2::{SockFilter, SockRef};

use super::Read;
use crate::errno::Errno;
use crate::error::Error;
#[cfg(feature = "memory")]
use crate::memory;

#[derive(Debug)]
pub(super) enum Inner {
    Real(netlink_sys::Socket),
    #[cfg(feature = "memory")]
    Memory(memory::Port),
}

impl Inner {
    /// Opens a socket and tells its port.
    pub(super) fn open(protocol: isize) -> Result<(Self, u32), Error> {
        #[cfg(feature = "memory")]
        if let Some(kernel) = memory::entered() {
            let port =
                memory::Port::open(kernel, protocol).map_err(|source| opening(source, protocol))?;
            let number = port.number();
            return Ok((Self::Memory(port), number));
        }
        let mut socket =
            netlink_sys::Socket::new(protocol).map_err(|source| opening(source, protocol))?;
        let address = socket
            .bind_auto()
            .map_err(|source| Error::io("binding a netlink socket", source))?;
        socket
            .connect(&SocketAddr::new(0, 0))
            .map_err(|source| Error::io("connecting a netlink socket", source))?;
        socket
            .set_cap_ack(true)
            .map_err(|source| Error::io("setting NETLINK_CAP_ACK", source))?;
        socket
            .set_ext_ack(true)
            .map_err(|source| Error::io("setting NETLINK_EXT_ACK", source))?;
        Ok((Self::Real(socket), address.port_number()))
    }

    pub(super) fn join(&self, group: u32) -> Result<(), Error> {
        match self {
            Self::Real(socket) => socket.add_membership(group),
            #[cfg(feature = "memory")]
            Self::Memory(port) => port.join(group),
        }
        .map_err(|source| Error::io("joining a multicast group", source))
    }

    pub(super) fn leave(&self, group: u32) -> Result<(), Error> {
        match self {
            Self::Real(socket) => socket.drop_membership(group),
            #[cfg(feature = "memory")]
            Self::Memory(port) => port.leave(group),
        }
        .map_err(|source| Error::io("leaving a multicast group", source))
    }

    /// Delivers nothing any more that this port caused, as the program says.
    pub(super) fn ignore(&self, cause: u32, program: &[SockFilter]) -> io::Result<()> {
        match self {
            Self::Real(socket) => {
                let _ = cause;
                SockRef::from(socket).attach_filter(program)
            }
            #[cfg(feature = "memory")]
            Self::Memory(port) => port.ignore(cause),
        }
    }

    /// False where all that will ever be answered is there already.
    pub(super) fn answers_later(&self) -> bool {
        match self {
            Self::Real(_) => true,
            #[cfg(feature = "memory")]
            Self::Memory(_) => false,
        }
    }

    /// Reads one datagram without waiting.
    pub(super) fn read(&self, datagram: &mut Vec<u8>) -> io::Result<Read> {
        let socket = match self {
            Self::Real(socket) => socket,
            #[cfg(feature = "memory")]
            Self::Memory(port) => {
                let Some(received) = port.receive()? else {
                    return Ok(Read::Empty);
                };
                *datagram = received;
                return Ok(Read::Datagram);
            }
        };
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        loop {
            datagram.clear();
            return match socket.recv_from(datagram, flags.bits()) {
                Ok((len, _)) if len > datagram.len() => {
                    datagram.reserve(len.next_power_of_two());
                    Ok(Read::Lost)
                }
                Ok((_, from)) if from.port_number() != 0 => Ok(Read::Lost),
                Ok(_) => Ok(Read::Datagram),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Read::Empty),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
        }
    }

    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Real(socket) => socket.send(bytes, 0).map(|_| ()),
            #[cfg(feature = "memory")]
            Self::Memory(port) => port.send(bytes),
        }
    }

    /// Asks for this `SO_SNDBUF` before the kernel doubles it; returns what it is then.
    pub(super) fn allow_send(&self, asked: usize) -> Result<usize, Error> {
        match self {
            Self::Real(socket) => {
                if setsockopt(socket, sockopt::SndBufForce, &asked).is_err() {
                    setsockopt(socket, sockopt::SndBuf, &asked)
                        .map_err(|errno| Error::io("setting SO_SNDBUF", errno.into()))?;
                }
                getsockopt(socket, sockopt::SndBuf)
                    .map_err(|errno| Error::io("reading SO_SNDBUF", errno.into()))
            }
            #[cfg(feature = "memory")]
            Self::Memory(_) => Ok(asked.saturating_mul(2)),
        }
    }

    /// Asks for this `SO_RCVBUF` before the kernel doubles it; returns what it is then.
    pub(super) fn allow_receive(&self, asked: usize) -> Result<usize, Error> {
        match self {
            Self::Real(socket) => {
                if setsockopt(socket, sockopt::RcvBufForce, &asked).is_err() {
                    setsockopt(socket, sockopt::RcvBuf, &asked)
                        .map_err(|errno| Error::io("setting SO_RCVBUF", errno.into()))?;
                }
                getsockopt(socket, sockopt::RcvBuf)
                    .map_err(|errno| Error::io("reading SO_RCVBUF", errno.into()))
            }
            #[cfg(feature = "memory")]
            Self::Memory(port) => Ok(port.allow_receive(asked.saturating_mul(2))),
        }
    }
}

impl AsFd for Inner {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Real(socket) => socket.as_fd(),
            #[cfg(feature = "memory")]
            Self::Memory(port) => port.as_fd(),
        }
    }
}

fn opening(source: io::Error, protocol: isize) -> Error {
    match Errno::of(&source) {
        Errno::PROTONOSUPPORT => Error::NoProtocol { protocol },
        _ => Error::io("opening a netlink socket", source),
    }
}
