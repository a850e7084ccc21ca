//! The thread that owns the kernel, and what was found there before it starts.

use std::collections::BTreeSet;
use std::thread::{self, JoinHandle};

use nfnetlink::Family;
use tokio::sync::{mpsc, oneshot};
use viprule_dataplane::family::in_plans;
use viprule_service::model;
use viprule_service::tracker::{Conflict, Tracker};
use viprule_sync::{Listener, Rooms, Syncer};
use viprule_writer::backend::{Backend, Choice, choose};
use viprule_writer::conntrack::Cleaner;
use viprule_writer::netfilter::Support;

use super::flows;
use super::host_watch::HostWatch;
use super::news::News;
use super::node_report::NodeReport;
use super::prerequisites::Prerequisites;
use super::served::Served;
use super::sync_loop::{Foreign, SyncLoop, Timing};
use super::takeover::Takeover;
use super::telemetry::{Pending, Telemetry};
use crate::config::{Effective, InputSource};
use crate::mode::leftovers::{self, Search};
use crate::mode::{KeyOf, Mode, ProxyMode, with_mode};

/// What was found in this kernel.
#[derive(Debug)]
pub(super) struct KernelFacts {
    pub(super) support: Support,
    /// The mode's own chains are in the chosen iptables.
    uses_iptables: bool,
    choice: Choice,
    families: Vec<Family>,
}

impl KernelFacts {
    pub(super) fn look(effective: &Effective, support: Support) -> anyhow::Result<Self> {
        let resolved = effective.resolve();
        let choice = choose(resolved.backend.chosen())?;
        let uses_iptables = with_mode!(resolved.mode, M => M::USES_IPTABLES);
        if uses_iptables {
            tracing::info!(backend = %choice.backend, "iptables: {}", choice.reason);
            for warning in &choice.warnings {
                tracing::warn!("{warning}");
            }
        } else if let Some(unread) = &choice.unread {
            tracing::warn!("{unread}");
        }
        with_mode!(resolved.mode, M => M::check(choice.backend, support, resolved))?;
        Ok(Self {
            support,
            uses_iptables,
            choice,
            families: resolved.families_on(support),
        })
    }

    /// A kernel that has this, with iptables over `nf_tables` and nothing of another proxy.
    pub(super) fn given(effective: &Effective, support: Support) -> Self {
        let mode = effective.resolve().mode;
        Self {
            support,
            uses_iptables: with_mode!(mode, M => M::USES_IPTABLES),
            choice: Choice {
                backend: Backend::Nft,
                reason: "it is given".to_owned(),
                warnings: Vec::new(),
                leftovers: Vec::new(),
                own: Vec::new(),
                unread: None,
            },
            families: effective.resolve().families_on(support),
        }
    }

    /// True where programs of the host write legacy tables, or read and remove what a former proxy has
    /// there.
    pub(super) fn runs_programs(&self) -> bool {
        match self.choice.backend {
            Backend::Legacy => self.uses_iptables || !self.choice.own.is_empty(),
            Backend::Nft => !self.choice.leftovers.is_empty(),
        }
    }

    /// How to count what this kernel serves already in this mode.
    pub(super) fn served(&self, mode: ProxyMode) -> Served {
        Served {
            mode,
            backend: self.choice.backend,
            families: self.families.clone(),
        }
    }

    pub(super) fn families(&self) -> Vec<model::Family> {
        let families = self.families.iter();
        families.map(|family| in_plans(*family)).collect()
    }
}

/// All that the sync thread owns.
pub(super) struct SyncThread<M: Mode> {
    pub(super) kernel: KernelFacts,
    pub(super) effective: Effective,
    pub(super) telemetry: Telemetry,
    pub(super) rooms: Rooms,
    /// Who hears whose the objects are that count traffic.
    pub(super) listener: Option<Box<dyn Listener<KeyOf<M>>>>,
    pub(super) inbox: mpsc::Receiver<News>,
    pub(super) conflicts: mpsc::UnboundedSender<Conflict>,
    pub(super) stopped: oneshot::Receiver<()>,
}

impl<M: Mode + Default> SyncThread<M> {
    pub(super) fn spawn(
        self,
        ended: oneshot::Sender<()>,
    ) -> std::io::Result<JoinHandle<anyhow::Result<()>>> {
        thread::Builder::new()
            .name("viprule-sync".to_owned())
            .spawn(move || {
                // Whoever waits for the end hears of it even if this panics.
                let _ended = ended;
                let cleaner = Cleaner::spawn(flows::reporter(self.telemetry.clone()))?;
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                runtime.block_on(self.keep(Some(cleaner)))
            })
    }

    /// Keeps the kernel of the calling thread's network namespace right.
    pub(super) async fn keep(self, cleaner: Option<Cleaner>) -> anyhow::Result<()> {
        let resolved = self.effective.resolve();
        let KernelFacts {
            support,
            choice,
            families,
            ..
        } = self.kernel;
        let tracker = Tracker::new(resolved.plan.clone());
        let mut writer = M::open(choice.backend, &families)?;
        M::configure(&mut writer, resolved);
        let settings = M::settings(resolved, Some(support));
        let dataplane = M::dataplane(settings, tracker.facts());
        let mut syncer = Syncer::new(tracker, dataplane, writer).in_turns(self.rooms);
        if let Some(listener) = self.listener {
            syncer.ledger().count_services();
            syncer = syncer.with_listener(listener);
        }
        if let Some(cleaner) = cleaner {
            syncer = syncer.with_cleaner(cleaner);
        }
        syncer.ledger().serve_only(self.telemetry.families.clone());
        let mode = resolved.mode;
        let takeover = Takeover::new(
            resolved.modes.clone(),
            Box::new(move |settings| {
                leftovers::find(&Search {
                    mode: Some(mode),
                    choice: &choice,
                    families: &families,
                    settings,
                })
            }),
        );
        let from_cluster = matches!(self.effective.input, InputSource::Cluster { .. });
        let prerequisites = if from_cluster {
            Prerequisites::of(resolved)
        } else {
            Prerequisites::default()
        };
        let sync_loop = SyncLoop {
            syncer,
            mode: M::default(),
            takeover,
            host: HostWatch::default(),
            inbox: self.inbox,
            conflicts: self.conflicts,
            telemetry: self.telemetry,
            node_report: NodeReport::new(!from_cluster),
            resolved: resolved.clone(),
            prerequisites,
            timing: Timing::new(),
            refused: BTreeSet::new(),
            oversized: BTreeSet::new(),
            unfinished: false,
            unusable: BTreeSet::new(),
            ready: false,
            owes: false,
            pending: Pending::default(),
            foreign: Foreign::default(),
            way: Vec::new(),
        };
        sync_loop.keep(self.stopped).await
    }
}
