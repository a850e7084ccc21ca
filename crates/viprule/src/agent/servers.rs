//! What is served over HTTP, and where.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::runtime::{Builder, Runtime};
use viprule_source::escape;

use crate::config::Effective;
use crate::debug::{DebugEndpoint, Fallible, Pages};
use crate::health::{HealthEndpoint, Moment, ProxyHealth, ServiceCheckOptions, ServiceChecks};
use crate::http::{BindError, Server, ServerOptions};
use crate::metrics::Metrics;

/// A runtime with one thread, for [`Servers`] alone: no work that objects of the cluster cause is
/// between a probe and its answer.
pub(super) fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1)
        // One for each text that takes time to work out.
        .max_blocking_threads(2)
        .thread_name("viprule-serve")
        .enable_all()
        .build()
}

/// The servers of an agent.
#[derive(Debug)]
pub(super) struct Servers {
    health: Server,
    debug: Server,
    pub(super) checks: Arc<ServiceChecks>,
    configz: Arc<RwLock<String>>,
}

impl Servers {
    /// Starts them as tasks of the current runtime.
    pub(super) fn start(
        effective: &Effective,
        health: &Arc<ProxyHealth>,
        metrics: &Arc<Metrics>,
        services: Option<Fallible>,
        checks: ServiceCheckOptions,
    ) -> anyhow::Result<Self> {
        let resolved = effective.resolve();
        let options = |name| ServerOptions {
            hard_fail: resolved.bind_hard_fail,
            ..ServerOptions::new(name)
        };
        let configz = Arc::new(RwLock::new(configz(effective)?));
        let shown = Arc::clone(&configz);
        // Another mode takes a restart.
        let mode = resolved.mode;
        let pages = Pages {
            mode: Box::new(move || mode.as_str().to_owned()),
            config: Box::new(move || {
                let shown = shown.read();
                shown.unwrap_or_else(PoisonError::into_inner).clone()
            }),
            flags: flags(),
            version: env!("CARGO_PKG_VERSION"),
            services,
        };
        let endpoint = HealthEndpoint::new(health.clone(), metrics.clone(), Moment::now);
        let debug = DebugEndpoint::new(metrics.clone(), pages)?;
        // Without a health server nobody could ask why (contract 12, 1).
        let judged = resolved.health.is_some().then(|| health.clone());
        let checks = ServiceChecks::start(ServiceCheckOptions {
            health: judged,
            ..checks
        });
        Ok(Self {
            health: Server::start(options("proxy health"), resolved.health, Arc::new(endpoint)),
            debug: Server::start(options("metrics"), Some(resolved.metrics), Arc::new(debug)),
            checks: Arc::new(checks),
            configz,
        })
    }

    /// Serves by another configuration from now on.
    pub(super) fn configure(&self, effective: &Effective) -> anyhow::Result<()> {
        let resolved = effective.resolve();
        self.health.rebind(resolved.health);
        self.debug.rebind(Some(resolved.metrics));
        let text = configz(effective)?;
        *self.configz.write().unwrap_or_else(PoisonError::into_inner) = text;
        Ok(())
    }

    /// Resolves when an address can't be had and `bindAddressHardFail` is set: the Event's reason
    /// (contract 9.4) and the error.
    pub(super) async fn failed(&self) -> (&'static str, BindError) {
        tokio::select! {
            error = self.health.failed() => ("FailedToStartProxierHealthcheck", error),
            error = self.debug.failed() => ("FailedToStartMetricServer", error),
        }
    }
}

/// The document of `/configz` (contract 7).
fn configz(effective: &Effective) -> anyhow::Result<String> {
    let document = serde_json::to_string(&effective.proxy)?;
    Ok(format!("{{\"kubeproxy.config.k8s.io\":{document}}}"))
}

/// The flags of this process: names without dashes, and values.
fn flags() -> Vec<(String, String)> {
    let mut words = std::env::args().skip(1).peekable();
    let mut flags = Vec::new();
    while let Some(word) = words.next() {
        let Some(flag) = word
            .strip_prefix('-')
            .map(|flag| flag.trim_start_matches('-'))
        else {
            continue;
        };
        let (name, value) = if let Some((name, value)) = flag.split_once('=') {
            (name, value.to_owned())
        } else {
            let value = words.next_if(|next| !next.starts_with('-'));
            (flag, value.unwrap_or_else(|| "true".to_owned()))
        };
        let value = match name {
            // May have a password, which is nobody's business.
            "master" => escape::url(&value).into_owned(),
            _ => value,
        };
        flags.push((name.to_owned(), value));
    }
    flags
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use viprule_testkit::Namespace;

    use super::*;
    use crate::http::{Handler, Reply, Request, StatusCode, text};

    struct Ok200;

    impl Handler for Ok200 {
        async fn answer(&self, _: &Request<()>) -> Reply {
            text(StatusCode::OK, "ok")
        }
    }

    #[test]
    fn what_is_served_does_not_wait_for_the_thread_that_started_it() {
        let namespace = Namespace::new("serve").unwrap();
        namespace.ip(["link set lo up"]).unwrap();
        let answer = namespace.run(|| {
            let runtime = runtime().unwrap();
            let server = {
                let _there = runtime.enter();
                let address = Some("127.0.0.1:10256".parse().unwrap());
                Server::start(ServerOptions::new("test"), address, Arc::new(Ok200))
            };
            let address = runtime.block_on(server.listening()).unwrap();
            // Blocks this thread, on which nothing else is done.
            let mut stream = TcpStream::connect(address).unwrap();
            let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            stream.write_all(request).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            runtime.shutdown_background();
            answer
        });
        assert!(answer.unwrap().ends_with("\r\n\r\nok"));
    }
}
