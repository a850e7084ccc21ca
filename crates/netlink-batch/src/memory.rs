//! A kernel in the same process, in place of the real one: for tests that decide when and what it
//! answers. Only with the feature `memory`.
//!
//! A thread [`enter`]s such a kernel as it would enter a network namespace: sockets that it opens
//! then speak to that kernel, byte for byte as they would to the real one.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The other end of sockets.
pub trait Kernel: Send + Sync {
    /// Opens a port of this netlink protocol (EPROTONOSUPPORT where there is none) that has
    /// `NETLINK_CAP_ACK` and `NETLINK_EXT_ACK` set. The kernel tells `ready` of whatever it has
    /// for the port.
    fn open(&self, protocol: isize, ready: Ready) -> io::Result<u32>;

    /// The port's socket is gone.
    fn close(&self, port: u32);

    /// Takes one datagram of messages. All answers wait when this returns.
    fn send(&self, port: u32, datagram: &[u8]) -> io::Result<()>;

    /// The next datagram that waits for the port, if any; ENOBUFS where some were lost.
    fn receive(&self, port: u32) -> io::Result<Option<Vec<u8>>>;

    /// The port joins a multicast group.
    fn join(&self, port: u32, group: u32) -> io::Result<()>;

    /// The port leaves a multicast group.
    fn leave(&self, port: u32, group: u32) -> io::Result<()>;

    /// Nothing that the port `cause` caused is delivered to the port any more: the kernel looks at
    /// the first message of what it tells a group.
    fn ignore(&self, port: u32, cause: u32) -> io::Result<()>;

    /// The port asks for room for `bytes` of what waits for it; returns what it gets.
    fn allow_receive(&self, port: u32, bytes: usize) -> usize;

    /// What a file of this kernel says, such as `/proc/net/ip_vs`; an error of kind
    /// [`io::ErrorKind::NotFound`] where there is none.
    fn read_file(&self, path: &str) -> io::Result<Vec<u8>>;

    /// Writes one of its files, such as a setting below `/proc/sys`.
    fn write_file(&self, path: &str, content: &[u8]) -> io::Result<()>;

    /// The time as this kernel has it.
    fn now(&self) -> Instant;

    /// Lets time go by.
    fn sleep(&self, time: Duration);
}

/// Makes a socket's descriptor readable.
#[derive(Debug)]
pub struct Ready(UnixStream);

impl Ready {
    /// Says that something waits. The socket takes it back once it found nothing more.
    pub fn set(&self) {
        // Where there is no room for one more byte, it is readable already.
        let _full = (&self.0).write(&[1]);
    }
}

thread_local! {
    static ENTERED: RefCell<Option<Arc<dyn Kernel>>> = const { RefCell::new(None) };
}

/// Leaves the kernel that was entered, for the one from before, when dropped.
#[must_use = "the kernel is left when this is dropped"]
pub struct Entered {
    before: Option<Arc<dyn Kernel>>,
    // Only the thread that entered can leave.
    _not_send: std::marker::PhantomData<*const ()>,
}

/// Makes sockets that this thread opens from now on speak to `kernel`.
pub fn enter(kernel: Arc<dyn Kernel>) -> Entered {
    Entered {
        before: ENTERED.replace(Some(kernel)),
        _not_send: std::marker::PhantomData,
    }
}

/// The kernel that this thread has entered.
pub fn entered() -> Option<Arc<dyn Kernel>> {
    ENTERED.with_borrow(Clone::clone)
}

impl Drop for Entered {
    fn drop(&mut self) {
        ENTERED.set(self.before.take());
    }
}

impl fmt::Debug for Entered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entered").finish_non_exhaustive()
    }
}

/// A socket's end of a port.
pub(crate) struct Port {
    kernel: Arc<dyn Kernel>,
    number: u32,
    readable: UnixStream,
}

impl Port {
    pub(crate) fn open(kernel: Arc<dyn Kernel>, protocol: isize) -> io::Result<Self> {
        let (readable, ready) = UnixStream::pair()?;
        readable.set_nonblocking(true)?;
        ready.set_nonblocking(true)?;
        let number = kernel.open(protocol, Ready(ready))?;
        Ok(Self {
            kernel,
            number,
            readable,
        })
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn join(&self, group: u32) -> io::Result<()> {
        self.kernel.join(self.number, group)
    }

    pub(crate) fn leave(&self, group: u32) -> io::Result<()> {
        self.kernel.leave(self.number, group)
    }

    pub(crate) fn ignore(&self, cause: u32) -> io::Result<()> {
        self.kernel.ignore(self.number, cause)
    }

    pub(crate) fn send(&self, datagram: &[u8]) -> io::Result<()> {
        self.kernel.send(self.number, datagram)
    }

    pub(crate) fn allow_receive(&self, bytes: usize) -> usize {
        self.kernel.allow_receive(self.number, bytes)
    }

    pub(crate) fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        if let Some(datagram) = self.kernel.receive(self.number)? {
            return Ok(Some(datagram));
        }
        let mut signs = [0; 64];
        while (&self.readable).read(&mut signs).is_ok_and(|read| read > 0) {}
        // What came in before the signs were taken would not be told any more.
        self.kernel.receive(self.number)
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.kernel.close(self.number);
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
