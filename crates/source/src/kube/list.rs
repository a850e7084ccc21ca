//! Everything that exists.

use std::time::Duration;

use kube::core::Request;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::Phase;
use super::bound::{self, PAGE_BYTES};
use super::error::{Cause, ServerError, Step};
use super::object::Change;
use super::page::{Page, Pages};
use super::present::Present;
use super::tell::{Closed, Told};
use super::watch::{Failure, Watch};

/// Longest wait for a page of a list as a whole.
const PAGE_LIMIT: Duration = Duration::from_secs(60);

/// Objects in one page where larger ones are too large.
const SMALL_PAGE: u32 = 100;

/// How long it takes until a list that is doubted is asked for again.
const DOUBT_TIME: Duration = Duration::from_secs(1);

impl Watch {
    /// Everything. No version is known afterwards where the list is doubted.
    ///
    /// Large pages of JSON cost the server half of what a stream of JSON does (KEP-3157; measured by
    /// `scripts/bench-source`): it sends every object of a stream by itself. But whoever reads pages
    /// slowly may find that the server no longer knows the list, and a stream has no pages.
    pub(super) async fn list(&mut self) -> Result<(), Failure> {
        self.doubtful = false;
        self.known_before.get_or_insert(self.known.len());
        if self.doubted.is_some() {
            self.ask_another().await;
        }
        let expired = match self.page_list().await {
            Err(Failure::Server(error)) if error.cause.is_gone() => error,
            result => return result,
        };
        info!(error = %expired, "streaming the list");
        match self.stream_list().await {
            Err(Failure::Server(error))
                if error.step == Step::StreamingList && error.cause.is_no_stream() =>
            {
                warn!(%error, "the list can't be streamed either");
                self.status.failed(&expired.to_string());
                Err(expired.into())
            }
            result => result,
        }
    }

    /// Before a list that is doubted is asked for again: over another connection, which may lead to
    /// another server.
    async fn ask_another(&mut self) {
        sleep(DOUBT_TIME).await;
        self.server.renew().await;
    }

    /// Everything, page by page, until it is believed.
    pub(super) async fn list_pages(&mut self) -> Result<(), ServerError> {
        let mut result = self.page_list().await;
        while result.is_ok() && self.version.is_none() {
            self.ask_another().await;
            result = self.page_list().await;
        }
        match result {
            // Who closed the channel asks no more.
            Ok(()) | Err(Failure::Closed) => Ok(()),
            Err(Failure::Server(error)) => Err(error),
        }
    }

    async fn page_list(&mut self) -> Result<(), Failure> {
        let mut present = Present::none(self.resource);
        let mut pages = Pages::default();
        let mut next = None;
        loop {
            let page = self.page(Step::List, next).await;
            if let Err(error) = &page {
                // The next attempt asks for less at a time.
                self.small_pages |= error.cause == bound::too_many_bytes(PAGE_BYTES);
            }
            let text = page?;
            self.status.enter(Phase::Listing, PAGE_LIMIT);
            let failed = |cause| self.error(Step::List, cause);
            let page = Page::read(self.asked(), &text).map_err(failed)?;
            next = pages.take(&page).map_err(failed)?;
            for item in page.items {
                // A page that comes again comes in place of another one.
                if let Some(id) = item.id.as_ref().filter(|id| present.has(id)) {
                    let twice = Cause::Partial(format!("it has {id} twice"));
                    return Err(self.error(Step::List, twice).into());
                }
                self.tell(item, Change::Exists, Some(&mut present)).await?;
            }
            if next.is_none() {
                return self.listed(present, page.version).await;
            }
        }
    }

    async fn page(&self, step: Step, next: Option<String>) -> Result<String, ServerError> {
        let mut parameters = self.resource.page(&self.node, next);
        if step == Step::Check {
            parameters.limit = Some(1);
        } else if self.small_pages {
            parameters.limit = Some(SMALL_PAGE);
        }
        let request = Request::new(self.resource.path())
            .list(&parameters)
            .map_err(|error| self.error(step, kube::Error::BuildRequest(error)))?;
        let client = self.server.client();
        let answer = async {
            let body = client.request_stream(request).await?;
            bound::read(Box::pin(body), PAGE_BYTES).await
        };
        match timeout(PAGE_LIMIT, answer).await {
            Ok(answer) => answer.map_err(|cause| self.error(step, cause)),
            Err(_) => Err(self.error(step, Cause::Silent(PAGE_LIMIT))),
        }
    }

    /// Asks whether the server is at least where it was. One that was restored to an earlier
    /// state accepts a watch from a later version, and then tells nothing for a long time.
    pub(super) async fn check(&mut self) -> Result<(), ServerError> {
        let text = self.page(Step::Check, None).await?;
        self.status.heard();
        let page = Page::read(self.asked(), &text);
        let page = page.map_err(|cause| self.error(Step::Check, cause))?;
        self.not_before(Step::Check, &page.version)
    }

    /// Ends a list: what it didn't name is gone, unless that is too much to be believed at once.
    pub(super) async fn listed(
        &mut self,
        present: Present,
        version: String,
    ) -> Result<(), Failure> {
        let earlier = self.doubted.take();
        let again = earlier.is_some();
        if let Some(mut either) = earlier {
            either.join(&present);
            // What neither of two answers names.
            self.known.keep(&either);
            self.known_before = Some(self.known.len());
            self.send_present(either).await?;
        }
        let before = self.known_before.unwrap_or_default();
        if let Some(doubt) = self.known.doubt(&present, before, again) {
            warn!(
                resource = self.resource.plural(),
                "{doubt}; asking again before that is believed"
            );
            self.doubted = Some(present);
            return Ok(());
        }
        if again {
            info!(
                resource = self.resource.plural(),
                "asked again, and the answer is believed"
            );
        }
        self.known.keep(&present);
        self.known.listed();
        self.known_before = None;
        self.send_present(present).await?;
        self.send(Told::Listed(self.resource)).await?;
        self.status.listed();
        self.version = Some(version);
        Ok(())
    }

    async fn send_present(&self, present: Present) -> Result<(), Closed> {
        match present.into_event() {
            Some(event) => self.send(Told::Event(event, None)).await,
            None => Ok(()),
        }
    }
}
