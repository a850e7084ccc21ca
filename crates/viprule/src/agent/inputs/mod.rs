//! Where facts come from, followed for as long as the agent runs.

mod cluster;
mod manifests;

pub(super) use cluster::{cluster, follow};
pub(super) use manifests::manifests;

use tokio::sync::{Notify, mpsc};
use viprule_service::model::Event;
use viprule_service::tracker::Conflict;

use super::news::{Happened, News};
use super::served::Served;

/// What every input works with.
#[derive(Debug)]
pub(super) struct Context<'a> {
    /// This node's name.
    pub(super) node: &'a str,
    pub(super) news: &'a mpsc::Sender<News>,
    /// Conflicts between Services, to be told.
    pub(super) conflicts: &'a mut mpsc::UnboundedReceiver<Conflict>,
    /// Somebody wants everything to be read again.
    pub(super) reload: &'a Notify,
    pub(super) served: &'a Served,
}

impl Context<'_> {
    async fn events(&self, events: Vec<Event>) {
        if !events.is_empty() {
            // A closed channel means that the agent is about to end.
            let _ = self.news.send(News::Events(Happened::now(events))).await;
        }
    }

    async fn complete(&self) {
        let _ = self.news.send(News::Complete).await;
    }
}
