//! Namespaces for tests.

#![allow(clippy::panic, reason = "these are tests")]

use nix::sched::{CloneFlags, unshare};

/// Runs `body` on a thread with a network namespace of its own.
pub(crate) fn in_netns<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
                panic!(
                    "no network namespace ({errno}): run as root or with `unshare -rn cargo test`"
                );
            }
            body()
        });
        thread
            .join()
            .unwrap_or_else(|cause| std::panic::resume_unwind(cause))
    })
}
