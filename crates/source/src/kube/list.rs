//! Everything that exists.

use std::time::Duration;

use kube::core::Request;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::Phase;
use super::error::{Cause, ServerError, Step};
use super::object::Change;
use super::present::Present;
use super::watch::{Failure, Told, Watch};

/// Longest wait for a page of a list as a whole.
const PAGE_LIMIT: Duration = Duration::from_secs(60);
/// How long a server that does not stream a list is not asked to again. The next attempt may cost
/// half a minute of silence; an upgrade that brings streams can wait.
const PAGES_TIME: Duration = Duration::from_secs(600);

#[derive(Debug, Deserialize)]
struct Page<'p> {
    metadata: PageMetadata,
    /// Go writes no items as `null`.
    #[serde(borrow)]
    items: Option<Vec<&'p RawValue>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMetadata {
    resource_version: Option<String>,
    #[serde(rename = "continue")]
    next: Option<String>,
}

impl Watch {
    /// Everything, as a stream or else page by page.
    pub(super) async fn list(&mut self) -> Result<(), Failure> {
        self.doubtful = false;
        let now = Instant::now();
        if self.pages_until.is_some_and(|until| now < until) {
            return self.page_list().await;
        }
        match self.stream_list().await {
            Err(Failure::Server(error))
                if error.step == Step::StreamingList && error.cause.is_no_stream() =>
            {
                self.not_streamed(&error);
                self.page_list().await
            }
            result => result,
        }
    }

    /// Pages shall do, for some time.
    fn not_streamed(&mut self, error: &ServerError) {
        let minutes = PAGES_TIME.as_secs() / 60;
        if matches!(error.cause, Cause::Silent(_)) {
            warn!(%error, "listing by pages, for the next {minutes} minutes");
        } else {
            info!(%error, "listing by pages, for the next {minutes} minutes");
        }
        self.status.not_streamed(&error.to_string());
        self.pages_until = Some(Instant::now() + PAGES_TIME);
    }

    /// Everything, page by page.
    pub(super) async fn list_pages(&mut self) -> Result<(), ServerError> {
        match self.page_list().await {
            // Who closed the channel asks no more.
            Ok(()) | Err(Failure::Closed) => Ok(()),
            Err(Failure::Server(error)) => Err(error),
        }
    }

    async fn page_list(&mut self) -> Result<(), Failure> {
        let mut present = Present::none(self.resource);
        let mut next = None;
        loop {
            let text = self.page(Step::List, next).await?;
            self.status.enter(Phase::Listing, PAGE_LIMIT);
            let page: Page<'_> =
                serde_json::from_str(&text).map_err(|error| self.error(Step::List, error))?;
            for item in page.items.into_iter().flatten() {
                self.tell(item.get(), Change::Exists, Some(&mut present))
                    .await?;
            }
            next = page.metadata.next.filter(|token| !token.is_empty());
            if next.is_none() {
                let version = page.metadata.resource_version.unwrap_or_default();
                return self.listed(present, version).await;
            }
        }
    }

    async fn page(&self, step: Step, next: Option<String>) -> Result<String, ServerError> {
        let mut parameters = self.resource.page(&self.node, next);
        if step == Step::Check {
            parameters.limit = Some(1);
        }
        let request = Request::new(self.resource.path())
            .list(&parameters)
            .map_err(|error| self.error(step, kube::Error::BuildRequest(error)))?;
        let client = self.server.client();
        match timeout(PAGE_LIMIT, client.request_text(request)).await {
            Ok(answer) => answer.map_err(|error| self.error(step, error)),
            Err(_) => Err(self.error(step, Cause::Silent(PAGE_LIMIT))),
        }
    }

    /// Asks whether the server is at least where it was. One that was restored to an earlier
    /// state accepts a watch from a later version, and then tells nothing for a long time.
    pub(super) async fn check(&mut self) -> Result<(), ServerError> {
        let text = self.page(Step::Check, None).await?;
        self.status.heard();
        let page: Page<'_> =
            serde_json::from_str(&text).map_err(|error| self.error(Step::Check, error))?;
        self.not_before(Step::Check, page.metadata.resource_version.as_deref())
    }

    /// Ends a list: what it didn't name is gone.
    pub(super) async fn listed(
        &mut self,
        present: Present,
        version: String,
    ) -> Result<(), Failure> {
        if let Some(event) = present.into_event() {
            self.send(Told::Event(event, None)).await?;
        }
        self.send(Told::Listed(self.resource)).await?;
        self.status.listed();
        self.version = Some(version);
        Ok(())
    }
}
