//! Files and flags of one test.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args as _, Command, FromArgMatches as _};
use tempfile::TempDir;
use viprule::config::{AgentArgs, ConfigError, Effective, Flags, SharedArgs};

/// A file that tests read.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/config/files")
        .join(name)
}

/// The agent's flags as on its command line.
pub(crate) fn flags(line: &str) -> Flags {
    let command = Command::new("run").args_override_self(true);
    let command = AgentArgs::augment_args(SharedArgs::augment_args(command));
    let words = ["run"].into_iter().chain(line.split_whitespace());
    let matches = command.try_get_matches_from(words).unwrap();
    Flags {
        shared: SharedArgs::from_arg_matches(&matches).unwrap(),
        agent: Some(AgentArgs::from_arg_matches(&matches).unwrap()),
        given: line
            .split_whitespace()
            .filter_map(|word| word.strip_prefix("--"))
            .map(|word| word.split('=').next().unwrap_or_default().to_owned())
            .collect(),
    }
}

/// The configuration of flags alone.
pub(crate) fn of_flags(line: &str) -> Result<Effective, ConfigError> {
    Effective::load(&flags(line))
}

/// A folder with a configuration file in it.
pub(crate) struct Place {
    folder: TempDir,
}

pub(crate) const HEAD: &str =
    "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
pub(crate) const OWN_HEAD: &str =
    "---\napiVersion: config.viprule.dev/v1alpha1\nkind: VipruleConfiguration\n";

impl Place {
    /// A file that begins as kube-proxy's do.
    pub(crate) fn new(fields: &str) -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        place.write(fields);
        place
    }

    pub(crate) fn write(&self, fields: &str) {
        fs::write(self.path("config.conf"), format!("{HEAD}{fields}")).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Flags that name the file, and more.
    pub(crate) fn flags(&self, more: &str) -> Flags {
        let path = self.path("config.conf");
        flags(&format!("--config={} {more}", path.display()))
    }

    pub(crate) fn load(&self, more: &str) -> Result<Effective, ConfigError> {
        Effective::load(&self.flags(more))
    }
}

/// The configuration of a file with these fields.
pub(crate) fn of_file(fields: &str) -> Result<Effective, ConfigError> {
    Place::new(fields).load("")
}
