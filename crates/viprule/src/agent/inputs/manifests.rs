//! Files and folders.

use std::path::PathBuf;

use anyhow::Context as _;
use viprule_service::model::Event;
use viprule_source::addresses::{self, Addresses};
use viprule_source::manifest::{Load, Manifests, Problem, Severity, Watch, WatchOptions};

use super::Context;

/// Follows manifests. Ends only with an error.
pub(in super::super) async fn manifests(paths: &[PathBuf], cx: Context<'_>) -> anyhow::Result<()> {
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
    publish(load, &cx).await;
    cx.complete().await;
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
        publish(load, &cx).await;
    }
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
