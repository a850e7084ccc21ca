//! Field values: addresses, ranges, ports, protocols, port names.

use std::collections::HashSet;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use viprule_service::model::Protocol;

use super::{FieldError, Warning, quoted};

/// An IP address, leading zeros of IPv4 parts allowed and decimal (contract 1.4).
///
/// IPv4-mapped IPv6 is the IPv4 address, as Kubernetes has it.
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    let exact = text.parse().ok().map(|ip: IpAddr| ip.to_canonical());
    exact.or_else(|| parse_padded_ipv4(text).map(IpAddr::V4))
}

fn parse_padded_ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        let digits = part.trim_start_matches('0');
        if part.is_empty() || digits.len() > 3 || !digits.bytes().all(|c| c.is_ascii_digit()) {
            return None;
        }
        *octet = if digits.is_empty() {
            0
        } else {
            digits.parse().ok()?
        };
    }
    parts.next().is_none().then(|| octets.into())
}

/// A range, host bits zeroed; leading zeros and IPv4-mapped IPv6 as [`parse_ip`] has them.
pub fn parse_range(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    if length.is_empty() || length.len() > 5 || !length.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let length: u8 = length.parse().ok()?;
    let address = address
        .parse()
        .ok()
        .or_else(|| parse_padded_ipv4(address).map(IpAddr::V4))?;
    let range = match (address.to_canonical(), length) {
        (canonical @ IpAddr::V4(_), 96..=128) if address.is_ipv6() => {
            IpNet::new(canonical, length - 96)
        }
        _ => IpNet::new(address, length),
    };
    range.ok().map(|range| range.trunc())
}

/// Reads an address; one with leading zeros is read with a warning.
pub(super) fn ip(
    text: &str,
    field: impl Display,
    warnings: &mut Vec<Warning>,
) -> Result<IpAddr, FieldError> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical());
    }
    // Only IPv4 texts can differ from their canonical form in a way that changes their meaning.
    let Some(address) = parse_padded_ipv4(text) else {
        let message = format!("{} is not an IP address", quoted(text));
        return Err(FieldError::new(field, message));
    };
    let message = format!(
        "{} is read as {address}, leading zeros are decimal",
        quoted(text)
    );
    let field = field.to_string();
    warnings.push(Warning { field, message });
    Ok(address.into())
}

/// Reads a range; one with leading zeros is read without a word, as its canonical form shows.
pub(super) fn range(text: &str, field: impl Display) -> Result<IpNet, FieldError> {
    parse_range(text).ok_or_else(|| {
        FieldError::new(
            field,
            format!(
                "{} is not a range of addresses such as 10.0.0.0/8",
                quoted(text)
            ),
        )
    })
}

/// Reads a port, 1 to 65,535.
pub(super) fn port(number: i32, field: impl Display) -> Result<u16, FieldError> {
    match u16::try_from(number) {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(FieldError::new(
            field,
            format!("{number} is not a port, 1 to {} are", u16::MAX),
        )),
    }
}

/// Reads a port that may be missing, 0 to 65,535.
pub(super) fn optional_port(number: i32, field: impl Display) -> Result<u16, FieldError> {
    if number == 0 {
        return Ok(0);
    }
    port(number, field)
}

/// Reads a protocol, TCP where there is none (the API's default).
pub(super) fn protocol(name: &str, field: impl Display) -> Result<Protocol, FieldError> {
    match name {
        "" | "TCP" => Ok(Protocol::Tcp),
        "UDP" => Ok(Protocol::Udp),
        "SCTP" => Ok(Protocol::Sctp),
        other => Err(FieldError::new(
            field,
            format!(
                "{} is not a protocol of Services; TCP, UDP and SCTP are",
                quoted(other)
            ),
        )),
    }
}

/// Longest port name (RFC 1123 label), characters.
const PORT_NAME_LIMIT: usize = 63;

/// Checks a port's name, which goes into comments and chain hashes as it is. May be empty.
pub(super) fn port_name(name: &str, field: impl Display) -> Result<Box<str>, FieldError> {
    if name.len() > PORT_NAME_LIMIT {
        let found = name.chars().count();
        return Err(FieldError::new(
            field,
            format!("has {found} characters, at most {PORT_NAME_LIMIT} are allowed"),
        ));
    }
    let foreign = name
        .chars()
        .find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-'));
    match foreign {
        None => Ok(name.into()),
        Some(c) => Err(FieldError::new(
            field,
            format!("has the character {c:?}; lower-case letters, digits and '-' are allowed"),
        )),
    }
}

/// Addresses in the order in which they came, each once; there may be many.
#[derive(Default)]
pub(super) struct Distinct {
    known: HashSet<IpAddr>,
    list: Vec<IpAddr>,
}

impl Distinct {
    /// Adds one that is not there yet.
    pub(super) fn add(&mut self, address: IpAddr) {
        if self.known.insert(address) {
            self.list.push(address);
        }
    }

    /// All of them.
    pub(super) fn into_list(self) -> Vec<IpAddr> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_zeros_are_decimal() {
        assert_eq!(
            parse_ip("172.30.0.041"),
            Some("172.30.0.41".parse().unwrap())
        );
        assert_eq!(parse_ip("000.0000.1.08"), Some("0.0.1.8".parse().unwrap()));
        assert_eq!(
            parse_range("203.0.113.000/025"),
            Some("203.0.113.0/25".parse().unwrap())
        );
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        assert_eq!(
            parse_ip("::ffff:10.0.0.1"),
            Some("10.0.0.1".parse().unwrap())
        );
        let ranges = [
            ("::ffff:10.1.2.3/120", "10.1.2.0/24"),
            ("::ffff:10.1.2.3/96", "0.0.0.0/0"),
            ("::ffff:10.1.2.3/80", "::/80"),
        ];
        for (text, range) in ranges {
            assert_eq!(parse_range(text), Some(range.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn impossible_addresses_are_refused() {
        for text in [
            "",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.256",
            "1.2..4",
            "300.1.1.1",
            "a.b.c.d",
        ] {
            assert_eq!(parse_ip(text), None, "{text}");
        }
        for text in [
            "::g",
            "fe80::1%eth0",
            "1.2.3.4 ",
            "+1.2.3.4",
            "0001.2.3.0256",
        ] {
            assert_eq!(parse_ip(text), None, "{text}");
        }
    }

    #[test]
    fn ranges_have_their_host_bits_zeroed() {
        assert_eq!(
            parse_range("10.1.2.3/8"),
            Some("10.0.0.0/8".parse().unwrap())
        );
        for text in [
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "fd00::/129",
            "/8",
        ] {
            assert_eq!(parse_range(text), None, "{text}");
        }
    }
}
