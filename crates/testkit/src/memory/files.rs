//! Files below `/proc`: settings, with what a kernel begins with.

use std::collections::BTreeMap;
use std::io;

/// Settings below `/proc/sys` and their values at first.
const SETTINGS: [(&str, &str); 17] = [
    ("kernel/osrelease", "6.18.44"),
    ("net/ipv4/conf/all/arp_announce", "0"),
    ("net/ipv4/conf/all/arp_ignore", "0"),
    ("net/ipv4/conf/all/route_localnet", "0"),
    ("net/ipv4/ip_forward", "0"),
    ("net/ipv4/vs/conn_reuse_mode", "1"),
    ("net/ipv4/vs/conntrack", "0"),
    ("net/ipv4/vs/expire_nodest_conn", "0"),
    ("net/ipv4/vs/expire_quiescent_template", "0"),
    ("net/ipv6/conf/all/disable_ipv6", "0"),
    ("net/ipv6/conf/all/forwarding", "0"),
    ("net/netfilter/nf_conntrack_max", "262144"),
    ("net/netfilter/nf_conntrack_tcp_be_liberal", "0"),
    ("net/netfilter/nf_conntrack_tcp_timeout_close_wait", "60"),
    (
        "net/netfilter/nf_conntrack_tcp_timeout_established",
        "432000",
    ),
    ("net/netfilter/nf_conntrack_udp_timeout", "30"),
    ("net/netfilter/nf_conntrack_udp_timeout_stream", "120"),
];
/// Files that are there and say nothing of interest.
const OTHERS: [&str; 1] = ["/proc/thread-self/net/if_inet6"];

/// What files say, by path.
#[derive(Debug)]
pub(super) struct Files(BTreeMap<String, String>);

impl Default for Files {
    fn default() -> Self {
        let settings = SETTINGS.iter();
        let settings = settings.map(|(name, value)| (path(name), format!("{value}\n")));
        let others = OTHERS.iter().map(|&path| (path.to_owned(), String::new()));
        Self(settings.chain(others).collect())
    }
}

impl Files {
    pub(super) fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let text = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(text.clone().into_bytes())
    }

    pub(super) fn write(&mut self, path: &str, value: &[u8]) -> io::Result<()> {
        let text = self.0.get_mut(path).ok_or(io::ErrorKind::NotFound)?;
        let value = String::from_utf8_lossy(value);
        *text = format!("{}\n", value.trim());
        Ok(())
    }

    /// The value of a setting below `/proc/sys`.
    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.0.get(&path(name)).map(|text| text.trim())
    }

    /// Gives a setting a value, or takes it away.
    pub(super) fn set(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.0.insert(path(name), format!("{value}\n")),
            None => self.0.remove(&path(name)),
        };
    }
}

fn path(name: &str) -> String {
    format!("/proc/sys/{name}")
}
