//! An API server.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;

use anyhow::Context as _;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::watch;
use tokio::time::Instant;
use viprule_service::model::{Event, Node};
use viprule_source::addresses::{self, Addresses};
use viprule_source::kube::{ApiServer, Batch, Regarding, Severity, Source};

use super::Context;
use crate::agent::news::{Happened, News};
use crate::agent::telemetry::Telemetry;
use crate::agent::watches;

/// Follows an API server and this machine's addresses. Ends only with an error, and none of those
/// is the server's: what it told before stays in force while it is away.
pub(in super::super) async fn cluster(
    server: &ApiServer,
    telemetry: &Telemetry,
    cx: Context<'_>,
) -> anyhow::Result<()> {
    let addresses = Addresses::follow().context("following interface addresses")?;
    let now = addresses::local_addresses()
        .await
        .context("reading interface addresses")?;
    let addresses = pin!(addresses.into_stream());
    follow(server, telemetry, (now, addresses), cx).await
}

/// The same with addresses as given, now and as they change.
pub(in super::super) async fn follow(
    server: &ApiServer,
    telemetry: &Telemetry,
    (now, mut addresses): (Vec<IpAddr>, impl Stream<Item = Vec<IpAddr>> + Unpin),
    cx: Context<'_>,
) -> anyhow::Result<()> {
    let resources = cx.served.mode.resources();
    let mut source = Source::start(server, cx.node, resources, cx.served.count().await?);
    let mut watches = pin!(watches::tell(source.statuses(), telemetry.clone()));
    cx.events(vec![Event::LocalAddresses(now)]).await;
    let mut reached = server.addresses();
    reached.mark_changed();
    let mut complete = false;
    let mut known = KnownNode::default();
    loop {
        tokio::select! {
            // In this order, as what comes seldom must not wait for what comes always.
            biased;
            () = &mut watches => {}
            Some(now) = addresses.next() => cx.events(vec![Event::LocalAddresses(now)]).await,
            Ok(()) = reached.changed() => tell(&mut reached, &cx).await,
            Some(conflict) = cx.conflicts.recv() => tracing::warn!("{conflict}"),
            batch = source.next() => {
                let Some(mut batch) = batch else { return Ok(()) };
                batch.events.iter_mut().for_each(|event| known.keep(event));
                let all = batch.complete;
                publish(batch, telemetry, &cx).await;
                if all && !complete {
                    complete = true;
                    // Nothing may be written before.
                    tell(&mut reached, &cx).await;
                    cx.complete().await;
                }
            }
        }
    }
}

/// Tells where the API server is reached.
async fn tell(reached: &mut watch::Receiver<BTreeSet<SocketAddr>>, cx: &Context<'_>) {
    let addresses = reached.borrow_and_update().clone();
    if !addresses.is_empty() {
        tracing::debug!(?addresses, "the API server is reached there");
        cx.events(vec![Event::ApiServer(addresses)]).await;
    }
}

/// What the Node was, for the time that it has no object: it may be made anew, and until then
/// Services go on as before (contract 1.3).
#[derive(Debug, Default)]
struct KnownNode(Option<Node>);

impl KnownNode {
    /// Takes note of the Node. Its end becomes a Node that load balancers should leave alone.
    fn keep(&mut self, event: &mut Event) {
        match (&mut self.0, &*event) {
            (known, Event::NodeApplied(node)) => *known = Some(node.clone()),
            (Some(known), Event::NodeDeleted) => {
                tracing::warn!(
                    node = known.name,
                    "the Node's object is gone; what it said stays"
                );
                known.eligible_for_load_balancers = false;
                *event = Event::NodeApplied(known.clone());
            }
            _ => {}
        }
    }
}

async fn publish(batch: Batch, telemetry: &Telemetry, cx: &Context<'_>) {
    for problem in &batch.problems {
        if problem.refused {
            let note = format!("{problem}; what it said before stays");
            tracing::error!("{note}");
            if let Some(service) = problem.service.clone() {
                let (regarding, severity) = (Regarding::Service(service), Severity::Warning);
                let events = &telemetry.events;
                events.publish(regarding, severity, "ObjectRefused", "ReadObject", note);
            }
        } else {
            tracing::warn!("{problem}");
        }
    }
    if batch.suppressed > 0 {
        tracing::warn!("{} more problems with objects", batch.suppressed);
    }
    if !batch.events.is_empty() {
        let happened = Happened {
            events: batch.events,
            triggers: batch.triggers,
            arrived: Instant::now(),
        };
        // A closed channel means that the agent is about to end.
        let _ = cx.news.send(News::Events(happened)).await;
    }
}
