//! Laws that hold for whatever Kubernetes says, in whatever order.

#![allow(clippy::unwrap_used, reason = "tests fail by panics")]

mod path;
mod path_independence;
mod selection;
mod world;
