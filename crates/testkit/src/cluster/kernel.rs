//! What a proxy did to a node's kernel.

use crate::dump::{Dump, Family};
use crate::error::{Error, Result};
use crate::netns::Namespace;
use netlink_batch::Socket;
use netlink_batch::socket::NETFILTER;
use nfnetlink::nftables;

/// The generation of a node's rule set: each commit, also one that changes nothing, raises it by
/// one.
pub fn generation(node: &Namespace) -> Result<u32> {
    let ask = || -> std::result::Result<u32, netlink_batch::Error> {
        nftables::generation(&mut Socket::open(NETFILTER)?)
    };
    node.run(ask)?.map_err(|error| Error::Malformed {
        what: format!("the rule set's generation in {}", node.name()),
        why: error.to_string(),
    })
}

/// Both families' rules.
pub fn dumps(node: &Namespace) -> Result<[Dump; 2]> {
    let [v4, v6] = Family::ALL.map(|family| Dump::take(node, family));
    Ok([v4?, v6?])
}

/// Every rule with its handle, which a rule that is written anew doesn't keep.
pub fn rules_and_handles(node: &Namespace) -> Result<String> {
    node.command("nft")
        .args(["-a", "-s", "list", "ruleset"])
        .text()
}
