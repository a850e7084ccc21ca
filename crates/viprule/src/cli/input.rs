//! One look at the input, for the verbs that end.

use std::fmt::Write as _;
use std::path::PathBuf;

use viprule_service::model::Event;
use viprule_service::tracker::Tracker;
use viprule_source::escape;
use viprule_source::kube::{Access, ApiServer, list_once};
use viprule_source::manifest::{Manifests, Problem, Severity};

use super::{node, print};
use crate::config::{Effective, InputSource};

/// Whose addresses node ports answer on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// This machine's: the node is this one.
    Here {
        /// How many Services with endpoints its kernel serves.
        served: usize,
    },
    /// The Node object's, if there is one.
    Anywhere,
}

/// Reads the input once. Where something in it is bad, every problem is told and nothing else
/// happens.
pub(super) fn load(effective: &Effective, place: Place) -> anyhow::Result<Tracker> {
    match &effective.input {
        InputSource::Manifests { paths, .. } => of_manifests(effective, paths, place),
        InputSource::Cluster { kubeconfig, master } => {
            let access = Access {
                kubeconfig: kubeconfig.clone(),
                master: master.clone(),
                pipes: true,
            };
            of_cluster(effective, access, place)
        }
    }
}

fn of_manifests(effective: &Effective, paths: &[PathBuf], place: Place) -> anyhow::Result<Tracker> {
    let plan = effective.resolve().plan.clone();
    let manifests = Manifests::new(paths.iter().cloned(), Some(plan.node_name.clone()));
    let mut manifests = manifests.with_pipes();
    let load = manifests.load();
    refuse_errors(load.problems)?;
    let mut tracker = Tracker::new(plan);
    for event in load.events {
        tracker.apply(event);
    }
    place_node(&mut tracker, place)?;
    let conflicts = tracker
        .conflicts()
        .map(|conflict| manifests.conflict(&conflict));
    refuse_errors(conflicts)?;
    Ok(tracker)
}

/// What a cluster holds was accepted by its API server: what we can't use of it is told, and the
/// rest goes on, as in the agent.
fn of_cluster(effective: &Effective, access: Access, place: Place) -> anyhow::Result<Tracker> {
    let plan = effective.resolve().plan.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let in_kernel = match place {
        Place::Here { served } => served,
        Place::Anywhere => 0,
    };
    let listing = runtime.block_on(async {
        let server = ApiServer::new(access).await?;
        anyhow::Ok(list_once(&server, &plan.node_name, in_kernel).await?)
    })?;
    for problem in &listing.problems {
        print::note(&format!("warning: {problem}"));
    }
    let mut tracker = Tracker::new(plan);
    for event in listing.events {
        tracker.apply(event);
    }
    place_node(&mut tracker, place)?;
    for conflict in tracker.conflicts() {
        print::note(&format!("warning: {conflict}"));
    }
    Ok(tracker)
}

/// Tells which addresses are the node's, where its object does not.
fn place_node(tracker: &mut Tracker, place: Place) -> anyhow::Result<()> {
    if matches!(place, Place::Here { .. }) || tracker.node().is_none() {
        tracker.apply(Event::LocalAddresses(node::addresses()?));
    }
    Ok(())
}

/// Prints warnings; errors are told all together.
fn refuse_errors(problems: impl IntoIterator<Item = Problem>) -> anyhow::Result<()> {
    let mut errors = String::new();
    let mut bad = 0;
    for problem in problems {
        match problem.severity {
            Severity::Warning => print::note(&format!("warning: {problem}")),
            Severity::Error => {
                bad += 1;
                let problem = problem.to_string();
                let _ = write!(errors, "\n  {}", escape::line(&problem));
            }
        }
    }
    let plural = if bad == 1 { "" } else { "s" };
    if bad == 0 {
        return Ok(());
    }
    Err(ManifestErrors(format!(
        "{bad} error{plural} in the manifests, nothing was touched:{errors}"
    ))
    .into())
}

/// All that is wrong, a line each, which is escaped.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct ManifestErrors(String);
