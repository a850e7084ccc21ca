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

/// Waits.
pub(crate) fn sleep(time: Duration) {
    #[cfg(feature = "memory")]
    if let Some(kernel) = netlink_batch::memory::entered() {
        return kernel.sleep(time);
    }
    std::thread::sleep(time);
}
