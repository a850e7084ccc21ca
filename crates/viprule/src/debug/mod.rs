//! The debug server on `metricsBindAddress` (contract 7): metrics, mode, configuration.

mod healthz;
mod pages;
mod reading;

use std::fmt;
use std::sync::Arc;

use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};

use self::reading::Reading;
use crate::http::{Handler, Reply, Request, json, not_found, text};
use crate::metrics::{self, Metrics, Slis};

/// When this process started, in seconds since 1970.
const START_TIME: HeaderName = HeaderName::from_static("process-start-time-unix");

/// A text that is asked for with each request, so that a reload shows.
pub type Text = Box<dyn Fn() -> String + Send + Sync>;

/// The same where it may go wrong.
pub type Fallible = Arc<dyn Fn() -> anyhow::Result<String> + Send + Sync>;

/// What the server shows beside metrics.
pub struct Pages {
    /// `/proxyMode`: `iptables`.
    pub mode: Text,
    /// `/configz`: the JSON document in full, `{"kubeproxy.config.k8s.io":{…}}`.
    pub config: Text,
    /// `/flagz`: names without dashes, and values; shown sorted by name.
    pub flags: Vec<(String, String)>,
    /// The version that `/statusz` shows.
    pub version: &'static str,
    /// `/metrics/services`, where the mode has such; may block.
    pub services: Option<Fallible>,
}

/// Answers for `metricsBindAddress`. That the address may be empty, and nothing is served then,
/// is ours: kube-proxy can't be told so (contract 12, 3).
pub struct DebugEndpoint {
    metrics: Arc<Metrics>,
    slis: Slis,
    pages: Pages,
    counted: Reading,
    /// Kept apart: there are as many as Services.
    services: Option<Reading>,
}

impl fmt::Debug for DebugEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DebugEndpoint").finish_non_exhaustive()
    }
}

impl DebugEndpoint {
    /// Serves these. Fails only on a metric that is defined twice.
    pub fn new(metrics: Arc<Metrics>, pages: Pages) -> Result<Self, prometheus::Error> {
        let read = Arc::clone(&metrics);
        Ok(Self {
            slis: Slis::new()?,
            counted: Reading::of(Arc::new(move || Ok(read.render()?))),
            services: pages.services.clone().map(Reading::of),
            metrics,
            pages,
        })
    }

    async fn read(&self, reading: &Reading) -> Reply {
        match reading.take().await {
            Ok(body) => self.exposition(body),
            Err(error) => failed(&error),
        }
    }

    fn slis(&self, method: &Method) -> Reply {
        if method == Method::DELETE {
            self.slis.reset();
            return text(StatusCode::OK, "metrics reset\n");
        }
        match self.slis.render() {
            Ok(body) => self.exposition(body.into()),
            Err(error) => failed(&error.to_string()),
        }
    }

    fn exposition(&self, body: Bytes) -> Reply {
        let mut reply = Reply::new(body.into());
        let headers = reply.headers_mut();
        let kind = HeaderValue::from_static(metrics::CONTENT_TYPE);
        headers.insert(CONTENT_TYPE, kind);
        if let Some(started) = self.metrics.process_start_time() {
            headers.insert(START_TIME, HeaderValue::from(started));
        }
        reply
    }
}

fn failed(error: &str) -> Reply {
    let message = format!("An error has occurred while serving metrics:\n\n{error}\n");
    text(StatusCode::INTERNAL_SERVER_ERROR, message)
}

impl Handler for DebugEndpoint {
    async fn answer(&self, request: &Request<()>) -> Reply {
        let ok = |body| text(StatusCode::OK, body);
        match request.uri().path() {
            "/metrics" => self.read(&self.counted).await,
            pages::SERVICES => match &self.services {
                Some(services) => self.read(services).await,
                None => not_found(),
            },
            "/metrics/slis" => self.slis(request.method()),
            "/healthz" => {
                let (body, checked) = healthz::answer(request.uri().query().unwrap_or_default());
                if checked {
                    self.slis.passed(healthz::PING);
                }
                ok(body)
            }
            "/healthz/ping" => ok("ok".to_owned()),
            "/proxyMode" => ok((self.pages.mode)()),
            "/configz" => json(StatusCode::OK, (self.pages.config)()),
            "/flagz" => ok(pages::flagz(&self.pages.flags)),
            "/statusz" => {
                let started = self.metrics.process_start_time();
                ok(pages::statusz(
                    started,
                    self.pages.version,
                    self.services.is_some(),
                ))
            }
            _ => not_found(),
        }
    }
}
