//! `-m ipvs` (`linux/netfilter/xt_ipvs.h`): whether and how IPVS handles a packet's connection.

use std::fmt::{self, Display, Formatter};

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net, ipv4_mask_to_prefix, ipv6_mask_to_prefix};

use crate::Family;
use crate::xtables::{NotOr, encode::inet_addr, text::Address};

/// Conditions of `-m ipvs`: all of the given ones must hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Ipvs {
    /// True for `! --ipvs`: a packet of no IPVS connection. Goes with no other condition; without
    /// any it is `--ipvs`.
    pub foreign: bool,
    /// `--vproto`: the virtual server's protocol.
    pub protocol: Option<NotOr<u8>>,
    /// `--vaddr`: its address.
    pub address: Option<NotOr<IpNet>>,
    /// `--vport`: its port.
    pub port: Option<NotOr<u16>>,
    /// `--vdir`: true for `REPLY`, a packet from the real server.
    pub reply: Option<bool>,
    /// `--vmethod`.
    pub forwarding: Option<NotOr<Forwarding>>,
    /// `--vportctl`: the virtual port of the connection that this one belongs to, as FTP's 21.
    pub control_port: Option<NotOr<u16>>,
}

/// How IPVS forwards packets, as far as `--vmethod` has words for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Forwarding {
    /// `MASQ`: by translating addresses.
    Masquerade,
    /// `IPIP`: through a tunnel.
    Tunnel,
    /// `GATE`: by direct routing.
    Direct,
}

impl Forwarding {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Masquerade, Self::Tunnel, Self::Direct];

    /// The word of `--vmethod`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Masquerade => "MASQ",
            Self::Tunnel => "IPIP",
            Self::Direct => "GATE",
        }
    }
}

impl Ipvs {
    /// True where a condition other than `--ipvs` is given.
    pub(crate) fn has_properties(&self) -> bool {
        let plain = Self {
            foreign: self.foreign,
            ..Self::default()
        };
        *self != plain
    }
}

/// The options as `iptables-save` prints them behind `-m ipvs`, each with a space before it.
impl Display for Ipvs {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.has_properties() {
            return f.write_str(if self.foreign { " ! --ipvs" } else { " --ipvs" });
        }
        option(f, "--vproto", self.protocol)?;
        if let Some(NotOr { not, value }) = self.address {
            option(
                f,
                "--vaddr",
                Some(NotOr {
                    not,
                    value: Address(value.addr()),
                }),
            )?;
            if value.prefix_len() != value.max_prefix_len() {
                write!(f, "/{}", value.prefix_len())?;
            }
        }
        option(f, "--vport", self.port)?;
        let direction = self
            .reply
            .map(|reply| if reply { "REPLY" } else { "ORIGINAL" });
        option(f, "--vdir", direction.map(NotOr::is))?;
        let forwarding = self.forwarding.map(|forwarding| NotOr {
            not: forwarding.not,
            value: forwarding.value.name(),
        });
        option(f, "--vmethod", forwarding)?;
        option(f, "--vportctl", self.control_port)
    }
}

fn option<T: Display>(f: &mut Formatter<'_>, name: &str, value: Option<NotOr<T>>) -> fmt::Result {
    match value {
        None => Ok(()),
        Some(NotOr { not: false, value }) => write!(f, " {name} {value}"),
        Some(NotOr { not: true, value }) => write!(f, " ! {name} {value}"),
    }
}

/// `xt_ipvs_mtinfo`: address 0, its mask 16, port 32 in network order, protocol 34, forwarding
/// method 35, controlling port 36 in network order, inverted conditions 38, conditions 39.
pub(in crate::xtables) const LEN: usize = 40;
const MASK: usize = 16;
const PORT: usize = 32;
const PROTOCOL: usize = 34;
const METHOD: usize = 35;
const CONTROL_PORT: usize = 36;
const INVERT: usize = 38;
const ASKED: usize = 39;
/// `XT_IPVS_IPVS_PROPERTY`, which all other conditions imply, and the other `XT_IPVS_*`.
const OP_IPVS: u8 = 1;
const OP_PROTOCOL: u8 = 2;
const OP_ADDRESS: u8 = 4;
const OP_PORT: u8 = 8;
const OP_DIRECTION: u8 = 0x10;
const OP_METHOD: u8 = 0x20;
const OP_CONTROL_PORT: u8 = 0x40;

impl Forwarding {
    /// `IP_VS_CONN_F_*` of `linux/ip_vs.h`.
    const fn number(self) -> u8 {
        match self {
            Self::Masquerade => 0,
            Self::Tunnel => 2,
            Self::Direct => 3,
        }
    }
}

impl Ipvs {
    /// The data of the match, of revision 0.
    pub(in crate::xtables) fn put(&self, info: &mut [u8]) {
        info[ASKED] = OP_IPVS;
        if self.foreign && !self.has_properties() {
            info[INVERT] = OP_IPVS;
        }
        let mut ask = |bit, not: Option<bool>| {
            if let Some(not) = not {
                info[ASKED] |= bit;
                info[INVERT] |= if not { bit } else { 0 };
            }
        };
        ask(OP_PROTOCOL, self.protocol.map(|protocol| protocol.not));
        ask(OP_ADDRESS, self.address.map(|address| address.not));
        ask(OP_PORT, self.port.map(|port| port.not));
        ask(OP_DIRECTION, self.reply);
        ask(OP_METHOD, self.forwarding.map(|forwarding| forwarding.not));
        ask(OP_CONTROL_PORT, self.control_port.map(|port| port.not));
        if let Some(protocol) = self.protocol {
            info[PROTOCOL] = protocol.value;
        }
        if let Some(NotOr { value, .. }) = self.address {
            info[..MASK].copy_from_slice(&inet_addr(value.addr()));
            // iptables fills all 16 bytes where no mask is given.
            let mask = if value.prefix_len() == value.max_prefix_len() {
                [0xff; 16]
            } else {
                inet_addr(value.netmask())
            };
            info[MASK..PORT].copy_from_slice(&mask);
        }
        if let Some(forwarding) = self.forwarding {
            info[METHOD] = forwarding.value.number();
        }
        for (at, port) in [(PORT, self.port), (CONTROL_PORT, self.control_port)] {
            if let Some(port) = port {
                info[at..at + 2].copy_from_slice(&port.value.to_be_bytes());
            }
        }
    }

    /// Reads the data of a match of revision 0; `None` for what has no text.
    pub(in crate::xtables) fn read(family: Family, info: &[u8]) -> Option<Self> {
        let info = info.first_chunk::<LEN>()?;
        let (invert, asked) = (info[INVERT], info[ASKED]);
        let foreign = invert & OP_IPVS != 0;
        let all = asked & OP_IPVS != 0 && asked >> 7 == 0 && invert & !asked == 0;
        if !all || foreign && asked != OP_IPVS {
            return None;
        }
        let not = |bit| (asked & bit != 0).then_some(invert & bit != 0);
        let port = |bit, at: usize| {
            not(bit).map(|not| NotOr {
                not,
                value: u16::from_be_bytes([info[at], info[at + 1]]),
            })
        };
        let address = match not(OP_ADDRESS) {
            Some(not) => Some(NotOr {
                not,
                value: read_net(family, info)?,
            }),
            None => None,
        };
        let forwarding = match not(OP_METHOD) {
            Some(not) => Some(NotOr {
                not,
                value: Forwarding::ALL
                    .into_iter()
                    .find(|method| method.number() == info[METHOD])?,
            }),
            None => None,
        };
        Some(Self {
            foreign,
            protocol: not(OP_PROTOCOL).map(|not| NotOr {
                not,
                value: info[PROTOCOL],
            }),
            address,
            port: port(OP_PORT, PORT),
            reply: not(OP_DIRECTION),
            forwarding,
            control_port: port(OP_CONTROL_PORT, CONTROL_PORT),
        })
    }
}

/// The address under its mask. `None` for masks with gaps and for bits behind the mask, which no
/// address of a server can equal.
fn read_net(family: Family, info: &[u8; LEN]) -> Option<IpNet> {
    let (address, rest) = info.split_first_chunk::<16>()?;
    let mask = rest.first_chunk::<16>()?;
    let net = match family {
        Family::Ipv4 => {
            let mask = Ipv4Addr::from(*mask.first_chunk::<4>()?);
            let address = Ipv4Addr::from(*address.first_chunk::<4>()?);
            IpNet::V4(Ipv4Net::new(address, ipv4_mask_to_prefix(mask).ok()?).ok()?)
        }
        Family::Ipv6 => {
            let mask = Ipv6Addr::from(*mask);
            let address = Ipv6Addr::from(*address);
            IpNet::V6(Ipv6Net::new(address, ipv6_mask_to_prefix(mask).ok()?).ok()?)
        }
    };
    (net.trunc() == net).then_some(net)
}
