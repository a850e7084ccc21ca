//! Values of options. Errors say what is wrong with the word.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net, ipv4_mask_to_prefix, ipv6_mask_to_prefix};

use crate::Family;
use crate::xtables::{
    AddrTypes, CtStates, Direction, Directions, DnatTo, Interface, PortRange, names,
};

type Read<T> = Result<T, &'static str>;

/// Longest chain name, bytes: `NFT_CHAIN_MAXNAMELEN` less the NUL.
pub(super) const CHAIN: usize = 255;

/// A number in decimal, hexadecimal (`0x`) or octal (`0`).
pub(super) fn number(word: &str) -> Read<u32> {
    let number = match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None if word.len() > 1 && word.starts_with('0') => u32::from_str_radix(word, 8),
        None => word.parse(),
    };
    number.map_err(|_| "expected a number of 32 bits")
}

/// A value and, behind a slash, a mask.
pub(super) fn value_mask(word: &str) -> Read<(u32, u32)> {
    match word.split_once('/') {
        Some((value, mask)) => Ok((number(value)?, number(mask)?)),
        None => Ok((number(word)?, u32::MAX)),
    }
}

/// An address with or without a prefix length or netmask; bits behind the prefix are cleared.
pub(super) fn network(family: Family, word: &str) -> Read<IpNet> {
    let (address, mask) = match word.split_once('/') {
        Some((address, mask)) => (address, Some(mask)),
        None => (word, None),
    };
    let net = match family {
        Family::Ipv4 => {
            let address: Ipv4Addr = address.parse().map_err(|_| "expected an IPv4 address")?;
            let len = match mask {
                None => 32,
                Some(mask) => match mask.parse::<Ipv4Addr>() {
                    Ok(mask) => ipv4_mask_to_prefix(mask).map_err(|_| GAPS)?,
                    Err(_) => mask.parse().map_err(|_| BAD_PREFIX)?,
                },
            };
            IpNet::V4(Ipv4Net::new(address, len).map_err(|_| BAD_PREFIX)?)
        }
        Family::Ipv6 => {
            let address: Ipv6Addr = address.parse().map_err(|_| "expected an IPv6 address")?;
            let len = match mask {
                None => 128,
                Some(mask) => match mask.parse::<Ipv6Addr>() {
                    Ok(mask) => ipv6_mask_to_prefix(mask).map_err(|_| GAPS)?,
                    Err(_) => mask.parse().map_err(|_| BAD_PREFIX)?,
                },
            };
            IpNet::V6(Ipv6Net::new(address, len).map_err(|_| BAD_PREFIX)?)
        }
    };
    Ok(net.trunc())
}

const BAD_PREFIX: &str = "the prefix length is not one of this family";
const GAPS: &str = "masks with gaps are not supported, write one rule per prefix";

/// A port or `first:last`, either of which may be left out.
pub(super) fn ports(word: &str) -> Read<PortRange> {
    let range = match word.split_once(':') {
        None => PortRange::one(port(word)?),
        Some((first, last)) => PortRange {
            first: if first.is_empty() { 0 } else { port(first)? },
            last: if last.is_empty() {
                u16::MAX
            } else {
                port(last)?
            },
        },
    };
    if range.first > range.last {
        Err("the first port is above the last")
    } else {
        Ok(range)
    }
}

/// A port or `first-last`.
pub(super) fn to_ports(word: &str) -> Read<PortRange> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let range = PortRange {
        first: port(first)?,
        last: port(last)?,
    };
    if range.first > range.last {
        Err("the first port is above the last")
    } else {
        Ok(range)
    }
}

/// One port.
pub(super) fn port(word: &str) -> Read<u16> {
    word.parse()
        .map_err(|_| "expected a port number of 0 to 65535")
}

/// `src` and `dst` separated by commas.
pub(super) fn directions(word: &str) -> Read<Directions> {
    const WHY: &str = "expected one to six of src and dst, as in dst,dst";
    let mut found = Vec::with_capacity(Directions::MAX);
    for word in word.split(',') {
        found.push(match word {
            "src" => Direction::Src,
            "dst" => Direction::Dst,
            _ => return Err(WHY),
        });
    }
    Directions::new(&found).ok_or(WHY)
}

/// An interface name, `+` at its end for all that begin so.
pub(super) fn interface(word: &str) -> Read<Interface> {
    let (name, wildcard) = match word.strip_suffix('+') {
        Some(name) => (name, true),
        None => (word, false),
    };
    if name.is_empty() && wildcard {
        return Ok(Interface {
            name: String::new(),
            wildcard,
        });
    }
    Ok(Interface {
        name: plain(name, 15)?,
        wildcard,
    })
}

/// A word of at most `max` bytes that is printed without quotes.
pub(super) fn plain(word: &str, max: usize) -> Read<String> {
    if word.is_empty() || word.len() > max {
        return Err("the name is empty or too long");
    }
    if word.contains(|c: char| c.is_ascii_whitespace() || c == '"') {
        return Err("names have no spaces and no quotes");
    }
    Ok(word.to_owned())
}

/// A text of at most `max` bytes.
pub(super) fn text(word: &str, max: usize) -> Read<String> {
    if word.len() > max {
        Err("the text is too long")
    } else {
        Ok(word.to_owned())
    }
}

/// Conntrack states separated by commas.
pub(super) fn ct_states(word: &str) -> Read<CtStates> {
    word.split(',').try_fold(CtStates(0), |all, word| {
        let known = names::ct_states().find(|(_, name)| name.eq_ignore_ascii_case(word));
        known
            .map(|(state, _)| all.or(state))
            .ok_or("expected conntrack states such as NEW,RELATED")
    })
}

/// Address types separated by commas.
pub(super) fn addr_types(word: &str) -> Read<AddrTypes> {
    word.split(',').try_fold(AddrTypes(0), |all, word| {
        let known = names::ADDR_TYPES
            .iter()
            .position(|name| name.eq_ignore_ascii_case(word));
        let bit = known.ok_or("expected address types such as LOCAL,UNICAST")?;
        Ok(AddrTypes(all.0 | 1 << bit))
    })
}

/// A probability of 0 to 1, in units of 2^-31.
pub(super) fn probability(word: &str) -> Read<u32> {
    let value: f64 = word.parse().map_err(|_| "expected a number of 0 to 1")?;
    if !(0.0..=1.0).contains(&value) {
        return Err("expected a number of 0 to 1");
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 2^31 by the check above"
    )]
    let units = (value * 2_147_483_648.0).round() as u32;
    Ok(units)
}

/// An address with or without a port, `[address]:port` in IPv6.
pub(super) fn destination(family: Family, word: &str) -> Read<DnatTo> {
    const WHY: &str = "expected one address and at most one port of this family";
    let (address, port) = match family {
        Family::Ipv4 => match word.split_once(':') {
            Some((address, port)) => (address, Some(port)),
            None => (word, None),
        },
        Family::Ipv6 => match word
            .strip_prefix('[')
            .map(|word| word.split_once(']').ok_or(WHY))
        {
            None => (word, None),
            Some(Ok((address, ""))) => (address, None),
            Some(Ok((address, port))) => (address, Some(port.strip_prefix(':').ok_or(WHY)?)),
            Some(Err(why)) => return Err(why),
        },
    };
    let address = match family {
        Family::Ipv4 => address.parse().map(IpAddr::V4),
        Family::Ipv6 => address.parse().map(IpAddr::V6),
    };
    let port = port.map(str::parse).transpose().map_err(|_| WHY)?;
    // nat(8) has no port 0: to iptables it means "no port given".
    if port == Some(0) {
        return Err("port 0 cannot be translated to");
    }
    Ok(DnatTo {
        address: address.map_err(|_| WHY)?,
        port,
    })
}
