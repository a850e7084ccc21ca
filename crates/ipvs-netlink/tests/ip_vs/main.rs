//! Everything against a kernel with IPVS, in network namespaces that the tests make. They are
//! ignored where no such kernel is to be expected; `scripts/vm` brings one:
//!
//! ```sh
//! scripts/vm -- PROGRAM --include-ignored
//! ```
//!
//! With `VIPRULE_IPVS=1` a kernel without IPVS is a failure also of the test that is not ignored.

#[path = "../common/mod.rs"]
mod common;

mod changes;
mod listings;
mod opening;

/// What `ipvsadm -Sn` prints with every option that it has.
const OPTIONS: &str = include_str!("../data/every-option.txt");
