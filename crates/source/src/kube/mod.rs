//! An API server: Services, EndpointSlices and this node's object as they change.
//!
//! [`Source`] watches three resources (contract 1.1), each on its own connection. Objects are
//! read one by one as they arrive, converted and let go; what waits for the consumer is bounded.
//! Of what was told a hash of each name is remembered: after a relist the names of everything that
//! exists are told ([`Event::ServicesRelisted`](viprule_service::model::Event::ServicesRelisted)),
//! and the tracker knows what is missing.
//!
//! An answer is taken for what was asked for only where it says so: its kind and version, a
//! resource version, and a chain of pages with an end; a watch or list that brings anything else is
//! an error. A list that lacks more than half of at least ten Services or slices that were there,
//! or has none at all, is asked for again, and what both answers lack is gone. So is a first list
//! that has far less than this node serves already.
//!
//! Lists are read page by page, and streamed (KEP-3157) where the server no longer knows a list when
//! its next page is asked for.
//!
//! Whatever fails is tried again, after a wait that grows from a quarter of a second to five
//! seconds with as much again at random, by listing everything: whoever answers after an outage may
//! have been restored to an earlier state and have passed our version since. A watch that merely
//! ends goes on where it was: load balancers close idle connections, and servers that shut down end
//! their watches. Where it ended early, or in time and without a word, the server is first asked
//! for its current version; if that is an earlier one, or the question fails, everything is listed.
//!
//! A peer that vanished is noticed by the kernel in about half a minute (TCP keepalive), a server
//! that is there and says nothing at the time at which it was to end the watch, four to five
//! minutes. [`Statuses`] tell all this at any time.

mod access;
mod bound;
mod chance;
mod error;
mod events;
mod kind;
mod known;
mod kubeconfig;
mod line;
mod list;
mod object;
mod page;
mod peers;
mod pinned;
mod present;
mod problem;
mod resource;
mod server;
mod source;
mod status;
mod tell;
mod watch;

pub use access::Access;
pub use error::{ConnectError, ServerError};
pub use events::{Events, Regarding, Severity};
#[doc(hidden)]
pub use kubeconfig::check_kubeconfig;
pub use problem::Problem;
pub use resource::Resource;
pub use server::ApiServer;
pub use source::{Batch, Listing, Source, Trigger, count_objects, list_once};
pub use status::{Phase, Statuses, WatchStatus};
