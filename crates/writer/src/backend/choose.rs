//! The choice between the two.

use std::collections::BTreeSet;

use nfnetlink::Family;

use super::Backend;
use super::evidence::{Evidence, Legacy, Nft};
use crate::WriteError;

/// What was chosen, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The one to write.
    pub backend: Backend,
    /// Why, as a phrase: `kubelet's chain KUBE-IPTABLES-HINT is there`.
    pub reason: String,
    /// What the operator should know about the other one.
    pub warnings: Vec<String>,
    /// The families in which the other one holds, or may hold, chains of a service proxy: of ours, or of kube-proxy
    /// when it used that one. They stay in the way of packets until they are removed.
    pub leftovers: Vec<Family>,
    /// The families in which the chosen one holds, or may hold, such chains. A mode that has none
    /// in either finds leftovers there as well.
    pub own: Vec<Family>,
    /// Why it is not known what legacy tables hold, where there may be some. One of the warnings.
    pub unread: Option<String>,
}

/// Chooses as the iptables-wrappers of Kubernetes do, unless the operator has chosen: where
/// kubelet's chain is, nf_tables first; without one, where there are more rules; nf_tables if
/// that does not tell. Reads only, and makes no table.
pub fn choose(wanted: Option<Backend>) -> Result<Choice, WriteError> {
    let legacy = Legacy::read()?;
    let mut nft = match Nft::read() {
        Ok(nft) => Some(nft),
        Err(WriteError::Missing { .. }) => None,
        Err(error) => return Err(error),
    };
    let (backend, reason) = match wanted {
        Some(backend) => (backend, "it is configured".to_owned()),
        None => by_evidence(nft.as_mut(), &legacy)?,
    };
    let in_nft = nft.map(|nft| nft.evidence).unwrap_or_default();
    let (ours, theirs) = match backend {
        Backend::Nft => (&in_nft, &legacy.evidence),
        Backend::Legacy => (&legacy.evidence, &in_nft),
    };
    let families = |evidence: &Evidence, backend| {
        let mut families: BTreeSet<Family> = evidence.proxy_chains.keys().copied().collect();
        // Where one family has some, the other one may have, too.
        if backend == Backend::Legacy && !families.is_empty() {
            families.extend(legacy.unread.keys());
        }
        families.into_iter().collect()
    };
    let own = families(ours, backend);
    let leftovers = families(theirs, backend.other());
    let (ours, theirs) = (ours.chains(), theirs.chains());
    let mut warnings = Vec::new();
    // One is like the other.
    let unread = legacy.unread.values().next().map(|error| {
        format!("there may be legacy tables, but what they hold could not be read: {error}")
    });
    warnings.extend(unread.clone());
    if theirs > 0 {
        let both = if ours > 0 {
            "both hold"
        } else {
            "the other one holds"
        };
        warnings.push(format!(
            "iptables over {backend} is used, but {both} chains of a service proxy \
             ({theirs} over {}); packets pass those too until they are removed",
            backend.other()
        ));
    }
    Ok(Choice {
        backend,
        reason,
        warnings,
        leftovers,
        own,
        unread,
    })
}

fn by_evidence(nft: Option<&mut Nft>, legacy: &Legacy) -> Result<(Backend, String), WriteError> {
    let hint = |name: &str| format!("kubelet's chain {name} is there");
    let Some(nft) = nft else {
        return Ok((
            Backend::Legacy,
            "this kernel has no iptables in nf_tables".to_owned(),
        ));
    };
    if let Some(option) = nft.lacks {
        let reason = format!("nf_tables lacks a family of this kernel ({option})");
        return Ok((Backend::Legacy, reason));
    }
    if let Some(name) = nft.evidence.hint {
        return Ok((Backend::Nft, hint(name)));
    }
    if let Some(name) = legacy.evidence.hint {
        return Ok((Backend::Legacy, hint(name)));
    }
    if legacy.rules == 0 {
        let reason = if legacy.unread.is_empty() {
            "legacy tables hold no rules"
        } else {
            "legacy tables could not be read"
        };
        return Ok((Backend::Nft, reason.to_owned()));
    }
    Ok(if nft.has_rules(legacy.rules)? {
        (
            Backend::Nft,
            "it has no fewer rules than legacy tables".to_owned(),
        )
    } else {
        (
            Backend::Legacy,
            format!("it has more rules ({})", legacy.rules),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_a_family_of_nf_tables_gets_legacy_tables() {
        let mut nft = Nft::without("CONFIG_NF_TABLES_IPV6").unwrap();
        let (backend, reason) = by_evidence(Some(&mut nft), &Legacy::default()).unwrap();
        assert_eq!(backend, Backend::Legacy);
        assert!(reason.contains("(CONFIG_NF_TABLES_IPV6)"), "{reason}");
    }
}
