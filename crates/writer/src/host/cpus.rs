//! How many processors the machine has.

use std::fs;
use std::path::Path;
use std::thread;

/// Processors that are online on the machine, whatever part of them this process may use; the
/// latter where the machine doesn't tell.
pub(super) fn count(root: &Path) -> u64 {
    fs::read_to_string(root.join("sys/devices/system/cpu/online"))
        .ok()
        .and_then(|list| parse(list.trim()))
        .unwrap_or_else(|| thread::available_parallelism().map_or(1, |count| count.get() as u64))
}

/// The number of processors in a list such as `0-3,8`.
fn parse(list: &str) -> Option<u64> {
    let mut count = 0_u64;
    for range in list.split(',') {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let (from, to): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
        count += u64::from(to.checked_sub(from)?) + 1;
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_counted() {
        for (list, count) in [
            ("0", Some(1)),
            ("0-3", Some(4)),
            ("0-1,4,6-7", Some(5)),
            ("", None),
            ("3-1", None),
            ("0-x", None),
        ] {
            assert_eq!(parse(list), count, "{list}");
        }
    }
}
