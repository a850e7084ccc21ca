//! What goes wrong with an API server.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::{Resource, bound};
use crate::escape;

/// The API server can't be addressed as configured.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig or a file that it names can't be used.
    #[error("kubeconfig {}: {reason}; correct the file or name another with --kubeconfig", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the field or file.
        reason: String,
    },
    /// The URL of `--master` is none.
    #[error(
        "--master {url}: {reason}; give the API server's address such as https://192.0.2.1:6443"
    )]
    Master {
        /// As given, but for a user's name and password.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// There is no service account.
    #[error(
        "no API server is configured, and this is no pod with a service account: {reason}; give \
         --kubeconfig, --master or --manifests"
    )]
    InCluster {
        /// What is missing.
        reason: String,
    },
}

/// What was asked of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Everything, page by page.
    List,
    /// Everything as a stream.
    StreamingList,
    /// Changes.
    Watch,
    /// Whether it knows what it told before.
    Check,
    /// To keep a Kubernetes Event.
    Publish,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::List => "listing",
            Self::StreamingList => "streaming the list of",
            Self::Watch => "watching",
            Self::Check => "asking for the current version of",
            Self::Publish => "publishing",
        })
    }
}

/// A request that failed; it is tried again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{step} {what}: {}", escape::line(&cause.to_string()))]
pub struct ServerError {
    /// What was asked.
    pub(super) step: Step,
    /// For what, as paths name it.
    pub(super) what: &'static str,
    /// What went wrong.
    pub(super) cause: Cause,
}

impl ServerError {
    pub(super) fn new(step: Step, resource: Resource, cause: impl Into<Cause>) -> Self {
        Self {
            step,
            what: resource.plural(),
            cause: cause.into(),
        }
    }
}

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Cause {
    /// The server answered with an error.
    #[error("the API server says {code} {reason}: {message}{}", advice(*code))]
    Refused {
        /// HTTP status code.
        code: u16,
        /// Kubernetes' reason, such as `Forbidden`.
        reason: String,
        /// The server's words.
        message: String,
    },
    /// No connection, or it broke.
    #[error("{0}; check the API server's address and certificate and the way to it")]
    Connection(String),
    /// The server keeps silent.
    #[error(
        "the API server said nothing for {} s; check the API server and the way to it",
        .0.as_secs()
    )]
    Silent(Duration),
    /// A watch that ends as soon as it begins.
    #[error("the API server ended it at once; check the API server and proxies before it")]
    EndedAtOnce,
    /// The connection ended within a list.
    #[error("the connection ended before the list did; check the way to the API server")]
    Cut,
    /// Something that isn't Kubernetes' API.
    #[error("the answer is none of the Kubernetes API: {0}; check the API server's address")]
    Malformed(String),
    /// Something of Kubernetes' API that was not asked for.
    #[error("asked for {wanted}, got {found}; check the API server and proxies before it")]
    Other {
        /// What it says that it is.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// Not all of a list.
    #[error("the list is not complete: {0}; check the API server and proxies before it")]
    Partial(String),
    /// More than is taken of an answer.
    #[error("the answer is too large: {0}; check the API server and proxies before it")]
    TooLarge(String),
    /// Versions went backwards, as after a restore of etcd.
    #[error("the API server is at version {found}, before {known} that it told; listing anew")]
    WentBack {
        /// `metadata.resourceVersion` that the server has now.
        found: u64,
        /// The one that it had.
        known: u64,
    },
}

impl Cause {
    /// The server doesn't know any more what changed since the version that was asked for.
    pub(super) fn is_gone(&self) -> bool {
        matches!(
            self,
            Self::Refused { code: 410, .. } | Self::WentBack { .. }
        )
    }

    /// A server that streams no lists: it refuses the parameters (KEP-3157), takes them for something
    /// else, or has an etcd that is too old for it.
    pub(super) fn is_no_stream(&self) -> bool {
        let refused = matches!(
            self,
            Self::Refused {
                code: 400 | 406 | 422 | 500 | 501,
                ..
            }
        );
        refused || matches!(self, Self::Silent(_))
    }

    /// The server has no such objects, or the account may not read them.
    pub(super) const fn is_not_given(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                code: 403 | 404,
                ..
            }
        )
    }

    /// Other credentials or another address may help.
    pub(super) fn may_be_stale_configuration(&self) -> bool {
        matches!(self, Self::Refused { code: 401, .. } | Self::Connection(_))
    }
}

fn advice(code: u16) -> &'static str {
    match code {
        401 => "; check the token or client certificate",
        403 => "; bind the account to the ClusterRole system:node-proxier or its like",
        404 => "; check the API server's address",
        429 | 500.. => "; the API server is overloaded or not ready",
        _ => "",
    }
}

impl From<kube::core::Status> for Cause {
    fn from(status: kube::core::Status) -> Self {
        Self::Refused {
            code: status.code,
            reason: bounded(status.reason),
            message: bounded(status.message),
        }
    }
}

impl From<kube::Error> for Cause {
    fn from(error: kube::Error) -> Self {
        if let Some(cause) = bound::exceeded(&error) {
            return cause;
        }
        match error {
            kube::Error::Api(status) => (*status).into(),
            kube::Error::SerdeError(error) => Self::Malformed(error.to_string()),
            kube::Error::FromUtf8(error) => Self::Malformed(error.to_string()),
            // Whatever is between us and the server; its own words say more.
            kube::Error::Service(error) => Self::Connection(chain(&*error)),
            other => Self::Connection(chain(&other)),
        }
    }
}

/// An error with its causes, without those that repeat what was said.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    bounded(text)
}

/// Longest text of an answer in an error, characters.
const TEXT_LIMIT: usize = 1024;

fn bounded(text: String) -> String {
    escape::shortened(text, TEXT_LIMIT)
}

impl From<serde_json::Error> for Cause {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed(chain(&error))
    }
}
