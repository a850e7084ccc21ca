//! All watches as one source.

use std::time::SystemTime;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use viprule_service::model::{Event, Family, ServiceId};

use super::error::{ServerError, Step};
use super::kind::Asked;
use super::page::Page;
use super::present::is_content;
use super::problem::Teller;
use super::tell::Told;
use super::watch::Watch;
use super::{ApiServer, Problem, Resource, Statuses};

/// What may wait between the watches and the consumer, and the most of one batch. Watches stop
/// reading when it is full; TCP and the server do the rest.
const IN_FLIGHT: usize = 256;

/// When a change of a Service's endpoints began, for the network programming latency
/// (contract 7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// The Service.
    pub service: ServiceId,
    /// The changed slice's family.
    pub family: Family,
    /// The slice's annotation `endpoints.kubernetes.io/last-change-trigger-time`.
    pub at: SystemTime,
}

/// What came in since somebody last asked.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Events, in their order.
    pub events: Vec<Event>,
    /// One for each changed slice that says so, in the order of `events`; none for what lists
    /// tell.
    pub triggers: Vec<Trigger>,
    /// Problems, each told once for each version of an object.
    pub problems: Vec<Problem>,
    /// How many problems were too many to tell.
    pub suppressed: u64,
    /// True once everything that existed at the start was told, up to this batch; stays true.
    pub complete: bool,
}

/// Watches an API server, until it is dropped.
#[derive(Debug)]
pub struct Source {
    told: mpsc::Receiver<Told>,
    statuses: Statuses,
    teller: Teller,
    /// What is not listed yet.
    awaited: Vec<Resource>,
    /// Reused; empty between calls.
    buffer: Vec<Told>,
    _watches: JoinSet<()>,
}

impl Source {
    /// Starts to watch these, as the node of this name (contract 1.2). Needs a Tokio runtime.
    ///
    /// `in_kernel`: how many Services with endpoints this node serves already. First lists of less
    /// than half as many, where those are at least ten, are asked for again before they are believed.
    pub fn start(server: &ApiServer, node: &str, resources: &[Resource], in_kernel: usize) -> Self {
        let (out, told) = mpsc::channel(IN_FLIGHT);
        let statuses = Statuses::of(resources);
        let mut watches = JoinSet::new();
        for (resource, cell) in statuses.cells() {
            let node = node.to_owned();
            let watch = Watch::new(server.clone(), resource, node, out.clone(), cell, in_kernel);
            watches.spawn(watch.run());
        }
        Self {
            told,
            statuses,
            teller: Teller::new(),
            awaited: resources.to_vec(),
            buffer: Vec::new(),
            _watches: watches,
        }
    }

    /// What the watches are doing, for other threads too.
    pub fn statuses(&self) -> Statuses {
        self.statuses.clone()
    }

    /// Waits until something comes in and takes what is there, without waiting for more. `None`
    /// only where the runtime ends. Nothing is lost where the future is dropped.
    pub async fn next(&mut self) -> Option<Batch> {
        if self.told.recv_many(&mut self.buffer, IN_FLIGHT).await == 0 {
            return None;
        }
        let mut batch = Batch::default();
        for told in self.buffer.drain(..) {
            if let Told::Listed(resource) = told {
                self.awaited.retain(|awaited| *awaited != resource);
            } else {
                batch.take(told, &mut self.teller);
            }
        }
        batch.suppressed = self.teller.take_suppressed();
        batch.complete = self.awaited.is_empty();
        Some(batch)
    }
}

impl Batch {
    fn take(&mut self, told: Told, teller: &mut Teller) {
        match told {
            Told::Event(event, at) => {
                if let (Event::SliceApplied(slice), Some(at)) = (&event, at) {
                    self.triggers.push(Trigger {
                        service: slice.id.service.clone(),
                        family: slice.family,
                        at,
                    });
                }
                self.events.push(event);
            }
            Told::Problem(problem, version) => {
                if teller.tell(&problem, version.as_deref()) {
                    self.problems.push(problem);
                }
            }
            Told::Listed(_) => {}
        }
    }
}

/// Everything that exists at one time.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// What exists: the node, Services, slices, and where the server is reached.
    pub events: Vec<Event>,
    /// What is wrong with objects; refused ones have no event.
    pub problems: Vec<Problem>,
}

/// Lists these once, as the node of this name. The first error ends it, but for objects that the
/// server does not have or give, where all goes on without. `in_kernel` as for [`Source::start`].
pub async fn list_once(
    server: &ApiServer,
    node: &str,
    resources: &[Resource],
    in_kernel: usize,
) -> Result<Listing, ServerError> {
    let (out, mut told) = mpsc::channel(IN_FLIGHT);
    let list = async move {
        for (resource, cell) in Statuses::of(resources).cells() {
            let (server, node) = (server.clone(), node.to_owned());
            let mut watch = Watch::new(server, resource, node, out.clone(), cell, in_kernel);
            match watch.list_pages().await {
                Err(error) if resource.is_optional() && error.cause.is_not_given() => {}
                result => result?,
            }
        }
        Ok(())
    };
    let collect = async {
        let mut listing = Listing::default();
        while let Some(told) = told.recv().await {
            match told {
                Told::Event(event, _) if is_content(&event) => listing.events.push(event),
                Told::Problem(problem, _) => listing.problems.push(problem),
                Told::Event(..) | Told::Listed(_) => {}
            }
        }
        listing
    };
    let (result, mut listing) = tokio::join!(list, collect);
    result?;
    let addresses = server.addresses().borrow().clone();
    listing.events.push(Event::ApiServer(addresses));
    Ok(listing)
}

/// Reads a page of a list as [`Source`] does, and tells how many objects it has. For benchmarks: a
/// source lets go of each page before the next.
pub fn count_objects(resource: Resource, node: &str, page: &str) -> Result<usize, ServerError> {
    let page = Page::read(Asked { resource, node }, page);
    let page = page.map_err(|cause| ServerError::new(Step::List, resource, cause))?;
    Ok(page.items.len())
}
