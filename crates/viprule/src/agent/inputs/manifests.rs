//! Files and folders.

use std::path::PathBuf;

use anyhow::Context as _;
use viprule_service::model::Event;
use viprule_source::addresses::{self, Addresses};
use viprule_source::manifest::{Load, Manifests, Problem, STDIN, Severity, Watch, WatchOptions};

use super::Context;
use crate::agent::telemetry::Telemetry;
use crate::health::Moment;

/// What health calls them.
const SUBJECT: &str = "manifests";

/// Follows manifests. Ends only with an error.
///
/// Unless `allow_empty`, nothing is complete before there is a Service: a folder that is empty at
/// the start is one that is not filled or not mounted yet, and all rules would go.
pub(in super::super) async fn manifests(
    paths: &[PathBuf],
    allow_empty: bool,
    telemetry: &Telemetry,
    cx: Context<'_>,
) -> anyhow::Result<()> {
    let mut watch =
        Watch::new(paths.to_vec(), WatchOptions::default()).context("following the manifests")?;
    let manifests = Manifests::new(paths.to_vec(), Some(cx.node.to_owned()));
    let (mut manifests, load) = read(manifests).await?;
    let knows_node = load
        .events
        .iter()
        .any(|event| matches!(event, Event::NodeApplied(_)));
    let mut addresses = if knows_node {
        None
    } else {
        let follow = Addresses::follow().context("following interface addresses")?;
        let now = addresses::local_addresses()
            .await
            .context("reading interface addresses")?;
        cx.events(vec![Event::LocalAddresses(now)]).await;
        Some(follow)
    };
    let mut complete = allow_empty || has_service(&load);
    publish(load, &cx).await;
    if complete {
        cx.complete().await;
    } else {
        wait_for_service(paths, telemetry)?;
    }
    loop {
        let changed = async {
            match &mut addresses {
                Some(addresses) => addresses.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = watch.changed() => {}
            () = cx.reload.notified() => tracing::info!("reading the manifests again"),
            Some(conflict) = cx.conflicts.recv() => {
                tracing::error!("{}", manifests.conflict(&conflict));
                continue;
            }
            now = changed => {
                cx.events(vec![Event::LocalAddresses(now)]).await;
                continue;
            }
        }
        let (again, load) = read(manifests).await?;
        manifests = again;
        let begins = !complete && has_service(&load);
        publish(load, &cx).await;
        if begins {
            complete = true;
            telemetry.health.clear(SUBJECT);
            cx.complete().await;
        }
    }
}

fn has_service(load: &Load) -> bool {
    let mut events = load.events.iter();
    events.any(|event| matches!(event, Event::ServiceApplied(_)))
}

/// Tells that nothing is written yet. An error where no Service can come.
fn wait_for_service(paths: &[PathBuf], telemetry: &Telemetry) -> anyhow::Result<()> {
    let names: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let names = names.join(", ");
    anyhow::ensure!(
        paths.iter().any(|path| path.as_os_str() != STDIN),
        "no Service came on standard input, which is read once: nothing was touched; \
         --allow-empty goes on without any"
    );
    let message = format!(
        "no Service in {names} yet: nothing is written before there is one; --allow-empty goes on \
         without"
    );
    tracing::warn!("{message}");
    telemetry.health.warn(SUBJECT, &message, Moment::now());
    Ok(())
}

/// Reads the manifests apart from the reactor, as large ones take seconds.
async fn read(mut manifests: Manifests) -> anyhow::Result<(Manifests, Load)> {
    let read = tokio::task::spawn_blocking(move || {
        let load = manifests.load();
        (manifests, load)
    });
    read.await.context("reading the manifests")
}

async fn publish(load: Load, cx: &Context<'_>) {
    load.problems.iter().for_each(log);
    cx.events(load.events).await;
}

fn log(problem: &Problem) {
    match problem.severity {
        Severity::Warning => tracing::warn!("{problem}"),
        Severity::Error => tracing::error!("{problem}; what it said before stays"),
    }
}
