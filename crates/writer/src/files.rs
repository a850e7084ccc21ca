//! The kernel's files below `/proc` and `/sys`. Where the kernel is one in memory, they are that
//! kernel's.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Files that are open for writing as long as the program runs, or why they could not be opened.
static HELD: OnceLock<BTreeMap<PathBuf, Result<File, Option<i32>>>> = OnceLock::new();

/// Opens files for writing and keeps them open, for a program that gives up to open others. They
/// are those of the calling thread's network namespace. Counts once in a program.
pub(crate) fn hold(paths: impl IntoIterator<Item = PathBuf>) {
    let open = |path: PathBuf| {
        let file = OpenOptions::new().write(true).open(&path);
        (path, file.map_err(|error| error.raw_os_error()))
    };
    HELD.get_or_init(|| paths.into_iter().map(open).collect());
}

/// What a file says.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    #[cfg(feature = "memory")]
    if let Some((kernel, path)) = in_memory(path) {
        let bytes = kernel.read_file(path)?;
        return String::from_utf8(bytes).map_err(io::Error::other);
    }
    fs::read_to_string(path)
}

/// Writes a setting.
pub(crate) fn write(path: &Path, value: &str) -> io::Result<()> {
    #[cfg(feature = "memory")]
    if let Some((kernel, path)) = in_memory(path) {
        return kernel.write_file(path, value.as_bytes());
    }
    match HELD.get().and_then(|held| held.get(path)) {
        Some(Ok(file)) => file.write_all_at(value.as_bytes(), 0),
        Some(Err(Some(code))) => Err(io::Error::from_raw_os_error(*code)),
        Some(Err(None)) | None => fs::write(path, value),
    }
}

/// True where there is such a file.
pub(crate) fn exists(path: &Path) -> bool {
    #[cfg(feature = "memory")]
    if let Some((kernel, path)) = in_memory(path) {
        return kernel.read_file(path).is_ok();
    }
    fs::exists(path).unwrap_or(false)
}

/// The kernel in memory, for files that are a kernel's.
#[cfg(feature = "memory")]
fn in_memory(path: &Path) -> Option<(std::sync::Arc<dyn netlink_batch::memory::Kernel>, &str)> {
    let kernel = netlink_batch::memory::entered()?;
    let path = path.to_str()?;
    let is_kernels = path.starts_with("/proc/") || path.starts_with("/sys/");
    is_kernels.then_some((kernel, path))
}
