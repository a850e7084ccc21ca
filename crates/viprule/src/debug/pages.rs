//! `/flagz` and `/statusz`, for people to read; Kubernetes promises nothing about their form.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use viprule_source::escape;

const NOTICE: &str = "Warning: This endpoint is not meant to be machine parseable, has no \
                      formatting compatibility guarantees and is for debugging purposes only.";

/// The paths that `/statusz` lists.
const PATHS: [&str; 9] = [
    "/configz",
    "/flagz",
    "/healthz",
    "/healthz/ping",
    "/metrics",
    SERVICES,
    "/metrics/slis",
    "/proxyMode",
    "/statusz",
];

/// The one that not every mode has.
pub(super) const SERVICES: &str = "/metrics/services";

/// Flags and their values.
pub(super) fn flagz(flags: &[(String, String)]) -> String {
    let mut page = format!("\nviprule flagz\n{NOTICE}\n");
    let mut flags: Vec<_> = flags.iter().collect();
    flags.sort_unstable();
    for (name, value) in flags {
        // Writing to a string does not fail.
        let _ = writeln!(page, "{name}={}", escape::line(value));
    }
    page
}

/// What runs here and since when.
pub(super) fn statusz(started: Option<u64>, version: &str, has_services: bool) -> String {
    let started = started
        .and_then(|seconds| i64::try_from(seconds).ok())
        .and_then(|seconds| Timestamp::from_second(seconds).ok());
    let mut page = format!("\nviprule statusz\n{NOTICE}\n\n");
    if let Some(started) = started {
        let up = Timestamp::now().duration_since(started).as_secs();
        let up = SignedDuration::from_secs(up);
        // Writing to a string does not fail.
        let _ = writeln!(page, "Started: {started}\nUp: {up:#}");
    }
    let mut paths = PATHS.to_vec();
    paths.retain(|path| has_services || *path != SERVICES);
    // As above.
    let _ = writeln!(
        page,
        "Binary version: {version}\nPaths: {}",
        paths.join(" ")
    );
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_sorted() {
        let flags = [("v", "2"), ("cluster-cidr", "10.0.0.0/8")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert!(flagz(&flags).ends_with("only.\ncluster-cidr=10.0.0.0/8\nv=2\n"));
    }

    #[test]
    fn the_status_says_since_when() {
        let page = statusz(Some(1_763_871_558), "0.1.0", false);
        assert!(
            page.contains("\nStarted: 2025-11-23T04:19:18Z\nUp: "),
            "{page}"
        );
        assert!(
            page.contains("\nBinary version: 0.1.0\nPaths: /configz "),
            "{page}"
        );
        assert!(!page.contains(SERVICES));
        let page = statusz(None, "0.1.0", true);
        assert!(!page.contains("Started") && page.contains(SERVICES));
    }
}
