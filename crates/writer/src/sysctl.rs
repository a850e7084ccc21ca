//! Kernel settings of the calling thread's network namespace.

use std::path::PathBuf;

use crate::{WriteError, files};

fn path(name: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(name)
}

/// The value of a setting such as `net/ipv4/ip_forward`, or `None` where the kernel lacks it.
pub fn read(name: &str) -> Option<String> {
    files::read(&path(name))
        .ok()
        .map(|value| value.trim().to_owned())
}

/// Gives a setting a value unless it has it already. Returns true where it was changed.
pub fn ensure(name: &str, value: &str) -> Result<bool, WriteError> {
    if read(name).as_deref() == Some(value) {
        return Ok(false);
    }
    files::write(&path(name), value)
        .map(|()| true)
        .map_err(|error| {
            WriteError::failed(
                format!("setting {} to {value}", name.replace('/', ".")),
                error,
            )
        })
}
