//! Asking the kernel.

use std::net::Ipv6Addr;
use std::path::Path;

use netlink_batch::socket::GENERIC;
use netlink_batch::{Answers, AttrWriter, Errno, Error as Netlink, Message, Socket};

use crate::proc::PATH;
use crate::reason::NO_SERVER;
use crate::uapi::{NAME, VERSION, command};
use crate::{
    DestinationEntry, Family, Info, Netmask, Protocol, Requests, Scheduler, Server, ServerEntry,
    ServerId, Timeouts, encode, genl,
};

/// The IPVS of a network namespace.
///
/// Everything needs `CAP_NET_ADMIN` in the machine's initial user namespace, whoever owns the
/// network namespace. The message type that is found out when it is opened changes when the
/// kernel's module is unloaded and loaded again; open a new one then.
#[derive(Debug)]
pub struct Ipvs {
    socket: Socket,
    family: u16,
}

/// IPVS can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel has no IPVS, or can't load its module.
    #[error(
        "this kernel has no IPVS (CONFIG_IP_VS), or could not load its module: modprobe ip_vs, and \
         ip_vs_SCHEDULER for each scheduler that is to be used"
    )]
    NotSupported,
    /// A capability is missing (EPERM).
    #[error(
        "IPVS: not permitted; run as root or with CAP_NET_ADMIN in the machine's initial user \
         namespace: root of another user namespace is not enough"
    )]
    NotPermitted,
    /// Any other failure.
    #[error(transparent)]
    Netlink(#[from] Netlink),
}

impl Ipvs {
    /// True where the kernel's IPVS is there already, so that there may be virtual servers.
    pub fn is_loaded() -> bool {
        #[cfg(feature = "memory")]
        if let Some(kernel) = netlink_batch::memory::entered() {
            return kernel.read_file(PATH).is_ok();
        }
        Path::new(PATH).exists()
    }

    /// Opens the IPVS of the calling thread's network namespace, and tries whether it may be used.
    /// The kernel loads its module if it can and must, see [`Ipvs::is_loaded`].
    pub fn open() -> Result<Self, Error> {
        match Socket::open(GENERIC) {
            Ok(socket) => Self::new(socket),
            Err(error) if error.is_unsupported() => Err(Error::NotSupported),
            Err(error) => Err(error.into()),
        }
    }

    /// Uses a socket that was opened with [`GENERIC`], and so its network namespace.
    pub fn new(mut socket: Socket) -> Result<Self, Error> {
        let Some(family) = genl::family(&mut socket, NAME)? else {
            return Err(Error::NotSupported);
        };
        let mut opened = Self { socket, family };
        match opened.info() {
            Ok(_) => Ok(opened),
            Err(Netlink::Permission { .. }) => Err(Error::NotPermitted),
            Err(error) => Err(error.into()),
        }
    }

    /// The socket.
    pub fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// The message type of generic netlink family `IPVS`.
    pub fn family(&self) -> u16 {
        self.family
    }

    /// Requests to be filled.
    pub fn requests<T>(&self) -> Requests<T> {
        Requests::new(self.family)
    }

    /// Sends requests with one system call and reads the kernel's answers.
    ///
    /// Only the last request is acknowledged, which tells that all were worked off; refusals come
    /// for each. [`Requests::reason`] says what a refusal means. With [`Answers::lost`] it is not
    /// known what became of those that are not among the refusals: read the state again. An error
    /// means that nothing was sent.
    pub fn send<T: Clone>(&mut self, requests: &mut Requests<T>) -> Result<Answers<T>, Netlink> {
        if !requests.is_empty() {
            requests.acknowledge();
        }
        let mut answers = self.socket.send(&requests.batch, |_, _| {})?;
        let last = requests.count().checked_sub(1);
        let judged = |index| {
            answers
                .refusals
                .iter()
                .any(|refusal| refusal.index == index)
        };
        if last.is_some() && answers.acknowledged == 0 && !judged(last) {
            answers.lost = true;
        }
        Ok(answers)
    }

    /// Hands each virtual server to `each`, those with an address before those with a firewall
    /// mark.
    ///
    /// The kernel does not tell when servers come or go meanwhile: one may be missing or told twice
    /// then. Where [`is_stale`](Netlink::is_stale) is true of an error, read again, as with
    /// [`netlink_batch::retry_stale`].
    pub fn servers(&mut self, mut each: impl FnMut(ServerEntry)) -> Result<(), Netlink> {
        let family = self.family;
        let header = genl::header(command::GET_SERVICE, VERSION);
        self.socket.dump(
            family,
            &header,
            |_| {},
            |message| {
                if message.kind == family
                    && let Some(entry) = ServerEntry::read(&message)?
                {
                    each(entry);
                }
                Ok(())
            },
        )
    }

    /// One virtual server; `None` if there is no such one.
    pub fn server(&mut self, id: &ServerId) -> Result<Option<ServerEntry>, Netlink> {
        let mut found = None;
        let result = self.get(
            command::GET_SERVICE,
            |attrs| encode::server(attrs, id, None),
            |message| {
                found = ServerEntry::read(&message)?;
                Ok(())
            },
        );
        match result {
            Ok(()) => Ok(found),
            Err(error) if error.errno() == Some(NO_SERVER) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Hands each destination of a virtual server to `each`, none if there is no such server.
    ///
    /// About changes meanwhile see [`Ipvs::servers`].
    pub fn destinations(
        &mut self,
        server: &ServerId,
        mut each: impl FnMut(DestinationEntry),
    ) -> Result<(), Netlink> {
        let family = self.family;
        self.socket.dump(
            family,
            &genl::header(command::GET_DEST, VERSION),
            |attrs| encode::server(attrs, server, None),
            |message| {
                if message.kind == family
                    && let Some(entry) = DestinationEntry::read(&message, server.family())?
                {
                    each(entry);
                }
                Ok(())
            },
        )
    }

    /// True where the kernel has this scheduler or can load its module. Changes nothing else.
    ///
    /// Asks for a virtual server that no kernel makes, an IPv6 one with a netmask of no bits: the
    /// kernel looks for the scheduler before it looks at the netmask. Where IPVS has no IPv6 the
    /// answer is true.
    pub fn has_scheduler(&mut self, scheduler: &Scheduler) -> Result<bool, Netlink> {
        let id = ServerId::Address {
            address: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0).into(),
            port: 9,
            protocol: Protocol::Tcp,
        };
        let server = Server {
            netmask: Netmask(0),
            ..Server::new(*scheduler, Family::Ipv6)
        };
        let header = genl::header(command::NEW_SERVICE, VERSION);
        let fill = |attrs: &mut AttrWriter<'_>| encode::server(attrs, &id, Some(&server));
        let asked = self
            .socket
            .request(self.family, 0, &header, fill, |_| Ok(()));
        match asked {
            Ok(()) => Ok(true),
            Err(error) => match error.errno() {
                Some(Errno::NOENT) => Ok(false),
                Some(Errno::INVAL | Errno::EXIST | Errno::AFNOSUPPORT) => Ok(true),
                _ => Err(error),
            },
        }
    }

    /// The timeouts.
    pub fn config(&mut self) -> Result<Timeouts, Netlink> {
        let mut found = Timeouts::default();
        self.get(
            command::GET_CONFIG,
            |_| {},
            |message| {
                found = Timeouts::read(&message)?;
                Ok(())
            },
        )?;
        Ok(found)
    }

    /// Version and size of the kernel's IPVS.
    pub fn info(&mut self) -> Result<Info, Netlink> {
        let mut found = Info::default();
        self.get(
            command::GET_INFO,
            |_| {},
            |message| {
                found = Info::read(&message)?;
                Ok(())
            },
        )?;
        Ok(found)
    }

    fn get(
        &mut self,
        command: u8,
        fill: impl FnOnce(&mut AttrWriter<'_>),
        mut each: impl FnMut(Message<'_>) -> Result<(), Netlink>,
    ) -> Result<(), Netlink> {
        let family = self.family;
        let header = genl::header(command, VERSION);
        self.socket.request(family, 0, &header, fill, |message| {
            if message.kind == family {
                each(message)?;
            }
            Ok(())
        })
    }
}
