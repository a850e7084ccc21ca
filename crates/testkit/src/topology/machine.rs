//! Kernel settings that every machine of a world has.

use crate::error::{Error, Result};
use crate::netns::Namespace;
use std::io;

/// Settings without which a world doesn't work. They are made before there are links, which
/// inherit `default`.
const NEEDED: [(&str, &str); 13] = [
    // Addresses are unique by construction; detection would hold IPv6 back for seconds.
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/all/accept_ra", "0"),
    ("net/ipv6/conf/default/accept_ra", "0"),
    // Ways there and back differ on purpose in some tests.
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    // A redirect would teach the client a way around the node.
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/ipv4/conf/default/send_redirects", "0"),
    // REJECT answers by ICMP; the default limit of one a second turns "refused" into "timed out".
    ("net/ipv4/icmp_ratelimit", "0"),
    ("net/ipv4/icmp_ratemask", "0"),
    ("net/ipv6/icmp/ratelimit", "0"),
    ("net/ipv4/ip_local_port_range", "10000 65535"),
    ("net/ipv4/tcp_max_syn_backlog", "16384"),
];

/// Settings that older kernels keep to the machine's own namespace.
const WISHED: [(&str, &str); 3] = [
    ("net/core/somaxconn", "16384"),
    // ICMP credit is refilled every 20 ms, so that the burst limits the rate as well.
    ("net/ipv4/icmp_msgs_per_sec", "1000000"),
    ("net/ipv4/icmp_msgs_burst", "1000000"),
];

/// A namespace with these settings.
pub(crate) fn new_machine(name: &str) -> Result<Namespace> {
    let namespace = Namespace::new(name)?;
    namespace.set_sysctls(&NEEDED)?;
    for wish in WISHED {
        match namespace.set_sysctls(&[wish]) {
            Err(Error::Io { source, .. }) if absent(&source) => {}
            result => result?,
        }
    }
    Ok(namespace)
}

fn absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
    )
}

/// Makes a machine forward both families.
pub(crate) fn make_router(namespace: &Namespace) -> Result<()> {
    namespace.set_sysctls(&[
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv6/conf/all/forwarding", "1"),
        ("net/ipv6/conf/default/forwarding", "1"),
    ])
}

/// Lines for `ip -batch` that take a link into service.
pub(crate) fn link_up(device: &str) -> String {
    // A lost question for a neighbour would cost a second; for these tables, 50 ms.
    format!(
        "link set {device} up\n\
         ntable change name arp_cache dev {device} retrans 50\n\
         ntable change name ndisc_cache dev {device} retrans 50\n"
    )
}
