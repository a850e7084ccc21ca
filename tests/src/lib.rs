//! End-to-end tests live in `tests/`, what measures in `benches/`; here is what several of those
//! share.

pub mod figures;
