//! What a Service's annotations ask of IPVS mode.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// How a Service's connections are spread over its endpoints, where a dataplane has a choice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Balancing {
    /// `ipvs.viprule.dev/scheduler`.
    pub scheduler: Option<SchedulerName>,
    /// `ipvs.viprule.dev/scheduler-flags`.
    pub flags: Option<SchedulerFlags>,
    /// `ipvs.viprule.dev/weights`, 1 to 65,535 each, in the order written.
    pub weights: Box<[(WeightKey, u16)]>,
}

impl Balancing {
    /// The share of endpoints that no weight is given for.
    pub const DEFAULT_WEIGHT: u16 = 1;

    /// The share of an endpoint: by its address, else by the longest network around it, else by its
    /// node. The first of equal keys holds.
    pub fn weight(&self, address: IpAddr, node: Option<&str>) -> u16 {
        let mut best: Option<(usize, u16)> = None;
        for (key, weight) in &self.weights {
            if let Some(rank) = key.rank(address, node)
                && best.is_none_or(|(other, _)| rank > other)
            {
                best = Some((rank, *weight));
            }
        }
        best.map_or(Self::DEFAULT_WEIGHT, |(_, weight)| weight)
    }
}

/// Which endpoints a weight is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum WeightKey {
    /// Those of this address.
    Address(IpAddr),
    /// Those of addresses in this network.
    Network(IpNet),
    /// Those on the node of this name.
    Node(Box<str>),
}

impl WeightKey {
    /// How closely the key describes an endpoint, if it does.
    fn rank(&self, address: IpAddr, node: Option<&str>) -> Option<usize> {
        match self {
            Self::Address(one) => (*one == address).then_some(usize::MAX),
            Self::Network(network) => network
                .contains(&address)
                .then_some(1 + usize::from(network.prefix_len())),
            Self::Node(name) => (node == Some(&**name)).then_some(0),
        }
    }
}

/// A scheduler's name, such as `mh`. Whether the kernel has it shows when it is asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SchedulerName(Box<str>);

impl SchedulerName {
    /// Characters at most (`IP_VS_SCHEDNAME_MAXLEN` without the NUL).
    pub const LIMIT: usize = 15;

    /// Checks a name: 1 to 15 letters, digits, `-` and `_`.
    pub fn new(name: &str) -> Option<Self> {
        let fits = (1..=Self::LIMIT).contains(&name.len());
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (fits && name.bytes().all(valid)).then(|| Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SchedulerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A scheduler's own flags (`IP_VS_SVC_F_SCHED1` to `3`): which of the three are set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct SchedulerFlags(pub [bool; 3]);

impl SchedulerFlags {
    /// The names of each, as `ipvsadm -b` has them.
    const NAMES: [[&str; 3]; 3] = [
        ["flag-1", "sh-fallback", "mh-fallback"],
        ["flag-2", "sh-port", "mh-port"],
        ["flag-3", "", ""],
    ];

    /// Reads a comma list of names; the error is the name that is none.
    pub fn parse(list: &str) -> Result<Self, &str> {
        let mut flags = Self::default();
        for name in list.split(',').map(str::trim) {
            let of_name = |names: &[&str; 3]| !name.is_empty() && names.contains(&name);
            let at = Self::NAMES.iter().position(of_name).ok_or(name)?;
            flags.0[at] = true;
        }
        Ok(flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_goes_before_the_longest_network_and_that_before_the_node() {
        let net = |text: &str| WeightKey::Network(text.parse().unwrap());
        let balancing = Balancing {
            weights: [
                (WeightKey::Node("a".into()), 2),
                (net("10.0.0.0/8"), 3),
                (net("10.1.0.0/16"), 4),
                (net("0.0.0.0/0"), 5),
                (WeightKey::Address(ip("10.1.0.1")), 6),
                (WeightKey::Address(ip("10.1.0.1")), 7),
            ]
            .into(),
            ..Balancing::default()
        };
        let weight = |address, node| balancing.weight(ip(address), node);
        assert_eq!(weight("10.1.0.1", Some("a")), 6);
        assert_eq!(weight("10.1.0.2", Some("a")), 4);
        assert_eq!(weight("10.2.0.2", Some("a")), 3);
        assert_eq!(weight("11.0.0.1", Some("a")), 5);
        assert_eq!(weight("fd00::1", Some("a")), 2);
        assert_eq!(weight("fd00::1", Some("b")), 1);
        assert_eq!(weight("fd00::1", None), 1);
    }

    #[test]
    fn names_of_schedulers_are_short_and_plain() {
        for good in ["rr", "a", "mh_2", "lblc-r", "fifteen_letters"] {
            assert_eq!(SchedulerName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "sixteen__letters", "r r", "rr\n", "r\u{e9}"] {
            assert_eq!(SchedulerName::new(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn flags_have_the_names_of_ipvsadm() {
        let parse = SchedulerFlags::parse;
        assert_eq!(parse("mh-port"), Ok(SchedulerFlags([false, true, false])));
        assert_eq!(parse("sh-fallback, sh-port"), parse("flag-1,flag-2"));
        assert_eq!(parse("flag-3"), Ok(SchedulerFlags([false, false, true])));
        assert_eq!(parse("mh-port,rr"), Err("rr"));
        assert_eq!(parse(""), Err(""));
        assert_eq!(parse("flag-1,"), Err(""));
    }
}
