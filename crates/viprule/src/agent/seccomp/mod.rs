//! What the agent gives up once it has started: a seccomp filter for all of its threads.
//!
//! There are two filters, and the kernel does what the stricter one says. One knows calls by their
//! numbers (`calls`) and answers ENOSYS: a C library that tries a newer call goes back to an older
//! one then, as on an older kernel. The other one knows arguments (`arguments`) and answers EPERM,
//! as whatever guards files and sockets does. Neither ends a process: another C library or kernel
//! may bring a call that nobody has thought of, and a node is better off with a proxy that fails in
//! a part than with none. Calls of another architecture alone, such as 32-bit ones of x86, end it:
//! no program of this one makes them, and their numbers mean something else.

mod arguments;
mod calls;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter_all_threads,
};

/// What has to go on working.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// The agent itself.
    Agent,
    /// The host's programs as well, which have the filter of whoever starts them: those that write
    /// legacy tables, with the modules that they load, and those that say who asks an API server.
    Programs,
}

/// Sets the filter for all threads, those that start later included. A kernel that can't is told;
/// the agent then goes on without.
pub(super) fn set(extent: Extent) {
    match try_to_set(extent) {
        Ok(()) => match extent {
            Extent::Agent => tracing::info!(
                "seccomp filter set: no program is started and no file is opened for writing from \
                 now on"
            ),
            Extent::Programs => tracing::info!(
                "seccomp filter set, a wide one: programs of the host are needed, for legacy tables \
                 or for the API server's credentials"
            ),
        },
        Err(error) => tracing::warn!(
            "the agent goes on without a seccomp filter: {error}; it takes a kernel with \
             CONFIG_SECCOMP_FILTER; set seccomp to false where there is none"
        ),
    }
}

fn try_to_set(extent: Extent) -> Result<(), seccompiler::Error> {
    filters(extent)?
        .iter()
        .try_for_each(|filter| apply_filter_all_threads(filter))
}

/// The filters in the order in which they are set: the second one refuses to set another one.
fn filters(extent: Extent) -> Result<[BpfProgram; 2], BackendError> {
    let arch = TargetArch::try_from(ARCH)?;
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let unknown = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let arguments = SeccompFilter::new(
        arguments::refused(extent)?,
        SeccompAction::Allow,
        refused,
        arch,
    )?;
    let (calls, otherwise, listed) = match extent {
        Extent::Agent => (calls::OF_AGENT, unknown, SeccompAction::Allow),
        Extent::Programs => (calls::OF_NOBODY, SeccompAction::Allow, unknown),
    };
    let calls: BTreeMap<_, _> = calls.iter().map(|call| (*call, Vec::new())).collect();
    let calls = SeccompFilter::new(calls, otherwise, listed, arch)?;
    Ok([arguments.try_into()?, calls.try_into()?])
}
