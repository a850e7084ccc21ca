//! One look at the manifests, for the verbs that end.

use std::fmt::Write as _;

use viprule_service::model::Event;
use viprule_service::plan::PlanConfig;
use viprule_service::tracker::Tracker;
use viprule_source::manifest::{Manifests, Problem, Severity};

use super::{node, print};
use crate::config::InputArgs;

/// Reads all manifests. Where something in them is bad, every problem is told and nothing else
/// happens.
pub(super) fn load(args: &InputArgs, plan: PlanConfig) -> anyhow::Result<Tracker> {
    let mut manifests = Manifests::new(args.manifests.clone(), Some(plan.node_name.clone()));
    let load = manifests.load();
    refuse_errors(load.problems)?;
    let knows_node = load
        .events
        .iter()
        .any(|event| matches!(event, Event::NodeApplied(_)));
    let mut tracker = Tracker::new(plan);
    for event in load.events {
        tracker.apply(event);
    }
    if !knows_node {
        tracker.apply(Event::LocalAddresses(node::addresses()?));
    }
    let conflicts = tracker
        .conflicts()
        .map(|conflict| manifests.conflict(&conflict));
    refuse_errors(conflicts)?;
    Ok(tracker)
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
                let _ = write!(errors, "\n  {problem}");
            }
        }
    }
    let plural = if bad == 1 { "" } else { "s" };
    anyhow::ensure!(
        bad == 0,
        "{bad} error{plural} in the manifests, nothing was touched:{errors}"
    );
    Ok(())
}
