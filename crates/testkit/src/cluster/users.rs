//! Who may ask the API server, by bearer token.

use crate::error::{Error, Result};
use serde_json::json;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// A user of the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// May do everything (group system:masters).
    Admin,
    /// `system:kube-proxy`, which every cluster binds to the `ClusterRole` system:node-proxier.
    KubeProxy,
    /// Is known and may do nothing.
    Nobody,
}

impl User {
    const ALL: [Self; 3] = [Self::Admin, Self::KubeProxy, Self::Nobody];

    /// The name that the API server knows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::KubeProxy => "system:kube-proxy",
            Self::Nobody => "nobody",
        }
    }

    /// The bearer token.
    pub fn token(self) -> &'static str {
        match self {
            Self::Admin => "admin-token",
            Self::KubeProxy => "kube-proxy-token",
            Self::Nobody => "nobody-token",
        }
    }

    fn group(self) -> &'static str {
        match self {
            Self::Admin => "system:masters",
            Self::KubeProxy | Self::Nobody => "",
        }
    }
}

/// Writes the `--token-auth-file`.
pub(super) fn write_tokens(path: &Path) -> Result<()> {
    let mut text = String::new();
    for user in User::ALL {
        let (token, name, group) = (user.token(), user.name(), user.group());
        let _ = writeln!(text, "{token},{name},{name},\"{group}\"");
    }
    fs::write(path, text).map_err(Error::io(format!("writing {}", path.display())))
}

/// Writes a kubeconfig into `folder`; its path.
pub(super) fn write_kubeconfig(
    folder: &Path,
    user: User,
    server: &str,
    authority: &Path,
) -> Result<PathBuf> {
    let path = folder.join(format!("{}.kubeconfig", user.name().replace(':', "-")));
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "test",
            "cluster": { "server": server, "certificate-authority": authority },
        }],
        "users": [{ "name": user.name(), "user": { "token": user.token() } }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": user.name() } }],
        "current-context": "test",
    });
    // Somebody may be reading the one that is there.
    let new = path.with_extension("new");
    fs::write(&new, config.to_string())
        .and_then(|()| fs::rename(&new, &path))
        .map_err(Error::io(format!("writing {}", path.display())))?;
    Ok(path)
}
