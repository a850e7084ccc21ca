//! Rules as `iptables-save` and `ip6tables-save` (1.8.9) print them behind `-A CHAIN`.

use std::fmt::{self, Display, Formatter, Write as _};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::{
    AddrTypes, CtStates, DnatTo, Interface, Match, NotOr, PortRange, Recent, RecentMode, Rule,
    Target, names, protocol,
};
use crate::Family;

/// Prints the line behind `-A CHAIN ` as `iptables-save` has it.
///
/// What this crate has no type for is printed with its size in brackets, which no iptables reads.
impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut line = Line { f, begun: false };
        line.address("-s", self.src)?;
        line.address("-d", self.dst)?;
        line.interface("-i", self.in_interface.as_ref())?;
        line.interface("-o", self.out_interface.as_ref())?;
        if let Some(NotOr { not, value }) = self.protocol {
            line.option(not, "-p")?;
            match names::protocol(value) {
                Some(name) => line.value(name)?,
                None => line.value(value)?,
            }
        }
        for one in &self.matches {
            line.xt_match(self.family, one)?;
        }
        line.target(self.family, &self.target)
    }
}

/// Words with one space between them.
struct Line<'l, 'f> {
    f: &'l mut Formatter<'f>,
    begun: bool,
}

impl Line<'_, '_> {
    fn option(&mut self, not: bool, name: &str) -> fmt::Result {
        if self.begun {
            self.f.write_char(' ')?;
        }
        self.begun = true;
        if not {
            self.f.write_str("! ")?;
        }
        self.f.write_str(name)
    }

    fn word(&mut self, name: &str) -> fmt::Result {
        self.option(false, name)
    }

    fn value(&mut self, value: impl Display) -> fmt::Result {
        write!(self.f, " {value}")
    }

    fn address(&mut self, name: &str, condition: Option<NotOr<IpNet>>) -> fmt::Result {
        let Some(NotOr { not, value }) = condition else {
            return Ok(());
        };
        self.option(not, name)?;
        write!(
            self.f,
            " {}/{}",
            Address(value.network()),
            value.prefix_len()
        )
    }

    fn interface(&mut self, name: &str, condition: Option<&NotOr<Interface>>) -> fmt::Result {
        let Some(NotOr { not, value }) = condition else {
            return Ok(());
        };
        self.option(*not, name)?;
        self.value(&value.name)?;
        if value.wildcard {
            self.f.write_char('+')
        } else {
            Ok(())
        }
    }

    fn xt_match(&mut self, family: Family, one: &Match) -> fmt::Result {
        match one {
            Match::Comment(text) => {
                self.word("-m comment --comment")?;
                self.value(Quoted(text))
            }
            Match::Ports { protocol, src, dst } => {
                self.word("-m")?;
                self.value(ports_match(*protocol))?;
                self.ports("--sport", *src)?;
                self.ports("--dport", *dst)
            }
            Match::Mark { not, value, mask } => {
                self.word("-m mark")?;
                self.option(*not, "--mark")?;
                write!(self.f, " {value:#x}")?;
                if *mask == u32::MAX {
                    Ok(())
                } else {
                    write!(self.f, "/{mask:#x}")
                }
            }
            Match::Conntrack(states) => {
                self.word("-m conntrack")?;
                self.option(states.not, "--ctstate")?;
                self.value(states.value)
            }
            Match::AddrType { src, dst } => {
                self.word("-m addrtype")?;
                for (name, types) in [("--src-type", src), ("--dst-type", dst)] {
                    if let Some(NotOr { not, value }) = types {
                        self.option(*not, name)?;
                        self.value(value)?;
                    }
                }
                Ok(())
            }
            Match::Random { not, probability } => {
                self.word("-m statistic --mode random")?;
                self.option(*not, "--probability")?;
                write!(self.f, " {:.11}", f64::from(*probability) / 2_147_483_648.0)
            }
            Match::Recent(recent) => self.recent(family, recent),
            Match::Nfacct(name) => {
                // iptables has the second space as well.
                self.word("-m nfacct --nfacct-name ")?;
                self.value(Quoted(name))
            }
            Match::Set { not, name, dirs } => {
                self.word("-m set")?;
                self.option(*not, "--match-set")?;
                write!(self.f, " {name} {dirs}")
            }
            // These two bring the space before each option.
            Match::Physdev(physdev) => {
                self.word("-m physdev")?;
                write!(self.f, "{physdev}")
            }
            Match::Ipvs(ipvs) => {
                self.word("-m ipvs")?;
                write!(self.f, "{ipvs}")
            }
            Match::Other {
                name,
                revision,
                info,
            } => {
                self.word("-m")?;
                self.opaque(name, *revision, info)
            }
            Match::Native { name, data } => {
                self.word("[nft")?;
                write!(self.f, " {name}, {} bytes]", data.len())
            }
        }
    }

    fn ports(&mut self, name: &str, ports: Option<NotOr<PortRange>>) -> fmt::Result {
        let Some(NotOr {
            not,
            value: PortRange { first, last },
        }) = ports
        else {
            return Ok(());
        };
        self.option(not, name)?;
        self.value(first)?;
        if first == last {
            Ok(())
        } else {
            write!(self.f, ":{last}")
        }
    }

    fn recent(&mut self, family: Family, recent: &Recent) -> fmt::Result {
        self.word("-m recent")?;
        let mode = match recent.mode {
            RecentMode::Set => "--set",
            RecentMode::Rcheck => "--rcheck",
            RecentMode::Update => "--update",
            RecentMode::Remove => "--remove",
        };
        self.option(recent.not, mode)?;
        if recent.seconds != 0 {
            self.word("--seconds")?;
            self.value(recent.seconds)?;
        }
        if recent.reap {
            self.word("--reap")?;
        }
        if recent.hits != 0 {
            self.word("--hitcount")?;
            self.value(recent.hits)?;
        }
        self.word("--name")?;
        self.value(&recent.name)?;
        let mask = match family {
            Family::Ipv4 => "--mask 255.255.255.255 --rsource",
            Family::Ipv6 => "--mask ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff --rsource",
        };
        self.word(mask)
    }

    fn target(&mut self, family: Family, target: &Target) -> fmt::Result {
        match target {
            Target::None => Ok(()),
            Target::Accept => self.word("-j ACCEPT"),
            Target::Drop => self.word("-j DROP"),
            Target::Return => self.word("-j RETURN"),
            Target::Jump(chain) => {
                self.word("-j")?;
                self.value(chain)
            }
            Target::Goto(chain) => {
                self.word("-g")?;
                self.value(chain)
            }
            Target::Dnat(DnatTo { address, port }) => {
                self.word("-j DNAT --to-destination")?;
                match (address, port) {
                    (address, None) => self.value(Address(*address)),
                    (IpAddr::V4(address), Some(port)) => write!(self.f, " {address}:{port}"),
                    (address, Some(port)) => write!(self.f, " [{}]:{port}", Address(*address)),
                }
            }
            Target::Mark { value, mask } => {
                self.word("-j MARK --set-xmark")?;
                write!(self.f, " {value:#x}/{mask:#x}")
            }
            Target::Masquerade {
                ports,
                random_fully,
            } => {
                self.word("-j MASQUERADE")?;
                if let Some(PortRange { first, last }) = ports {
                    write!(self.f, " --to-ports {first}")?;
                    if first != last {
                        write!(self.f, "-{last}")?;
                    }
                }
                if *random_fully {
                    self.word("--random-fully")
                } else {
                    Ok(())
                }
            }
            Target::Reject(with) => {
                self.word("-j REJECT --reject-with")?;
                match names::reject(family, *with) {
                    Some(name) => self.value(name),
                    None => self.value(with.0),
                }
            }
            Target::Other {
                name,
                revision,
                info,
            } => {
                self.word("-j")?;
                self.opaque(name, *revision, info)
            }
        }
    }

    fn opaque(&mut self, name: &str, revision: u32, info: &[u8]) -> fmt::Result {
        write!(
            self.f,
            " {name} [revision {revision}, {} bytes]",
            info.len()
        )
    }
}

fn ports_match(number: u8) -> &'static str {
    match number {
        protocol::TCP => "tcp",
        protocol::SCTP => "sctp",
        _ => "udp",
    }
}

/// States separated by commas, in iptables' order.
impl Display for CtStates {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let set = names::ct_states().filter(|(state, _)| self.0 & state.0 != 0);
        join(f, set.map(|(_, name)| name))
    }
}

/// Types separated by commas, in the order of their numbers.
impl Display for AddrTypes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let set = names::ADDR_TYPES
            .iter()
            .enumerate()
            .filter(|(bit, _)| self.0 >> bit & 1 != 0);
        join(f, set.map(|(_, name)| *name))
    }
}

fn join<'n>(f: &mut Formatter<'_>, names: impl Iterator<Item = &'n str>) -> fmt::Result {
    for (index, name) in names.enumerate() {
        if index > 0 {
            f.write_char(',')?;
        }
        f.write_str(name)?;
    }
    Ok(())
}

/// An address as `inet_ntop` prints it, which has dots in `::1.2.3.4` where Rust has none.
pub(crate) struct Address(pub(crate) IpAddr);

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V6(v6) => match v6.segments() {
                [0, 0, 0, 0, 0, 0, high, low] if high != 0 => {
                    write!(
                        f,
                        "::{}",
                        Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
                    )
                }
                _ => Display::fmt(&v6, f),
            },
            IpAddr::V4(v4) => Display::fmt(&v4, f),
        }
    }
}

/// What a backslash goes before.
const ESCAPED: [char; 3] = ['"', '\\', '\''];

/// A text in quotes unless it is a plain word.
struct Quoted<'t>(&'t str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !self.0.is_empty() && self.0.bytes().all(plain) {
            return f.write_str(self.0);
        }
        f.write_char('"')?;
        let mut rest = self.0;
        while let Some((before, from)) = rest.find(ESCAPED).and_then(|at| rest.split_at_checked(at))
        {
            f.write_str(before)?;
            f.write_char('\\')?;
            let mut tail = from.chars();
            tail.next()
                .map_or(Ok(()), |escaped| f.write_char(escaped))?;
            rest = tail.as_str();
        }
        f.write_str(rest)?;
        f.write_char('"')
    }
}
