//! Reading a kubeconfig.
//!
//! kube opens whatever has the name and reads it to its end, which a pipe may never come to.

use std::path::{Path, PathBuf};

use kube::config::Kubeconfig;

use super::error::chain;
use crate::files::{self, Kinds, SETTINGS_LIMIT, describe};

/// Reads a kubeconfig as [`ApiServer::new`](super::ApiServer::new) does, and nothing more: no program
/// that it names is run. For fuzzers.
#[doc(hidden)]
pub fn check_kubeconfig(path: &Path) -> Result<(), String> {
    read(path, false).map(drop)
}

/// Reads a kubeconfig; paths in it begin at its folder. The files that it names are looked at, as
/// kube is going to read them. The error says what is wrong.
pub(super) fn read(path: &Path, pipes: bool) -> Result<Kubeconfig, String> {
    let kinds = if pipes { Kinds::Pipes } else { Kinds::Regular };
    let text = files::read_settings(path, kinds).map_err(|error| describe(&error))?;
    let mut file = Kubeconfig::from_yaml(&text).map_err(|error| chain(&error))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let absolute = |path: &mut Option<String>| {
        if let Some(path) = path
            && let Some(whole) = folder.join(&*path).to_str()
        {
            whole.clone_into(path);
        }
    };
    let mut named = Vec::new();
    for cluster in file
        .clusters
        .iter_mut()
        .filter_map(|named| named.cluster.as_mut())
    {
        absolute(&mut cluster.certificate_authority);
        if cluster.certificate_authority_data.is_none() {
            named.push(("certificate-authority", &cluster.certificate_authority));
        }
    }
    for user in file
        .auth_infos
        .iter_mut()
        .filter_map(|named| named.auth_info.as_mut())
    {
        absolute(&mut user.client_certificate);
        absolute(&mut user.client_key);
        absolute(&mut user.token_file);
        // Without a slash it is a program that is looked for, as client-go has it.
        if let Some(exec) = &mut user.exec
            && exec
                .command
                .as_ref()
                .is_some_and(|command| command.contains('/'))
        {
            absolute(&mut exec.command);
        }
        if user.client_certificate_data.is_none() {
            named.push(("client-certificate", &user.client_certificate));
        }
        if user.client_key_data.is_none() {
            named.push(("client-key", &user.client_key));
        }
        named.push(("tokenFile", &user.token_file));
    }
    for (field, path) in named {
        let Some(path) = path.as_ref().map(PathBuf::from) else {
            continue;
        };
        // What can't be opened may be another context's: kube tells where it is needed.
        if let Err(error) = files::open(&path, Kinds::Regular, SETTINGS_LIMIT)
            && files::is_refusal(&error)
        {
            let (path, why) = (path.display(), describe(&error));
            return Err(format!("{field}: {path} {why}"));
        }
    }
    Ok(file)
}
