//! What is not the kernel's: sources, servers, signals, configuration.

use std::path::PathBuf;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc, oneshot};
use viprule_service::tracker::Conflict;
use viprule_source::kube::{Access, ApiServer, Events, Regarding, Severity};
use viprule_writer::netfilter::{Support, probe};

use super::host_settings::{self, Strictness};
use super::inputs::{self, Context};
use super::news::{NewSettings, News};
use super::served::Served;
use super::servers::Servers;
use super::telemetry::Telemetry;
use crate::config::{Changes, Effective, InputSource, Reloader};
use crate::health::ListenFailure;
use crate::log::LogHandle;
use crate::mode::{Mode, with_mode};

/// The signals that mean something.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Resolves when somebody wants the agent to end.
    pub(super) async fn end(&mut self) {
        ended(&mut self.terminate, &mut self.interrupt).await;
    }
}

async fn ended(terminate: &mut Signal, interrupt: &mut Signal) {
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!("{name}: rules stay in place");
}

/// All of it.
#[derive(Debug)]
pub(super) struct Supervisor<'l> {
    pub(super) configuration: Reloader,
    pub(super) log: &'l LogHandle,
    pub(super) signals: Signals,
    pub(super) servers: Servers,
    pub(super) telemetry: Telemetry,
    pub(super) news: mpsc::Sender<News>,
    pub(super) disputes: mpsc::UnboundedReceiver<Conflict>,
    pub(super) listen_failures: mpsc::UnboundedReceiver<ListenFailure>,
    /// The sync thread ended.
    pub(super) end: oneshot::Receiver<()>,
    /// The configuration names an input that can't be followed yet.
    pub(super) another_input: bool,
    /// What this kernel had when somebody last looked.
    pub(super) support: Support,
    pub(super) served: Served,
}

/// What comes after an input.
#[derive(Debug)]
pub(super) enum Next {
    End(anyhow::Result<()>),
    Follow(Input),
}

impl Supervisor<'_> {
    /// Follows an input and acts on everything else that happens, until the agent ends or another
    /// input takes its place.
    pub(super) async fn follow(&mut self, input: Input) -> Next {
        let reload = Notify::new();
        let node = self.configuration.current().node_name().to_owned();
        let context = Context {
            node: &node,
            news: &self.news,
            conflicts: &mut self.disputes,
            reload: &reload,
            served: &self.served,
        };
        let follow = follow(input, &self.telemetry, context);
        tokio::pin!(follow);
        loop {
            tokio::select! {
                () = ended(&mut self.signals.terminate, &mut self.signals.interrupt) => {
                    return Next::End(Ok(()));
                }
                _ = &mut self.end => return Next::End(Ok(())),
                result = &mut follow => return Next::End(result),
                (reason, error) = self.servers.failed() => {
                    let (severity, action) = (Severity::Warning, "StartKubeProxy");
                    self.telemetry.publish(severity, reason, action, error.to_string());
                    return Next::End(Err(error.into()));
                }
                Some(failure) = self.listen_failures.recv() => {
                    tell(&failure, &node, &self.telemetry);
                    continue;
                }
                () = self.configuration.changed() => tracing::info!("the configuration file changed"),
                _ = self.signals.hangup.recv() => {
                    tracing::info!("SIGHUP: reading configuration and input again");
                    reload.notify_one();
                }
            }
            let changes = self.configuration.reload();
            let (servers, telemetry) = (&self.servers, &self.telemetry);
            let effective = self.configuration.current();
            adopt(effective, &changes, servers, telemetry, self.log);
            if changes.plan || changes.dataplane || changes.sync || changes.conntrack {
                match probe(with_mode!(effective.resolve().mode, M => M::HAS_COUNTERS)) {
                    Ok(support) => self.support = support,
                    Err(error) => tracing::error!("the kernel is taken as it was: {error}"),
                }
                let resolved = effective.resolve();
                let settings = NewSettings {
                    resolved: resolved.clone(),
                    support: self.support,
                };
                let news = News::Settings(Box::new(settings));
                // The sync thread may be busy for long.
                tokio::select! {
                    () = self.signals.end() => return Next::End(Ok(())),
                    // A closed channel means that the agent is about to end.
                    _ = self.news.send(news) => {}
                }
            }
            self.another_input |= changes.source;
            if self.another_input {
                match Input::open(&effective.input).await {
                    Ok(input) => {
                        self.another_input = false;
                        return Next::Follow(input);
                    }
                    Err(error) => tracing::error!(
                        "{error:#}; the API server is followed as before, until SIGHUP or the next \
                         change of the configuration"
                    ),
                }
            }
        }
    }
}

/// Where facts come from, ready to be followed.
#[derive(Debug, Clone)]
pub(super) enum Input {
    Manifests {
        paths: Vec<PathBuf>,
        allow_empty: bool,
    },
    Cluster(ApiServer),
}

impl Input {
    /// True where a program says who asks the API server.
    pub(super) fn runs_program(&self) -> bool {
        match self {
            Self::Manifests { .. } => false,
            Self::Cluster(server) => server.runs_program(),
        }
    }

    /// Reads what is needed to reach a server, and asks nobody.
    pub(super) async fn open(source: &InputSource) -> anyhow::Result<Self> {
        Ok(match source {
            InputSource::Manifests { paths, allow_empty } => Self::Manifests {
                paths: paths.clone(),
                allow_empty: *allow_empty,
            },
            InputSource::Cluster { kubeconfig, master } => {
                let access = Access {
                    kubeconfig: kubeconfig.clone(),
                    master: master.clone(),
                    pipes: false,
                };
                Self::Cluster(ApiServer::new(access).await?)
            }
        })
    }
}

/// Follows the input. Ends only with an error, or with the runtime.
async fn follow(input: Input, telemetry: &Telemetry, context: Context<'_>) -> anyhow::Result<()> {
    match input {
        Input::Manifests { paths, allow_empty } => {
            inputs::manifests(&paths, allow_empty, telemetry, context).await
        }
        Input::Cluster(server) => {
            let (events, publisher) = Events::start(&server, context.node);
            telemetry.events.connect(events);
            telemetry.publish(
                Severity::Normal,
                "Starting",
                "StartKubeProxy",
                String::new(),
            );
            let result = inputs::cluster(&server, telemetry, context).await;
            publisher.abort();
            result
        }
    }
}

/// Acts by what changed in the configuration, apart from the rules.
fn adopt(
    effective: &Effective,
    changes: &Changes,
    servers: &Servers,
    telemetry: &Telemetry,
    log: &LogHandle,
) {
    let resolved = effective.resolve();
    if changes.conntrack || changes.oom_score_adj {
        // A setting that can't be made now is told; what works goes on.
        let _ = host_settings::make(resolved, Strictness::Told);
    }
    if changes.node
        && let Err(error) = with_mode!(resolved.mode, M => M::start(resolved))
    {
        tracing::error!("{error:#}");
    }
    if (changes.health || changes.metrics || changes.shown)
        && let Err(error) = servers.configure(effective)
    {
        tracing::error!("/configz shows the configuration before: {error:#}");
    }
    if changes.shown {
        for (gate, stage, enabled) in effective.feature_gates() {
            telemetry.metrics.feature(gate, stage, enabled);
        }
    }
    if changes.log_level
        && let Err(error) = log.set_level(&resolved.log_level)
    {
        tracing::error!("logging goes on as before: {error:#}");
    }
    if changes.sync {
        telemetry.health.set_timeout(2 * resolved.sync.period);
    }
}

/// Whoever listens has logged it.
fn tell(failure: &ListenFailure, node: &str, telemetry: &Telemetry) {
    let message = failure.note(node);
    telemetry.events.publish(
        Regarding::Service(failure.service.clone()),
        Severity::Warning,
        ListenFailure::REASON,
        ListenFailure::ACTION,
        message,
    );
}
