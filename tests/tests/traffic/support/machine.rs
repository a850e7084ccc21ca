//! The machine: a load of thousands of connections a second runs alone, and not everywhere.

use std::fs::File;
use std::path::Path;

/// A turn; it ends with the value.
#[derive(Debug)]
pub(crate) struct Turn {
    _locked: File,
}

/// A turn beside other tests.
pub(crate) fn shared() -> Turn {
    take(File::lock_shared)
}

/// A turn without other tests.
pub(crate) fn alone() -> Turn {
    take(File::lock)
}

/// Connections a second in place of so many where a single processor has to be clients, node and
/// endpoints.
pub(crate) fn rate(many: u32) -> u32 {
    match std::thread::available_parallelism().map(usize::from) {
        Ok(1) => many / 20,
        _ => many,
    }
}

/// A lock on a file also holds between processes, as test runners other than cargo make them.
fn take(lock: impl FnOnce(&File) -> std::io::Result<()>) -> Turn {
    let file = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("traffic.lock")).unwrap();
    lock(&file).unwrap();
    Turn { _locked: file }
}
