//! The time. Where the kernel is one in memory, it is that kernel's.

use std::time::{Duration, Instant};

/// What time it is.
pub(crate) fn now() -> Instant {
    #[cfg(feature = "memory")]
    if let Some(kernel) = netlink_batch::memory::entered() {
        return kernel.now();
    }
    Instant::now()
}

/// How long the machine has been running, whole seconds; `None` where it does not tell. A kernel in
/// memory has no such time.
pub(crate) fn uptime() -> Option<u32> {
    #[cfg(feature = "memory")]
    if netlink_batch::memory::entered().is_some() {
        return None;
    }
    // The one clock that a file tells.
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    uptime.split('.').next()?.parse().ok()
}

/// Waits.
pub(crate) fn sleep(time: Duration) {
    #[cfg(feature = "memory")]
    if let Some(kernel) = netlink_batch::memory::entered() {
        return kernel.sleep(time);
    }
    std::thread::sleep(time);
}
