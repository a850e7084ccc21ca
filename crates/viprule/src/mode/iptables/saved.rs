//! What `iptables-save` and `ip6tables-save` printed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nfnetlink::Family;
use viprule_dataplane::netfilter::{Desired, Object, parse_save};
use viprule_dataplane::ownership::Layout;

use super::IptablesMode;
use crate::config::Resolved;
use crate::mode::{Mode as _, Saved};

/// Reads one file of each family.
pub(super) fn read(paths: &[PathBuf], resolved: &Resolved) -> anyhow::Result<Saved<IptablesMode>> {
    let mut state = Desired::default();
    let (mut families, mut nfacct) = (Vec::new(), false);
    for path in paths {
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let family = family_of(path, &text, &resolved.common.families)?;
        anyhow::ensure!(
            !families.contains(&family),
            "--against: two dumps of the same family; give one for each"
        );
        let more = parse_save::<Object>(Layout::Iptables, family, &text)
            .with_context(|| path.display().to_string())?;
        state = state.merged(more);
        families.push(family);
        nfacct |= text.contains("--nfacct-name");
    }
    let mut settings = IptablesMode::settings(resolved, None);
    (settings.common.families, settings.nfacct) = (families, nfacct);
    Ok(Saved {
        state,
        settings,
        shows: Box::new(|_| true),
    })
}

/// The family that a dump is of: by its first line, or the only one asked for.
fn family_of(path: &Path, text: &str, families: &[Family]) -> anyhow::Result<Family> {
    let head = text.lines().next().unwrap_or_default();
    if head.contains("ip6tables-save") {
        Ok(Family::Ipv6)
    } else if head.contains("iptables-save") {
        Ok(Family::Ipv4)
    } else if let [only] = families {
        Ok(*only)
    } else {
        anyhow::bail!(
            "{}: does not say whether it is of IPv4 or IPv6; add --ip-family",
            path.display()
        )
    }
}
