//! Each test has a thread of its own, which keeps its filter.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::Command;
use std::thread;

use netlink_batch::{Socket, socket};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket as sockets;
use nix::sys::socket::{AddressFamily, SockFlag, SockType};
use nix::unistd::{Pid, getpid};

use super::{Extent, filters};

/// Runs this in a thread that has given up what `extent` says, and no other thread has.
fn confined<T: Send>(extent: Extent, run: impl FnOnce() -> T + Send) -> T {
    let confined = move || {
        for filter in filters(extent).unwrap() {
            seccompiler::apply_filter(&filter).unwrap();
        }
        run()
    };
    thread::scope(|scope| scope.spawn(confined).join().unwrap())
}

fn errno<T>(result: io::Result<T>) -> Option<Errno> {
    result
        .err()
        .and_then(|error| error.raw_os_error())
        .map(Errno::from_raw)
}

#[test]
fn the_agent_opens_no_file_for_writing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("there");
    fs::write(&path, "as it was").unwrap();
    confined(Extent::Agent, || {
        let mut write = OpenOptions::new();
        for options in [
            write.write(true),
            OpenOptions::new().append(true),
            OpenOptions::new().read(true).write(true),
        ] {
            assert_eq!(errno(options.open(&path)), Some(Errno::EPERM));
        }
        let new = folder.path().join("new");
        assert_eq!(errno(File::create(&new)), Some(Errno::EPERM));
        assert_eq!(errno(fs::create_dir(&new)), Some(Errno::ENOSYS));
        assert_eq!(errno(fs::remove_file(&path)), Some(Errno::ENOSYS));
        assert_eq!(errno(fs::rename(&path, &new)), Some(Errno::ENOSYS));
        assert_eq!(fs::read_to_string(&path).unwrap(), "as it was");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    });
}

#[test]
fn the_agent_starts_no_program_and_touches_no_other_process() {
    confined(Extent::Agent, || {
        let started = Command::new("/bin/true").status();
        assert_eq!(errno(started), Some(Errno::EPERM));
        assert_eq!(kill(getpid(), None), Err(Errno::ENOSYS));
        assert_eq!(kill(Pid::from_raw(1), Signal::SIGURG), Err(Errno::ENOSYS));
        // Threads are its own.
        assert_eq!(thread::spawn(|| 1).join().unwrap(), 1);
    });
}

#[test]
fn the_agent_speaks_to_the_kernel_and_the_network_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("service");
    let _service = std::os::unix::net::UnixListener::bind(&path).unwrap();
    confined(Extent::Agent, || {
        assert_eq!(errno(UnixStream::connect(&path)), Some(Errno::EPERM));
        assert_eq!(errno(UnixDatagram::pair()), Some(Errno::EPERM));
        UnixStream::pair().unwrap();
        for (family, kind) in [
            (AddressFamily::Packet, SockType::Datagram),
            (AddressFamily::Vsock, SockType::Stream),
            (AddressFamily::Inet, SockType::Raw),
            (AddressFamily::Inet6, SockType::Raw),
        ] {
            let opened = sockets::socket(family, kind, SockFlag::SOCK_CLOEXEC, None);
            assert_eq!(opened.err(), Some(Errno::EPERM), "{family:?} {kind:?}");
        }
        for protocol in [socket::ROUTE, socket::NETFILTER, socket::GENERIC] {
            Socket::open(protocol).unwrap();
        }
        // NETLINK_KOBJECT_UEVENT
        let error = Socket::open(15).unwrap_err();
        let errno = error.errno().map(|errno| errno.0);
        assert_eq!(errno, Some(Errno::EPERM as i32), "{error}");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut served, _) = listener.accept().unwrap();
        client.write_all(b"x").unwrap();
        served.read_exact(&mut [0]).unwrap();
        UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(("localhost", 1).to_socket_addrs().unwrap().count() > 0);
    });
}

#[test]
fn the_agent_keeps_its_limits_and_its_memory_as_they_are() {
    confined(Extent::Agent, || {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(
            setrlimit(Resource::RLIMIT_NOFILE, soft, hard),
            Err(Errno::EPERM)
        );
        assert_eq!(prctl::set_dumpable(true), Err(Errno::EPERM));
        prctl::set_name(c"confined").unwrap();
        assert!(prctl::get_no_new_privs().is_err(), "no need to ask");
        drop(vec![1_u8; 64 << 20]);
    });
}

#[test]
fn neither_makes_namespaces() {
    for extent in [Extent::Agent, Extent::Programs] {
        let made = confined(extent, || unshare(CloneFlags::CLONE_NEWNET));
        assert_eq!(made, Err(Errno::ENOSYS), "{extent:?}");
    }
}

#[test]
fn programs_work_where_they_are_needed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    confined(Extent::Programs, || {
        let script = "exec 9>\"$0\" && flock 9 && echo locked >&9 && exec /bin/true";
        let mut shell = Command::new("sh");
        let status = shell.args(["-c", script]).arg(&path).status().unwrap();
        assert!(status.success(), "{status}");
        let unshare = Command::new("unshare").args(["--mount", "true"]).output();
        let unshare = unshare.unwrap();
        let said = String::from_utf8_lossy(&unshare.stderr);
        assert!(
            !unshare.status.success() && said.contains("Function not implemented"),
            "{said}"
        );
    });
    assert_eq!(fs::read_to_string(&path).unwrap(), "locked\n");
}
