//! The parts of a rule.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Directions, Ipvs, Physdev};
use crate::Family;

/// IP protocol numbers that Services use.
pub mod protocol {
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

/// A condition that may be inverted with `!`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NotOr<T> {
    /// True where the rule says `!`.
    pub not: bool,
    /// The value to compare with.
    pub value: T,
}

impl<T> NotOr<T> {
    /// The plain condition.
    pub const fn is(value: T) -> Self {
        Self { not: false, value }
    }

    /// The inverted condition.
    pub const fn not(value: T) -> Self {
        Self { not: true, value }
    }
}

/// One rule, as a line of `iptables-save` has it behind `-A CHAIN`.
///
/// Two rules are equal where the lines are. Counters are not part of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The table's family; decides how `recent` masks and `REJECT` are written.
    pub family: Family,
    /// `-s`. `None` is any; a prefix of length 0 is never stored.
    pub src: Option<NotOr<IpNet>>,
    /// `-d`.
    pub dst: Option<NotOr<IpNet>>,
    /// `-i`.
    pub in_interface: Option<NotOr<Interface>>,
    /// `-o`.
    pub out_interface: Option<NotOr<Interface>>,
    /// `-p`, as a protocol number.
    pub protocol: Option<NotOr<u8>>,
    /// `-m …`, in order.
    pub matches: Vec<Match>,
    /// `-j` or `-g`.
    pub target: Target,
}

impl Rule {
    /// A rule that matches everything and does nothing.
    pub const fn new(family: Family) -> Self {
        Self {
            family,
            src: None,
            dst: None,
            in_interface: None,
            out_interface: None,
            protocol: None,
            matches: Vec::new(),
            target: Target::None,
        }
    }

    /// Names of the IP sets that the rule matches on.
    pub fn sets(&self) -> impl Iterator<Item = &str> {
        self.matches.iter().filter_map(|one| match one {
            Match::Set { name, .. } => Some(&**name),
            _ => None,
        })
    }

    /// The rule in the one form that [`Rule::parse`] and [`Rule::decode`] give: no bits behind
    /// prefixes, and no conditions that let everything pass.
    ///
    /// Rules put together by hand are compared with decoded ones in this form.
    #[must_use]
    pub fn normalized(mut self) -> Self {
        for net in [&mut self.src, &mut self.dst] {
            *net = net
                .filter(|net| net.not || net.value.prefix_len() > 0)
                .map(|net| NotOr {
                    not: net.not,
                    value: net.value.trunc(),
                });
        }
        for interface in [&mut self.in_interface, &mut self.out_interface] {
            interface.take_if(|at| !at.not && at.value.wildcard && at.value.name.is_empty());
        }
        self.protocol
            .take_if(|protocol| !protocol.not && protocol.value == 0);
        for one in &mut self.matches {
            match one {
                Match::Ports { src, dst, .. } => {
                    for ports in [src, dst] {
                        *ports = ports.and_then(|ports| ports.value.condition(ports.not));
                    }
                }
                Match::Ipvs(ipvs) => {
                    if let Some(address) = &mut ipvs.address {
                        address.value = address.value.trunc();
                    }
                }
                _ => {}
            }
        }
        self
    }
}

/// An interface name or, with `wildcard`, the beginning of one (`eth+`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Interface {
    /// The name without the `+`; at most 15 bytes.
    pub name: String,
    /// True for `name+`.
    pub wildcard: bool,
}

/// An inclusive range of ports; `first == last` is one port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortRange {
    /// Lowest port.
    pub first: u16,
    /// Highest port.
    pub last: u16,
}

impl PortRange {
    /// One port.
    pub const fn one(port: u16) -> Self {
        Self {
            first: port,
            last: port,
        }
    }

    /// The condition on a port to be in this range, or with `not` outside of it; `None` where it
    /// lets every port pass.
    pub const fn condition(self, not: bool) -> Option<NotOr<Self>> {
        if self.first == 0 && self.last == u16::MAX && !not {
            None
        } else {
            Some(NotOr { not, value: self })
        }
    }
}

/// One `-m` of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Match {
    /// `-m comment --comment`; at most 255 bytes.
    Comment(String),
    /// `-m tcp`, `-m udp` or `-m sctp`, with or without `--sport` and `--dport`.
    Ports {
        /// [`protocol::TCP`], [`protocol::UDP`] or [`protocol::SCTP`].
        protocol: u8,
        /// `--sport`.
        src: Option<NotOr<PortRange>>,
        /// `--dport`.
        dst: Option<NotOr<PortRange>>,
    },
    /// `-m mark [!] --mark value/mask`.
    Mark {
        /// True for `!`.
        not: bool,
        /// The value after masking.
        value: u32,
        /// The bits looked at.
        mask: u32,
    },
    /// `-m conntrack [!] --ctstate`.
    Conntrack(NotOr<CtStates>),
    /// `-m addrtype` with `--src-type` and `--dst-type`.
    AddrType {
        /// `--src-type`.
        src: Option<NotOr<AddrTypes>>,
        /// `--dst-type`.
        dst: Option<NotOr<AddrTypes>>,
    },
    /// `-m statistic --mode random --probability`, as the kernel keeps it: round(p × 2^31).
    Random {
        /// True for `!`.
        not: bool,
        /// 0 to 2^31.
        probability: u32,
    },
    /// `-m recent` on the source address.
    Recent(Recent),
    /// `-m nfacct --nfacct-name`; at most 31 bytes.
    Nfacct(String),
    /// `-m set [!] --match-set NAME src,dst,…`.
    Set {
        /// True for `!`.
        not: bool,
        /// The set's name; at most [`crate::ipset::NAME_MAX`] bytes.
        name: String,
        /// What of the packet is looked up in it.
        dirs: Directions,
    },
    /// `-m physdev`.
    Physdev(Physdev),
    /// `-m ipvs`.
    Ipvs(Ipvs),
    /// An xt match that this crate has no type for, kept as it is.
    Other {
        /// The match's name.
        name: String,
        /// The match's revision.
        revision: u32,
        /// The match's own data.
        info: Box<[u8]>,
    },
    /// A native `nf_tables` expression that this crate has no type for: its name and data.
    Native {
        /// The expression's name.
        name: String,
        /// The expression's attributes, as dumped.
        data: Box<[u8]>,
    },
}

/// A set of conntrack states, the bits of `xt_conntrack.h` (`XT_CONNTRACK_STATE_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CtStates(pub u16);

impl CtStates {
    /// `INVALID`.
    pub const INVALID: Self = Self(1);
    /// `ESTABLISHED`.
    pub const ESTABLISHED: Self = Self(2);
    /// `RELATED`.
    pub const RELATED: Self = Self(4);
    /// `NEW`.
    pub const NEW: Self = Self(8);
    /// `SNAT`.
    pub const SNAT: Self = Self(0x40);
    /// `DNAT`.
    pub const DNAT: Self = Self(0x80);
    /// `UNTRACKED`.
    pub const UNTRACKED: Self = Self(0x100);

    /// The union of both sets.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A set of address types, bit n for `RTN_*` type n (`linux/rtnetlink.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddrTypes(pub u16);

impl AddrTypes {
    /// `UNICAST` (`XT_ADDRTYPE_UNICAST`).
    pub const UNICAST: Self = Self(2);
    /// `LOCAL` (`XT_ADDRTYPE_LOCAL`).
    pub const LOCAL: Self = Self(4);
}

/// `-m recent`: a list of source addresses that the kernel keeps under a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Recent {
    /// `--name`; at most 199 bytes.
    pub name: String,
    /// What the rule does with the list.
    pub mode: RecentMode,
    /// True for `!`.
    pub not: bool,
    /// `--seconds`, 0 for none.
    pub seconds: u32,
    /// `--hitcount`, 0 for none.
    pub hits: u32,
    /// `--reap`.
    pub reap: bool,
}

/// What `-m recent` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecentMode {
    /// `--set`.
    Set,
    /// `--rcheck`.
    Rcheck,
    /// `--update`.
    Update,
    /// `--remove`.
    Remove,
}

/// What happens to a packet that matches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// No `-j`: the rule only counts.
    None,
    /// `ACCEPT`.
    Accept,
    /// `DROP`.
    Drop,
    /// `RETURN`.
    Return,
    /// `-j CHAIN`.
    Jump(String),
    /// `-g CHAIN`.
    Goto(String),
    /// `DNAT --to-destination`.
    Dnat(DnatTo),
    /// `MARK --set-xmark value/mask`.
    Mark {
        /// Bits to flip after clearing `mask`.
        value: u32,
        /// Bits to clear first.
        mask: u32,
    },
    /// `MASQUERADE`.
    Masquerade {
        /// `--to-ports`: the source ports to choose from; the kernel's own choice without. The
        /// packet's protocol has to be one with ports.
        ports: Option<PortRange>,
        /// `--random-fully`.
        random_fully: bool,
    },
    /// `REJECT --reject-with`.
    Reject(Reject),
    /// An xt target that this crate has no type for, kept as it is.
    Other {
        /// The target's name.
        name: String,
        /// The target's revision.
        revision: u32,
        /// The target's own data.
        info: Box<[u8]>,
    },
}

/// Where `DNAT` sends packets: one address and, where given, one port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DnatTo {
    /// The new destination address, of the rule's family.
    pub address: IpAddr,
    /// The new destination port; `None` keeps the packet's.
    pub port: Option<u16>,
}

/// How `REJECT` answers, as the number of `ipt_reject_with` or `ip6t_reject_with`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reject(pub u32);

impl Reject {
    /// `icmp-port-unreachable` or `icmp6-port-unreachable`, iptables' default.
    pub const fn port_unreachable(family: Family) -> Self {
        match family {
            Family::Ipv4 => Self(3),
            Family::Ipv6 => Self(4),
        }
    }
}
