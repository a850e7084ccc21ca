//! Ends flows that lead to endpoints which are gone (contract 5.1).
//!
//! A UDP client that keeps its source port keeps its endpoint for as long as the kernel tracks the
//! flow, whatever the rules say by then. The [`Cleaner`] deletes such flows on a thread of its own.
//! It remembers where the flows of each frontend may lead, so it knows which change leaves
//! flows behind and looks at those frontends only: at once where it has not looked for a second,
//! otherwise at the latest a second after the change, so that many changes take one look.
//!
//! A flow is stale if it goes to one of our frontends and
//!
//! * leads elsewhere than to an endpoint that may keep its flows, and
//! * its destination is translated, or an endpoint serves which it would find instead. Untranslated
//!   flows in a conntrack zone are left alone: somebody else tracks them.
//!
//! Of TCP that is done to flows that are nothing but SYNs without an answer (`SYN_SENT`), see
//! kubernetes/kubernetes#101607: a client that repeats its SYN from one port, to a Service that was
//! not there yet or to an endpoint that is gone, keeps such a flow for as long as it tries, and never
//! meets the rules. They are looked at where a frontend gets its first endpoints or loses one, and
//! only some time after that: a SYN may have been sent just before it. Anything but a flow that
//! nobody answered ends by itself and is never touched.
//!
//! So, other than with kube-proxy, UDP flows to the last endpoint of a Service and flows of a deleted
//! UDP Service end as well once their endpoint is gone, and node ports count on the node's own
//! addresses only.

mod book;
mod cleaner;
mod looks;
mod pace;
mod resting;
mod sweep;

pub use cleaner::{Cleaned, Cleaner};
