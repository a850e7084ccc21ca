//! IPVS, sets and bound addresses, as the tools print them.

use crate::error::{Error, Result};
use crate::netns::Namespace;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

/// The link of IPVS mode (contract 3.3).
pub const LINK: &str = "kube-ipvs0";

/// The sets of IPVS mode, stated here once more (contract 3.5); IPv6 ones have `KUBE-6-` in place
/// of `KUBE-`, cut at 31 characters.
const SETS: [&str; 17] = [
    "KUBE-LOOP-BACK",
    "KUBE-CLUSTER-IP",
    "KUBE-EXTERNAL-IP",
    "KUBE-EXTERNAL-IP-LOCAL",
    "KUBE-LOAD-BALANCER",
    "KUBE-LOAD-BALANCER-LOCAL",
    "KUBE-LOAD-BALANCER-FW",
    "KUBE-LOAD-BALANCER-SOURCE-CIDR",
    "KUBE-LOAD-BALANCER-SOURCE-IP",
    "KUBE-NODE-PORT-TCP",
    "KUBE-NODE-PORT-UDP",
    "KUBE-NODE-PORT-LOCAL-TCP",
    "KUBE-NODE-PORT-LOCAL-UDP",
    "KUBE-NODE-PORT-SCTP-HASH",
    "KUBE-NODE-PORT-LOCAL-SCTP-HASH",
    "KUBE-HEALTH-CHECK-NODE-PORT",
    "KUBE-IPVS-IPS",
];

/// What IPVS mode writes beside rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VirtualServers {
    /// Virtual servers and their destinations: each a line of `ipvsadm -Sn`. Their order means
    /// nothing.
    pub servers: BTreeSet<String>,
    /// Sets by name, each with how it is created and its elements.
    pub sets: BTreeMap<String, Set>,
    /// Addresses on `kube-ipvs0`, as `inet 10.1.0.1/32`; `None` if there is no such link.
    pub addresses: Option<BTreeSet<String>>,
}

/// A set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set {
    /// What follows its name in `ipset save`, without the random `initval`.
    pub create: String,
    /// Its elements.
    pub elements: BTreeSet<String>,
}

impl VirtualServers {
    /// Asks the tools in a namespace.
    pub fn take(namespace: &Namespace) -> Result<Self> {
        let servers = namespace.command("ipvsadm").args(["-S", "-n"]).text()?;
        let sets = namespace.command("ipset").arg("save").text()?;
        let dummies = |what| {
            let ip = namespace.command("ip");
            ip.args(["-o", what, "show", "type", "dummy"]).text()
        };
        let addresses = if dummies("link")?.contains(&format!(": {LINK}:")) {
            // The link may be gone since, which asked for by name would be an error.
            let all = dummies("addr")?;
            let lines = all.lines();
            let of_link = lines.filter(|line| line.split_whitespace().nth(1) == Some(LINK));
            Some(of_link.collect::<Vec<_>>().join("\n"))
        } else {
            None
        };
        Self::parse(&servers, &sets, addresses.as_deref())
    }

    /// Reads what `ipvsadm -Sn`, `ipset save` and `ip -o addr show` printed.
    pub fn parse(servers: &str, sets: &str, addresses: Option<&str>) -> Result<Self> {
        let mut found = Self {
            servers: servers.lines().map(|line| line.trim().to_owned()).collect(),
            ..Self::default()
        };
        for line in sets.lines() {
            let malformed = || Error::Malformed {
                what: format!("a line of ipset save, {line:?}"),
                why: "it is neither create nor add".to_owned(),
            };
            let (verb, rest) = line.split_once(' ').ok_or_else(malformed)?;
            let (name, rest) = rest.split_once(' ').ok_or_else(malformed)?;
            let set = found.sets.entry(name.to_owned()).or_default();
            match verb {
                "create" => set.create = without_initval(rest),
                "add" => drop(set.elements.insert(rest.to_owned())),
                _ => return Err(malformed()),
            }
        }
        found.addresses = addresses.map(|text| text.lines().filter_map(bound).collect());
        Ok(found)
    }

    /// The destinations of a virtual server, each with its weight. `server` is as in `ipvsadm`,
    /// such as `-t 10.1.0.20:80`.
    pub fn destinations(&self, server: &str) -> BTreeMap<String, u32> {
        let start = format!("-a {server} -r ");
        let lines = self.servers.iter().filter_map(|line| {
            let mut words = line.strip_prefix(&start)?.split(' ');
            let destination = words.next()?.to_owned();
            let weight = words.skip_while(|word| *word != "-w").nth(1)?;
            Some((destination, weight.parse().ok()?))
        });
        lines.collect()
    }

    /// What viprule and kube-proxy own: sets by their names; servers whose address is on the link
    /// or, with the port, in one of those sets.
    #[must_use]
    pub fn ours(&self) -> Self {
        self.part(true)
    }

    /// The opposite.
    #[must_use]
    pub fn foreign(&self) -> Self {
        self.part(false)
    }

    /// Whether there is nothing at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn part(&self, ours: bool) -> Self {
        let servers = self.servers.iter();
        let sets = self
            .sets
            .iter()
            .filter(|(name, _)| is_our_set(name) == ours);
        Self {
            servers: servers
                .filter(|line| self.owns(line) == ours)
                .cloned()
                .collect(),
            sets: sets
                .map(|(name, set)| (name.clone(), set.clone()))
                .collect(),
            addresses: self.addresses.clone().filter(|_| ours),
        }
    }

    /// Whether a line of `ipvsadm -Sn` is about a server of ours.
    fn owns(&self, line: &str) -> bool {
        let words: Vec<_> = line.split(' ').collect();
        let [_, protocol, server, ..] = words[..] else {
            return false;
        };
        let protocol = match protocol {
            "-t" => "tcp",
            "-u" => "udp",
            "--sctp-service" => "sctp",
            _ => return false,
        };
        let Some((ip, port)) = server.rsplit_once(':') else {
            return false;
        };
        let ip = ip.trim_start_matches('[').trim_end_matches(']');
        let element = format!("{ip},{protocol}:{port}");
        let bound = self.addresses.iter().flatten().any(|address| {
            let host = address.split_once(' ').and_then(|(_, a)| a.split_once('/'));
            host.is_some_and(|(host, _)| host == ip)
        });
        bound
            || self.sets.iter().any(|(name, set)| {
                let node_ports = name.contains("-NODE-PORT-") && !name.contains("HEALTH");
                let any_address = node_ports && name.ends_with(&protocol.to_uppercase());
                is_our_set(name)
                    && (set.elements.contains(&element)
                        || (any_address && set.elements.contains(port)))
            })
    }

    /// A line for each thing that differs: `-` is only in `self`, `+` only in `other`.
    pub fn differences(&self, other: &Self) -> String {
        let (before, after) = (self.lines(), other.lines());
        let mut text = String::new();
        for line in before.difference(&after) {
            let _ = writeln!(text, "- {line}");
        }
        for line in after.difference(&before) {
            let _ = writeln!(text, "+ {line}");
        }
        text
    }

    /// A line for each server, destination, set, element, address and the link.
    pub fn lines(&self) -> BTreeSet<String> {
        let mut lines = self.servers.clone();
        for (name, set) in &self.sets {
            lines.insert(format!("create {name} {}", set.create));
            lines.extend(set.elements.iter().map(|it| format!("add {name} {it}")));
        }
        if let Some(addresses) = &self.addresses {
            lines.insert(format!("link {LINK}"));
            lines.extend(addresses.iter().cloned());
        }
        lines
    }
}

impl fmt::Display for VirtualServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines()
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Whether viprule and kube-proxy may create and destroy a set of this name.
pub fn is_our_set(name: &str) -> bool {
    const NAME_MAX: usize = 31;
    SETS.iter().any(|own| {
        let mut ipv6 = own.replacen("KUBE-", "KUBE-6-", 1);
        ipv6.truncate(NAME_MAX);
        name == *own || name == ipv6
    })
}

fn without_initval(create: &str) -> String {
    let mut words = create.split_whitespace();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        if word == "initval" {
            words.next();
        } else {
            kept.push(word);
        }
    }
    kept.join(" ")
}

/// `inet 10.1.0.1/32` of a line of `ip -o addr`; not the address that the kernel gives a link that
/// is up.
fn bound(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let family = words.find(|word| matches!(*word, "inet" | "inet6"))?;
    let address = words.next()?;
    (!address.starts_with("fe80:")).then(|| format!("{family} {address}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVERS: &str = "\
-A -t 10.1.0.20:80 -s rr -p 600
-a -t 10.1.0.20:80 -r 10.244.0.10:8080 -m -w 1
-a -t 10.1.0.20:80 -r 10.244.0.11:8080 -m -w 0
-A -t 192.168.77.2:30030 -s rr
-A -t 192.168.77.2:9999 -s rr
-A -u 198.51.100.9:53 -s wlc
-A -t [fd00:10:1::80]:80 -s rr
-A -f 7 -s rr
";
    const SETS: &str = "\
create KUBE-NODE-PORT-TCP bitmap:port range 0-65535
add KUBE-NODE-PORT-TCP 30030
create KUBE-6-CLUSTER-IP hash:ip,port family inet6 hashsize 1024 maxelem 65536 bucketsize 12 initval 0x1f
add KUBE-6-CLUSTER-IP fd00:10:1::80,tcp:80
create admins hash:ip family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x2f
";
    const ADDRESSES: &str =
        "7: kube-ipvs0    inet 10.1.0.20/32 scope global kube-ipvs0\\  valid_lft forever\n";

    #[test]
    fn whose_a_server_is_is_told_by_addresses_and_sets() {
        let all = VirtualServers::parse(SERVERS, SETS, Some(ADDRESSES)).unwrap();
        let foreign = all.foreign();
        let theirs = [
            "-A -f 7 -s rr",
            "-A -t 192.168.77.2:9999 -s rr",
            "-A -u 198.51.100.9:53 -s wlc",
        ];
        assert_eq!(foreign.servers, theirs.map(str::to_owned).into());
        assert_eq!(foreign.sets.keys().collect::<Vec<_>>(), ["admins"]);
        assert_eq!(all.ours().servers.len(), 5);
        assert_eq!(
            all.destinations("-t 10.1.0.20:80"),
            [
                ("10.244.0.10:8080".to_owned(), 1),
                ("10.244.0.11:8080".to_owned(), 0)
            ]
            .into()
        );
    }

    #[test]
    fn names_are_exact() {
        assert!(is_our_set("KUBE-6-LOAD-BALANCER-SOURCE-CID"));
        assert!(is_our_set("KUBE-6-NODE-PORT-LOCAL-SCTP-HAS"));
        for foreign in [
            "KUBE-6-LOAD-BALANCER-SOURCE-CIDR",
            "KUBE-SRC-abc",
            "kube-cluster-ip",
        ] {
            assert!(!is_our_set(foreign), "{foreign}");
        }
    }
}
