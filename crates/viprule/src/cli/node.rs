//! This machine.

use std::net::IpAddr;

use anyhow::Context as _;
use viprule_source::addresses;

/// The addresses on this machine's interfaces, sorted.
pub(super) fn addresses() -> anyhow::Result<Vec<IpAddr>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime
        .block_on(addresses::local_addresses())
        .context("reading this machine's interface addresses")
}
