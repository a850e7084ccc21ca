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
    let unknown = unknown_node(&plan.node_name, &load.events);
    let mut tracker = Tracker::new(plan);
    for event in load.events {
        tracker.apply(event);
    }
    tracker.complete();
    if let Some(warning) = unknown {
        print::note(&format!("warning: {warning}"));
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
        let resources = effective.resolve().mode.resources();
        anyhow::Ok(list_once(&server, &plan.node_name, resources, in_kernel).await?)
    })?;
    for problem in &listing.problems {
        print::note(&format!("warning: {problem}"));
    }
    let mut tracker = Tracker::new(plan);
    for event in listing.events {
        tracker.apply(event);
    }
    tracker.complete();
    place_node(&mut tracker, place)?;
    for conflict in tracker.conflicts() {
        print::note(&format!("warning: {conflict}"));
    }
    Ok(tracker)
}

/// Says that the node is none of those that the manifests have endpoints on, and has no object among
/// them either: most likely its name is misspelt.
fn unknown_node(name: &str, events: &[Event]) -> Option<String> {
    let mut others = 0;
    for event in events {
        match event {
            Event::NodeApplied(_) => return None,
            Event::SliceApplied(slice) => {
                for node in slice.endpoints.iter().filter_map(|it| it.node.as_deref()) {
                    if node == name {
                        return None;
                    }
                    others += 1;
                }
            }
            _ => {}
        }
    }
    (others > 0).then(|| {
        format!(
            "there is no Node {name} among the manifests, and no endpoint has this nodeName, so none \
             is local; if this node has another name there, set it with --node or hostnameOverride"
        )
    })
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
#[cfg(test)]
mod tests {
    use viprule_service::model::{Family, Node};
    use viprule_testkit::objects::{READY, endpoint, id, ip, slice};

    use super::*;

    #[test]
    fn a_node_that_nothing_knows_is_told() {
        let on = |node: Option<&str>| {
            let endpoints = vec![endpoint(ip("10.244.0.5"), node, READY)];
            Event::SliceApplied(slice(&id("a"), Family::Ipv4, endpoints))
        };
        let told = |events: &[Event]| unknown_node("node-1", events);
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[on(None)]), None, "nobody tells of nodes");
        let warning = told(&[on(None), on(Some("node-2"))]).unwrap();
        assert!(warning.contains("no Node node-1"), "{warning}");
        assert!(warning.contains("--node"), "{warning}");
        assert_eq!(told(&[on(Some("node-2")), on(Some("node-1"))]), None);
        let node = Event::NodeApplied(Node {
            name: "node-1".into(),
            ..Node::default()
        });
        assert_eq!(told(&[node, on(Some("node-2"))]), None);
    }
}
