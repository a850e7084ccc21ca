//! Clients for those who make their own.

use crate::error::{Error, Result};
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use std::path::Path;

/// What a client needs to know, from a kubeconfig.
pub fn client_config(kubeconfig: &Path) -> Result<Config> {
    let wrong = |why: String| Error::Malformed {
        what: kubeconfig.display().to_string(),
        why,
    };
    let read = Kubeconfig::read_from(kubeconfig).map_err(|error| wrong(error.to_string()))?;
    // It is asynchronous for the sake of plugins that a kubeconfig may name.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(Error::io("starting a runtime"))?;
    let options = KubeConfigOptions::default();
    runtime
        .block_on(Config::from_custom_kubeconfig(read, &options))
        .map_err(|error| wrong(error.to_string()))
}
