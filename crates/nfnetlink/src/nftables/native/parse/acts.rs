//! What rejects, limits and tells of packets.

use super::ParseError;
use super::tokens::Tokens;
use crate::Family;
use crate::nftables::native::rule::{BURST, LEVELS, LOG_ALL, UNITS};
use crate::nftables::native::{Limit, Log, Reject, names};

pub(super) fn reject(tokens: &mut Tokens<'_>, family: Family) -> Result<Reject, ParseError> {
    if tokens.at_line_end() || !tokens.take("with") {
        return Ok(Reject::port_unreachable(family));
    }
    if tokens.take("tcp") {
        tokens.expect("reset", "expected reset")?;
        return Ok(Reject::TcpReset);
    }
    let (icmp, names) = match family {
        Family::Ipv4 => ("icmp", &names::ICMP),
        Family::Ipv6 => ("icmpv6", &names::ICMPV6),
    };
    tokens.expect(icmp, "expected tcp reset, or the family's ICMP")?;
    tokens.read("expected a code of ICMP", |text| {
        let number = names.number(text).or_else(|| text.parse().ok())?;
        u8::try_from(number).ok().map(Reject::Icmp)
    })
}

pub(super) fn limit(tokens: &mut Tokens<'_>) -> Result<Limit, ParseError> {
    tokens.expect("rate", "expected rate")?;
    let over = tokens.take("over");
    let (number, unit) = tokens.read("expected a rate, as 5/second", |text| {
        let (number, unit) = text
            .split_once('/')
            .map_or((text, None), |(n, u)| (n, Some(u)));
        number.parse::<u64>().ok().map(|number| (number, unit))
    })?;
    let (number, unit, bytes) = match unit {
        Some(unit) => (Some(number), unit, false),
        None => tokens.read("expected a unit, as kbytes/second", |text| {
            let (scale, unit) = text.split_once('/')?;
            Some((number.checked_mul(self::scale(scale)?), unit, true))
        })?,
    };
    let seconds = UNITS.iter().find(|(_, name)| *name == unit);
    let (Some(rate), Some((seconds, _))) = (number, seconds) else {
        return tokens.fail("this rate is out of range, or its unit of time is none");
    };
    let mut burst = if bytes { 0 } else { BURST };
    if !tokens.at_line_end() && tokens.take("burst") {
        let number: u32 = tokens.number()?;
        burst = tokens.read(
            "expected packets, bytes, kbytes or mbytes",
            |unit| match unit {
                "packets" if !bytes => Some(number),
                _ if bytes => u32::try_from(scale(unit)?).ok()?.checked_mul(number),
                _ => None,
            },
        )?;
    }
    Ok(Limit {
        rate,
        seconds: *seconds,
        burst,
        bytes,
        over,
    })
}

fn scale(unit: &str) -> Option<u64> {
    Some(match unit {
        "bytes" => 1,
        "kbytes" => 1 << 10,
        "mbytes" => 1 << 20,
        _ => return None,
    })
}

pub(super) fn log(tokens: &mut Tokens<'_>) -> Result<Log, ParseError> {
    let mut log = Log::default();
    while !tokens.at_line_end() {
        if tokens.take("prefix") {
            log.prefix = Some(tokens.quoted()?);
        } else if tokens.take("group") {
            log.group = Some(tokens.number()?);
        } else if tokens.take("snaplen") {
            log.snaplen = Some(tokens.number()?);
        } else if tokens.take("queue-threshold") {
            log.threshold = Some(tokens.number()?);
        } else if tokens.take("level") {
            let level = tokens.read("expected a level, as debug", |text| {
                let index = LEVELS.iter().position(|name| *name == text)?;
                u32::try_from(index).ok()
            })?;
            log.level = Some(level);
        } else if tokens.take("flags") {
            tokens.expect("all", "expected all")?;
            log.flags = LOG_ALL;
        } else {
            break;
        }
    }
    Ok(log)
}
