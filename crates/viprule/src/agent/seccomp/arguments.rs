//! Arguments that are refused of system calls that are needed. Where the kernel reads 32 bits of an
//! argument, so does the filter.

use std::collections::BTreeMap;
use std::process;

use nix::libc::{self, c_int, c_long};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq, Ne};
use seccompiler::{BackendError, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

use super::Extent;

/// For each system call, what is refused.
type Refused = BTreeMap<c_long, Vec<SeccompRule>>;

/// `SOCK_STREAM` and the like, among the flags beside it (`SOCK_TYPE_MASK` of `linux/net.h`).
const SOCKET_TYPE: u64 = 0xf;
/// Protocols of netlink that are spoken.
const NETLINK: [c_int; 3] = [
    libc::NETLINK_ROUTE,
    libc::NETLINK_NETFILTER,
    libc::NETLINK_GENERIC,
];
/// Namespaces that clone makes. That of time is for clone3 and unshare alone (`linux/sched.h`).
const NAMESPACES: [c_int; 7] = [
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];

/// A rule that holds where all of these conditions do: the argument's place from 0, and what it is.
fn all<const N: usize>(
    conditions: [(u8, SeccompCmpOp, c_int); N],
) -> Result<SeccompRule, BackendError> {
    let conditions = conditions.into_iter().map(|(place, is, value)| {
        let value = u64::from(value.cast_unsigned());
        SeccompCondition::new(place, SeccompCmpArgLen::Dword, is, value)
    });
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}

/// Holds where the argument has this bit.
fn bit(place: u8, bit: c_int) -> Result<SeccompRule, BackendError> {
    all([(place, MaskedEq(mask(bit)), bit)])
}

const fn mask(bits: c_int) -> u64 {
    bits.cast_unsigned() as u64
}

/// What is refused.
pub(super) fn refused(extent: Extent) -> Result<Refused, BackendError> {
    let mut refused = Refused::new();
    let namespaces = NAMESPACES.map(|flag| bit(0, flag));
    refused.insert(
        libc::SYS_clone,
        namespaces.into_iter().collect::<Result<_, _>>()?,
    );
    if extent == Extent::Agent {
        refuse_to_agent(&mut refused)?;
    }
    Ok(refused)
}

fn refuse_to_agent(refused: &mut Refused) -> Result<(), BackendError> {
    // A thread is no process of its own.
    let process = all([(0, MaskedEq(mask(libc::CLONE_THREAD)), 0)])?;
    refused.entry(libc::SYS_clone).or_default().push(process);
    refused.insert(libc::SYS_openat, writing(2)?);
    #[cfg(target_arch = "x86_64")]
    refused.insert(libc::SYS_open, writing(1)?);
    refused.insert(libc::SYS_socket, sockets()?);
    refused.insert(libc::SYS_socketpair, pairs()?);
    // What a loader maps can be run, but not what is written here.
    let (write, execute) = (libc::PROT_WRITE, libc::PROT_EXEC);
    let both = (2, MaskedEq(mask(write | execute)), write | execute);
    refused.insert(libc::SYS_mmap, vec![all([both])?]);
    refused.insert(libc::SYS_mprotect, vec![bit(2, execute)?]);
    // The names of threads and of memory, and what comes before another filter.
    let harmless = [
        libc::PR_SET_NAME,
        libc::PR_GET_NAME,
        libc::PR_SET_VMA,
        libc::PR_SET_NO_NEW_PRIVS,
    ];
    let other = all(harmless.map(|option| (0, Ne, option)))?;
    refused.insert(libc::SYS_prctl, vec![other]);
    refused.insert(libc::SYS_ioctl, vec![all(ioctls())?]);
    // Limits are read.
    let null = SeccompCondition::new(2, SeccompCmpArgLen::Qword, Ne, 0)?;
    refused.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![null])?]);
    // abort() ends this process.
    let other = (0, Ne, process::id().cast_signed());
    refused.insert(libc::SYS_tgkill, vec![all([other])?]);
    Ok(())
}

/// Files are opened for reading. openat2 has its flags in memory, and is not among the calls.
fn writing(flags: u8) -> Result<Vec<SeccompRule>, BackendError> {
    let access = mask(libc::O_ACCMODE);
    [
        all([(flags, MaskedEq(access), libc::O_WRONLY)]),
        all([(flags, MaskedEq(access), libc::O_RDWR)]),
        // Neither, and good for ioctl (open(2)).
        all([(flags, MaskedEq(access), libc::O_ACCMODE)]),
        bit(flags, libc::O_CREAT),
        bit(flags, libc::O_TRUNC),
    ]
    .into_iter()
    .collect()
}

/// Netlink, TCP and UDP. Sockets of the machine's own services (`AF_UNIX`) would be a way to have
/// them do what the agent may not.
fn sockets() -> Result<Vec<SeccompRule>, BackendError> {
    let raw = |domain| {
        let kind = MaskedEq(SOCKET_TYPE);
        all([(0, Eq, domain), (1, kind, libc::SOCK_RAW)])
    };
    let domains = [libc::AF_NETLINK, libc::AF_INET, libc::AF_INET6];
    let [route, netfilter, generic] = NETLINK.map(|protocol| (2, Ne, protocol));
    let netlink = (0, Eq, libc::AF_NETLINK);
    [
        all(domains.map(|domain| (0, Ne, domain))),
        all([netlink, route, netfilter, generic]),
        raw(libc::AF_INET),
        raw(libc::AF_INET6),
    ]
    .into_iter()
    .collect()
}

/// Pairs of streams, by which signals wake the runtime. One of datagrams could be connected to a
/// service of the machine.
fn pairs() -> Result<Vec<SeccompRule>, BackendError> {
    let kind = MaskedEq(SOCKET_TYPE);
    [
        all([(0, Ne, libc::AF_UNIX)]),
        all([(1, kind, libc::SOCK_DGRAM)]),
    ]
    .into_iter()
    .collect()
}

/// What is asked of descriptors: not to block, to be closed in programs, how much there is to read
/// (glibc does, of a name server's answer), whether it is a terminal.
fn ioctls() -> [(u8, SeccompCmpOp, c_int); 5] {
    [
        libc::FIONBIO,
        libc::FIOCLEX,
        libc::FIONREAD,
        libc::TCGETS,
        libc::TIOCGWINSZ,
    ]
    .map(|request| {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::unnecessary_cast,
            reason = "the kernel reads 32 bits, and C libraries differ"
        )]
        let request = request as c_int;
        (1, Ne, request)
    })
}
