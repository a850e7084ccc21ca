//! What translates addresses and ports.

use std::net::IpAddr;

use super::terms::{at_term, key};
use super::tokens::Tokens;
use super::{ParseError, list};
use crate::Family;
use crate::nftables::native::rule::NAT_FLAGS;
use crate::nftables::native::{NatFlags, NatKind, NatTo, Ports, Statement};

pub(super) fn nat(
    tokens: &mut Tokens<'_>,
    family: Family,
    kind: NatKind,
) -> Result<Statement, ParseError> {
    // A condition that follows begins with the family, too.
    let mut behind = tokens.clone();
    let with_port = behind.take(&family.to_string()) && behind.at("to");
    if with_port {
        *tokens = behind;
    }
    let to = if tokens.at_line_end() || !tokens.take("to") {
        NatTo::Fixed {
            addresses: None,
            ports: None,
        }
    } else if at_term(tokens) {
        let key = key(tokens, family)?;
        tokens.expect("map", "expected map")?;
        let map = tokens.set_name()?;
        NatTo::Map {
            key,
            map,
            with_port,
        }
    } else {
        tokens.read("expected addresses and ports", |text| fixed(family, text))?
    };
    let flags = nat_flags(tokens)?;
    Ok(Statement::Nat { kind, to, flags })
}

/// `A`, `A-B`, `A:1`, `A-B:1-2`, `:1-2`; IPv6 addresses before ports are in brackets.
fn fixed(family: Family, text: &str) -> Option<NatTo> {
    let (addresses, ports) = match family {
        Family::Ipv4 => text
            .split_once(':')
            .map_or((text, None), |(a, p)| (a, Some(p))),
        Family::Ipv6 if text.starts_with('[') => {
            let (addresses, rest) = text.rsplit_once(']')?;
            (addresses, Some(rest.strip_prefix(':')?))
        }
        Family::Ipv6 => match text.strip_prefix(':') {
            // Only an address begins with two.
            Some(ports) if !ports.contains(':') => ("", Some(ports)),
            _ => (text, None),
        },
    };
    let address = |text: &str| -> Option<IpAddr> {
        let address: IpAddr = text.trim_matches(['[', ']']).parse().ok()?;
        (address.is_ipv4() == (family == Family::Ipv4)).then_some(address)
    };
    let addresses = match addresses {
        "" => None,
        _ => Some(match addresses.split_once('-') {
            Some((low, high)) => (address(low)?, address(high)?),
            None => (address(addresses)?, address(addresses)?),
        }),
    };
    let ports = match ports {
        Some(ports) => Some(port_range(ports)?),
        None => None,
    };
    Some(NatTo::Fixed { addresses, ports })
}

fn port_range(text: &str) -> Option<Ports> {
    let port = |text: &str| text.parse().ok().filter(|_| !text.starts_with('+'));
    match text.split_once('-') {
        Some((low, high)) => Some((port(low)?, port(high)?)),
        None => Some((port(text)?, port(text)?)),
    }
}

pub(super) fn to_ports(tokens: &mut Tokens<'_>) -> Result<(Option<Ports>, NatFlags), ParseError> {
    let ports = if tokens.take("to") {
        let why = "expected ports, as :1024-65535";
        Some(tokens.read(why, |text| port_range(text.strip_prefix(':')?))?)
    } else {
        None
    };
    Ok((ports, nat_flags(tokens)?))
}

fn nat_flags(tokens: &mut Tokens<'_>) -> Result<NatFlags, ParseError> {
    let flag = |text: &str| {
        let found = NAT_FLAGS.iter().find(|(_, name)| *name == text);
        found.map(|(flag, _)| *flag)
    };
    let begins = tokens
        .peek()
        .is_some_and(|token| flag(token.text).is_some());
    if !begins || tokens.at_line_end() {
        return Ok(NatFlags::default());
    }
    let flags = list(tokens, "expected random, fully-random or persistent", flag)?;
    Ok(flags.into_iter().fold(NatFlags::default(), NatFlags::with))
}
