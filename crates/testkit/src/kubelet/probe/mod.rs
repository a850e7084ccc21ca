//! Probes of a container: how they are asked, and what their answers mean.
//!
//! Source: k8s.io/api/core/v1 `Probe` and the reference of "Configure Liveness, Readiness and
//! Startup Probes".

mod exec;
mod grpc;
mod http;
mod state;
mod tcp;

pub use state::{ContainerProbes, Effect, ProbeKind, Schedule, Schedules};

use crate::error::{Error, Result};
use crate::netns::Namespace;
use k8s_openapi::api::core::v1::{
    Container, ExecAction, GRPCAction, HTTPGetAction, Probe as ProbeSpec, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Why a probe failed, in words.
pub type ProbeResult = std::result::Result<(), String>;

/// A probe that can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// When it is asked and how often it must fail or succeed to count.
    pub schedule: Schedule,
    /// What is asked.
    pub handler: Handler,
}

/// What a probe (or a hook) does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handler {
    /// Runs a program in the pod's network namespace; exit status 0 is success.
    Exec {
        /// Program and arguments; no shell.
        command: Vec<String>,
    },
    /// GET over HTTP/1.1 from the node; statuses 200 to 399 are success.
    Http {
        /// Another host than the pod, where the manifest names one.
        host: Option<String>,
        /// Port.
        port: u16,
        /// Path and query.
        path: String,
        /// Names and values of headers.
        headers: Vec<(String, String)>,
    },
    /// Opens a connection from the node.
    Tcp {
        /// Another host than the pod, where the manifest names one.
        host: Option<String>,
        /// Port.
        port: u16,
    },
    /// Asks `grpc.health.v1.Health/Check` from the node; `SERVING` is success.
    Grpc {
        /// Port.
        port: u16,
        /// The service whose health is asked for; empty for the server's own.
        service: String,
    },
}

/// Whom a probe asks.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The pod's first address.
    pub address: IpAddr,
    /// The pod's namespace, for programs.
    pub namespace: Arc<Namespace>,
}

impl Probe {
    /// Reads a probe of `container`. Defaults are the API server's.
    pub fn read(probe: &ProbeSpec, container: &Container) -> Result<Self> {
        let seconds = |value: Option<i32>, default: u32| {
            Duration::from_secs(u64::from(positive(value, default)))
        };
        let schedule = Schedule {
            initial_delay: Duration::from_secs(
                probe
                    .initial_delay_seconds
                    .and_then(|delay| delay.try_into().ok())
                    .unwrap_or_default(),
            ),
            period: seconds(probe.period_seconds, 10),
            timeout: seconds(probe.timeout_seconds, 1),
            success_threshold: positive(probe.success_threshold, 1),
            failure_threshold: positive(probe.failure_threshold, 3),
        };
        let handler = Handler::read(
            container,
            probe.exec.as_ref(),
            probe.http_get.as_ref(),
            probe.tcp_socket.as_ref(),
            probe.grpc.as_ref(),
        )?;
        Ok(Self { schedule, handler })
    }

    /// Asks once. Must be called on a thread inside the node's namespace.
    pub async fn ask(&self, subject: &Subject) -> ProbeResult {
        self.handler.run(subject, self.schedule.timeout).await
    }
}

impl Handler {
    /// Reads the one action that is given; ports may be names of the container's ports.
    pub(super) fn read(
        container: &Container,
        exec: Option<&ExecAction>,
        http: Option<&HTTPGetAction>,
        tcp: Option<&TCPSocketAction>,
        grpc: Option<&GRPCAction>,
    ) -> Result<Self> {
        if let Some(exec) = exec {
            let command = exec.command.clone().unwrap_or_default();
            return if command.is_empty() {
                Err(wrong(container, "exec.command is empty"))
            } else {
                Ok(Self::Exec { command })
            };
        }
        if let Some(http) = http {
            let scheme = http.scheme.as_deref().unwrap_or("HTTP");
            if !scheme.eq_ignore_ascii_case("http") {
                let why = format!("httpGet.scheme {scheme} isn't served here, HTTP is");
                return Err(wrong(container, &why));
            }
            let path = http.path.as_deref().unwrap_or("/");
            let headers = http.http_headers.iter().flatten();
            return Ok(Self::Http {
                host: http.host.clone().filter(|host| !host.is_empty()),
                port: port(&http.port, container)?,
                path: format!("/{}", path.trim_start_matches('/')),
                headers: headers
                    .map(|header| (header.name.clone(), header.value.clone()))
                    .collect(),
            });
        }
        if let Some(tcp) = tcp {
            return Ok(Self::Tcp {
                host: tcp.host.clone().filter(|host| !host.is_empty()),
                port: port(&tcp.port, container)?,
            });
        }
        if let Some(grpc) = grpc {
            return Ok(Self::Grpc {
                port: port(&IntOrString::Int(grpc.port), container)?,
                service: grpc.service.clone().unwrap_or_default(),
            });
        }
        Err(wrong(
            container,
            "a probe is one of exec, httpGet, tcpSocket and grpc",
        ))
    }

    /// Does it, within `timeout`.
    pub(super) async fn run(&self, subject: &Subject, timeout: Duration) -> ProbeResult {
        if let Self::Exec { command } = self {
            return exec::run(&subject.namespace, command, timeout).await;
        }
        let asked = async {
            match self {
                Self::Exec { .. } => Ok(()),
                Self::Http {
                    host,
                    port,
                    path,
                    headers,
                } => http::get(to(host.as_deref(), subject, *port)?, path, headers).await,
                Self::Tcp { host, port } => {
                    tcp::connect(to(host.as_deref(), subject, *port)?).await
                }
                Self::Grpc { port, service } => {
                    grpc::check(SocketAddr::new(subject.address, *port), service).await
                }
            }
        };
        tokio::time::timeout(timeout, asked)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {timeout:?}")))
    }
}

/// The pod's address, or the one that the manifest gives; there are no names to be resolved here.
fn to(host: Option<&str>, subject: &Subject, port: u16) -> std::result::Result<SocketAddr, String> {
    let address = match host {
        None => subject.address,
        Some(host) => host
            .parse()
            .map_err(|_| format!("host {host:?} is no IP address"))?,
    };
    Ok(SocketAddr::new(address, port))
}

/// A port's number; names are those of the container's ports.
fn port(port: &IntOrString, container: &Container) -> Result<u16> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            ports
                .find(|port| port.name.as_ref() == Some(name))
                .map(|port| port.container_port)
        }
    };
    number
        .and_then(|number| u16::try_from(number).ok())
        .filter(|number| *number != 0)
        .ok_or_else(|| wrong(container, &format!("it has no port {port:?}")))
}

fn positive(value: Option<i32>, default: u32) -> u32 {
    value
        .and_then(|value| u32::try_from(value).ok())
        .filter(|value| *value > 0)
        .unwrap_or(default)
}

fn wrong(container: &Container, why: &str) -> Error {
    Error::Malformed {
        what: format!("container {:?}", container.name),
        why: why.to_owned(),
    }
}
