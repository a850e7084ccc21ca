//! The node agent on a real cluster: what it serves, follows, tells and takes over.

mod answers;
mod beside;
mod events;
mod facts;
mod former;
mod reload;
mod selectors;
mod sources;
mod support;
mod udp;
mod verbs;
