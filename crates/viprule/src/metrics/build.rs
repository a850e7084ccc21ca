//! `kubernetes_build_info`.

use prometheus::{IntGaugeVec, Opts, Registry};

/// What this program was built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildInfo {
    /// The version, `1.2.3`.
    pub version: &'static str,
    /// The commit, empty where the build did not say.
    pub commit: &'static str,
    /// When it was built, RFC 3339, empty where the build did not say.
    pub date: &'static str,
}

impl BuildInfo {
    /// Of this program. A build that sets `VIPRULE_GIT_COMMIT` and `VIPRULE_BUILD_DATE` says more.
    pub const fn of_this_program() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            commit: or_empty(option_env!("VIPRULE_GIT_COMMIT")),
            date: or_empty(option_env!("VIPRULE_BUILD_DATE")),
        }
    }
}

const fn or_empty(text: Option<&'static str>) -> &'static str {
    match text {
        Some(text) => text,
        None => "",
    }
}

pub(super) fn register(registry: &Registry, build: &BuildInfo) -> Result<(), prometheus::Error> {
    const LABELS: [&str; 9] = [
        "major",
        "minor",
        "git_version",
        "git_commit",
        "git_tree_state",
        "build_date",
        "go_version",
        "compiler",
        "platform",
    ];
    const HELP: &str = "[BETA] A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.";
    let gauge = IntGaugeVec::new(Opts::new("kubernetes_build_info", HELP), &LABELS)?;
    let mut parts = build.version.split('.');
    let (major, minor) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let git_version = format!("v{}", build.version);
    let platform = format!("{}/{}", std::env::consts::OS, go_architecture());
    let values = [
        major,
        minor,
        &git_version,
        build.commit,
        "",
        build.date,
        "",
        "rustc",
        &platform,
    ];
    gauge.with_label_values(&values).set(1);
    registry.register(Box::new(gauge))
}

/// The architecture by its name in Go and Kubernetes.
fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
