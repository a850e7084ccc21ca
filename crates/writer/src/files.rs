//! The kernel's files below `/proc` and `/sys`. Where the kernel is one in memory, they are that
//! kernel's.

use std::fs;
use std::io;
use std::path::Path;

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
    fs::write(path, value)
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
