//! A node's Service proxy: viprule or real kube-proxy, on the same configuration.

use super::components::Components;
use crate::LIMIT;
use crate::agent::{Agent, viprule_binary};
use crate::error::{Error, Result};
use crate::manifests::to_yaml;
use crate::netns::Namespace;
use serde_json::{Value, json};
use std::fmt;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::path::PathBuf;

/// Where /healthz and /livez are (contract 6).
pub const HEALTH_PORT: u16 = 10_256;
/// Where /metrics, /proxyMode and /configz are.
pub const METRICS_PORT: u16 = 10_249;

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxy {
    /// The program under test.
    Viprule,
    /// kube-proxy 1.36.3.
    KubeProxy,
}

/// A `KubeProxyConfiguration` under construction.
#[derive(Debug, Clone)]
pub struct ProxyConfig(Value);

impl ProxyConfig {
    /// As kubeadm writes it, for iptables mode on a node of a test cluster: with the kubeconfig, the
    /// node's name and the pods' ranges, and without what a network namespace can't set.
    pub fn new(kubeconfig: &Path, node: &str) -> Self {
        Self(json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "hostnameOverride": node,
            "clientConnection": { "kubeconfig": kubeconfig },
            "clusterCIDR": "10.244.0.0/16,fd00:10:244::/48",
            "healthzBindAddress": format!("0.0.0.0:{HEALTH_PORT}"),
            "metricsBindAddress": format!("127.0.0.1:{METRICS_PORT}"),
            "iptables": { "minSyncPeriod": "0s", "syncPeriod": "30s" },
            // nf_conntrack_max belongs to the machine's own namespace.
            "conntrack": { "maxPerCore": 0, "min": 0 },
        }))
    }

    /// Sets a field, by a path such as `/iptables/minSyncPeriod`.
    #[must_use]
    pub fn set(mut self, path: &str, value: impl Into<Value>) -> Self {
        crate::manifests::set(&mut self.0, path, value.into());
        self
    }

    /// Writes it into a folder; the file's path.
    pub fn write(&self, folder: &Path, name: &str) -> Result<PathBuf> {
        let path = folder.join(name);
        fs::write(&path, self.to_string())
            .map_err(Error::io(format!("writing {}", path.display())))?;
        Ok(path)
    }
}

impl fmt::Display for ProxyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_yaml(&self.0))
    }
}

impl Proxy {
    /// The program's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viprule => "viprule",
            Self::KubeProxy => "kube-proxy",
        }
    }

    /// Starts it on a node, on this configuration.
    pub fn start(self, node: &Namespace, config: &Path) -> Result<Agent> {
        let config = format!("--config={}", config.display());
        match self {
            Self::Viprule => Agent::start(node, ["run", &config]),
            Self::KubeProxy => Agent::start_program(node, &self.program()?, [&config]),
        }
    }

    /// Removes everything that it wrote; what it printed. It must not run.
    pub fn cleanup(self, node: &Namespace, config: &Path) -> Result<String> {
        let program = self.program()?.display().to_string();
        let command = node.command(&program);
        match self {
            Self::Viprule => command.arg("cleanup").text(),
            Self::KubeProxy => command
                .arg("--cleanup")
                .arg(format!("--config={}", config.display()))
                .text(),
        }
    }

    fn program(self) -> Result<PathBuf> {
        match self {
            Self::Viprule => viprule_binary(),
            Self::KubeProxy => Components::find()?.program("kube-proxy"),
        }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Asks for `path` by HTTP/1.1 on the loopback of a node; status and body.
pub fn http_get(node: &Namespace, port: u16, path: &str) -> Result<(u16, String)> {
    let what = || format!("GET http://127.0.0.1:{port}{path} on {}", node.name());
    let ask = || -> std::io::Result<String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        // HTTP/1.0: an answer without chunks that ends with the connection.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = node.run(ask)?.map_err(Error::io(what()))?;
    let malformed = || Error::Malformed {
        what: what(),
        why: format!("the answer isn't HTTP: {answer:?}"),
    };
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(malformed)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.ok_or_else(malformed)?, body.to_owned()))
}
