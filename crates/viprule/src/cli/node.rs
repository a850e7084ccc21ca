//! This machine.

use std::net::IpAddr;

use anyhow::Context as _;
use nfnetlink::Family;
use viprule_dataplane::iptables::Settings;
use viprule_source::addresses;
use viprule_writer::iptables::Support;

use crate::config::Resolved;

/// The addresses on this machine's interfaces, sorted.
pub(super) fn addresses() -> anyhow::Result<Vec<IpAddr>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime
        .block_on(addresses::local_addresses())
        .context("reading this machine's interface addresses")
}

/// The settings as this kernel can have them.
pub(super) fn fit(resolved: &Resolved, support: Support) -> Settings {
    let mut settings = resolved.iptables.clone();
    settings.nfacct = support.nfacct;
    settings.drop_invalid = !support.be_liberal;
    if !resolved.families_chosen && !support.ipv6 {
        settings.families.retain(|family| *family != Family::Ipv6);
    }
    settings
}
