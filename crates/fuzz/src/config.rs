//! Settings: the configuration file, flags, kubeconfigs.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args as _, Command, FromArgMatches as _};
use viprule::config::{AgentArgs, Effective, Flags, SharedArgs};

/// A configuration file: what is read of it is written as something that reads as the same.
pub(crate) fn file(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let effective = match load(folder.path(), bytes) {
        Ok(effective) => effective,
        Err(error) => return drop(error.to_string()),
    };
    let text = effective.to_yaml().expect("settings can be written");
    let again = match load(folder.path(), text.as_bytes()) {
        Ok(again) => again,
        Err(error) => return assert_eq!(error.to_string(), "", "{text}"),
    };
    assert_eq!(again.proxy, effective.proxy, "{text}");
}

/// Flags, one in each line. Files that they name are not read.
pub(crate) fn flags(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let words: Vec<_> = text
        .lines()
        .filter(|word| !word.starts_with("--config"))
        .take(64)
        .collect();
    let Some(flags) = parsed(&words) else {
        return;
    };
    match Effective::load_regular(&flags) {
        Ok(effective) => {
            let _ = effective.to_yaml().expect("settings can be written");
            let _ = effective.feature_gates().count();
        }
        Err(error) => drop(error.to_string()),
    }
}

/// A kubeconfig. Of the files that it names nothing is read.
pub(crate) fn kubeconfig(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = write(folder.path(), bytes);
    let _ = viprule_source::kube::check_kubeconfig(&path);
}

fn load(folder: &Path, bytes: &[u8]) -> anyhow::Result<Effective> {
    let path = write(folder, bytes);
    let config = format!("--config={}", path.display());
    let flags = parsed(&[&config, "--hostname-override=node-0"]);
    let flags = flags.expect("flags of our own");
    Ok(Effective::load_regular(&flags)?)
}

fn parsed(words: &[&str]) -> Option<Flags> {
    let command = Command::new("run").args_override_self(true);
    let command = AgentArgs::augment_args(SharedArgs::augment_args(command));
    let matches = command.try_get_matches_from(["run"].iter().chain(words));
    let matches = matches.ok()?;
    let given = words.iter().filter_map(|word| word.strip_prefix("--"));
    let given = given.filter_map(|word| word.split('=').next());
    Some(Flags {
        shared: SharedArgs::from_arg_matches(&matches).ok()?,
        agent: Some(AgentArgs::from_arg_matches(&matches).ok()?),
        given: given.map(str::to_owned).collect(),
    })
}

fn write(folder: &Path, bytes: &[u8]) -> PathBuf {
    let path = folder.join("config");
    fs::write(&path, bytes).expect("a file can be written");
    path
}
