//! How many files this process may have open, and what health check ports leave to the rest.

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::health::Room;

/// What health check ports leave at least: the other servers' connections (128), those to the API
/// server, the kernel's sockets, files that are read, and some more for what comes together.
const RESERVE: u64 = 256;
/// Connections to health check ports at most, however many files there may be.
const CONNECTIONS: u64 = 4096;

/// Raises the soft limit of open files to the hard one and returns it. What can't be raised is told.
pub(super) fn raise() -> u64 {
    match try_to_raise() {
        Ok(limit) => limit,
        Err(error) => {
            tracing::warn!("the limit of open files is not known and taken for 1024: {error}");
            1024
        }
    }
}

fn try_to_raise() -> Result<u64, Errno> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= hard {
        return Ok(soft);
    }
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => {
            tracing::debug!("limit of open files raised from {soft} to {hard}");
            Ok(hard)
        }
        Err(error) => {
            tracing::warn!("the limit of open files stays {soft}, below {hard}: {error}");
            Ok(soft)
        }
    }
}

/// The part of so many open files that health check ports may use.
pub(super) fn for_health_checks(limit: u64) -> Room {
    let rest = limit - RESERVE.min(limit / 2);
    let connections = (rest / 4).min(CONNECTIONS);
    Room {
        listeners: usize::try_from(rest - connections).unwrap_or(usize::MAX),
        connections: usize::try_from(connections).unwrap_or(usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_checks_leave_a_reserve() {
        for limit in [0, 1, 64, 300, 1024, 1 << 20, u64::MAX] {
            let Room {
                listeners,
                connections,
            } = for_health_checks(limit);
            let used = u64::try_from(listeners + connections).unwrap();
            assert!(limit - used >= RESERVE.min(limit / 2), "{limit}");
        }
        let of_1024 = Room {
            listeners: 576,
            connections: 192,
        };
        assert_eq!(for_health_checks(1024), of_1024);
    }
}
