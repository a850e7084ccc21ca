//! Everything that exists.

use std::time::Duration;

use kube::core::Request;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::Phase;
use super::error::{Cause, ServerError, Step};
use super::object::Change;
use super::page::{Page, Pages};
use super::present::Present;
use super::tell::{Closed, Told};
use super::watch::{Failure, Watch};

/// Longest wait for a page of a list as a whole.
const PAGE_LIMIT: Duration = Duration::from_secs(60);
/// How long a server that does not stream a list is not asked to again. The next attempt may cost
/// half a minute of silence; an upgrade that brings streams can wait.
const PAGES_TIME: Duration = Duration::from_secs(600);

/// How long it takes until a list that is doubted is asked for again.
const DOUBT_TIME: Duration = Duration::from_secs(1);

impl Watch {
    /// Everything, as a stream or else page by page. No version is known afterwards where the list
    /// is doubted.
    pub(super) async fn list(&mut self) -> Result<(), Failure> {
        self.doubtful = false;
        self.known_before.get_or_insert(self.known.len());
        if self.doubted.is_some() {
            return self.list_again().await;
        }
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

    /// Another answer than the one that is doubted: by pages, which are read from etcd or are as
    /// good, over another connection, which may lead to another server.
    async fn list_again(&mut self) -> Result<(), Failure> {
        sleep(DOUBT_TIME).await;
        self.server.renew().await;
        self.page_list().await
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

    /// Everything, page by page, until it is believed.
    pub(super) async fn list_pages(&mut self) -> Result<(), ServerError> {
        let mut result = self.page_list().await;
        while result.is_ok() && self.version.is_none() {
            result = self.list_again().await;
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
            let text = self.page(Step::List, next).await?;
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
