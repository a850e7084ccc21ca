//! Where the API server is, as configured.

use std::path::PathBuf;

use http::{HeaderValue, Uri, header};
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::error::{ConnectError, chain};
use super::kubeconfig;
use crate::escape;

/// Sent with every request; audit logs show it.
const USER_AGENT: &str = concat!("viprule/", env!("CARGO_PKG_VERSION"));

/// Where the API server is and who asks (contract 1.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// A kubeconfig; its current context counts.
    pub kubeconfig: Option<PathBuf>,
    /// The server's URL instead of the kubeconfig's. Without a kubeconfig it is asked without
    /// credentials. With neither, the pod's service account counts.
    pub master: Option<String>,
    /// The kubeconfig may be a pipe, such as `<(…)` of a shell, which can be read once; of the
    /// agent's it may not, as it is read again where the server doesn't accept it any more.
    pub pipes: bool,
}

impl Access {
    pub(super) fn error(&self, reason: String) -> ConnectError {
        match (&self.kubeconfig, &self.master) {
            (Some(path), _) => ConnectError::Kubeconfig {
                path: path.clone(),
                reason,
            },
            (None, Some(url)) => ConnectError::Master {
                url: escape::url(url).into_owned(),
                reason,
            },
            (None, None) => ConnectError::InCluster { reason },
        }
    }
}

pub(super) async fn config(access: &Access) -> Result<Config, ConnectError> {
    let mut config = match (&access.kubeconfig, &access.master) {
        (Some(path), _) => {
            let reason = |error| access.error(chain(&error));
            let file = kubeconfig::read(path, access.pipes).map_err(|why| access.error(why))?;
            if let Some(cluster) = with_proxy(&file) {
                return Err(access.error(format!(
                    "the cluster {cluster} has a proxy-url, which is not supported"
                )));
            }
            of_file(file).await.map_err(reason)?
        }
        (None, Some(url)) => Config::new(master(url, "http")?),
        (None, None) => Config::incluster().map_err(|error| access.error(chain(&error)))?,
    };
    if let Some(url) = &access.master {
        let scheme = access.kubeconfig.as_ref().map_or("http", |_| "https");
        config.cluster_url = master(url, scheme)?;
    }
    // The environment's; NO_PROXY commonly names the server beside it.
    config.proxy_url = None;
    config
        .headers
        .push((header::USER_AGENT, HeaderValue::from_static(USER_AGENT)));
    config
        .headers
        .push((header::ACCEPT, HeaderValue::from_static("application/json")));
    Ok(config)
}

/// The current context's cluster, where it is to be reached through a proxy.
fn with_proxy(file: &Kubeconfig) -> Option<&str> {
    let current = file.current_context.as_deref()?;
    let context = file.contexts.iter().find(|named| named.name == current)?;
    let name = &context.context.as_ref()?.cluster;
    let cluster = file.clusters.iter().find(|named| named.name == *name)?;
    let proxy = cluster.cluster.as_ref()?.proxy_url.as_deref()?;
    (!proxy.is_empty()).then_some(name)
}

/// What a file says that names no proxy. kube then looks into the environment.
async fn of_file(mut file: Kubeconfig) -> Result<Config, KubeconfigError> {
    let options = KubeConfigOptions::default();
    match Config::from_custom_kubeconfig(file.clone(), &options).await {
        // What is there is not used, so it may be wrong; with any other kube doesn't look.
        Err(KubeconfigError::ParseProxyUrl(_)) => {
            for cluster in file
                .clusters
                .iter_mut()
                .flat_map(|named| &mut named.cluster)
            {
                cluster.proxy_url = Some("http://unused".to_owned());
            }
            Config::from_custom_kubeconfig(file, &options).await
        }
        result => result,
    }
}

/// The variable of the environment that names a proxy for this URL; client-go heeds the same ones.
pub(super) fn unused_proxy(url: &str) -> Option<&'static str> {
    let variables = if url.starts_with("https:") {
        ["HTTPS_PROXY", "https_proxy"]
    } else {
        ["HTTP_PROXY", "http_proxy"]
    };
    let set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    variables.into_iter().find(set)
}

/// The URL of `--master`; a scheme may be missing, as client-go allows.
fn master(text: &str, scheme: &str) -> Result<Uri, ConnectError> {
    let error = |reason: String| ConnectError::Master {
        url: escape::url(text).into_owned(),
        reason,
    };
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("{scheme}://{text}")
    };
    let url: Uri = whole
        .parse()
        .map_err(|cause: http::uri::InvalidUri| error(cause.to_string()))?;
    match url.scheme_str() {
        Some("http" | "https") if url.host().is_some_and(|host| !host.is_empty()) => Ok(url),
        _ => Err(error("is not an http or https URL".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_masters_scheme_may_be_missing() {
        let url = |text| master(text, "http").map(|url| url.to_string());
        assert_eq!(url("10.0.0.1:8080").unwrap(), "http://10.0.0.1:8080/");
        assert_eq!(url("https://[fd00::1]").unwrap(), "https://[fd00::1]/");
        for text in ["", "ftp://10.0.0.1", "http://", "a b"] {
            let error = url(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--master {text}: ")), "{error}");
        }
        let error = url("ftp://user:pass@10.0.0.1").unwrap_err().to_string();
        assert!(error.starts_with("--master ftp://10.0.0.1: "), "{error}");
    }
}
