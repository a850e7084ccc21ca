//! Where the programs of a real cluster are.

use crate::error::{Error, Result};
use std::env;
use std::path::{Path, PathBuf};

/// The variable that names the folder; `scripts/components` prints it.
pub const VARIABLE: &str = "VIPRULE_COMPONENTS";

/// The folder with etcd, kube-apiserver, kube-controller-manager and kube-proxy.
#[derive(Debug, Clone)]
pub struct Components {
    folder: PathBuf,
}

impl Components {
    /// From `$VIPRULE_COMPONENTS`. Fails unless all four programs are there.
    pub fn find() -> Result<Self> {
        let folder =
            env::var_os(VARIABLE)
                .map(PathBuf::from)
                .ok_or_else(|| Error::NoComponent {
                    program: "etcd or kube-apiserver".to_owned(),
                    searched: format!("${VARIABLE}, which isn't set"),
                })?;
        let components = Self { folder };
        for program in [
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-proxy",
        ] {
            components.program(program)?;
        }
        Ok(components)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of one program.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        if path.is_file() {
            return Ok(path);
        }
        Err(Error::NoComponent {
            program: name.to_owned(),
            searched: self.folder.display().to_string(),
        })
    }
}
