//! Terms and concatenations of them.

use super::ParseError;
use super::tokens::Tokens;
use crate::Family;
use crate::nftables::native::datatype;
use crate::nftables::native::{CtKey, Hash, MetaKey, Numgen, Term, Transport};

const WHY: &str = "expected something of a packet, such as ip daddr or meta mark";

/// Terms with points between them.
pub(super) fn key(tokens: &mut Tokens<'_>, family: Family) -> Result<Vec<Term>, ParseError> {
    key_of(tokens, family, true)
}

fn key_of(tokens: &mut Tokens<'_>, family: Family, hashes: bool) -> Result<Vec<Term>, ParseError> {
    let mut key = vec![term_of(tokens, family, hashes)?];
    while tokens.take(".") {
        key.push(term_of(tokens, family, hashes)?);
    }
    Ok(key)
}

/// One term.
pub(super) fn term(tokens: &mut Tokens<'_>, family: Family) -> Result<Term, ParseError> {
    term_of(tokens, family, true)
}

/// True where the next word begins a term.
pub(super) fn at_term(tokens: &Tokens<'_>) -> bool {
    const BEGINNINGS: [&str; 12] = [
        "ip", "ip6", "th", "tcp", "udp", "sctp", "meta", "ct", "fib", "numgen", "jhash", "iifname",
    ];
    BEGINNINGS.iter().any(|one| tokens.at(one)) || tokens.at("oifname")
}

fn term_of(tokens: &mut Tokens<'_>, family: Family, hashes: bool) -> Result<Term, ParseError> {
    if let Some(key) = tokens
        .peek()
        .and_then(|token| MetaKey::from_name(token.text))
        && key.is_bare()
        && !tokens.peek().is_some_and(|token| token.quoted)
    {
        tokens.next()?;
        return Ok(Term::Meta(key));
    }
    if tokens.take(&family.to_string()) {
        return tokens.read("expected saddr or daddr", |text| match text {
            "saddr" => Some(Term::SourceAddress),
            "daddr" => Some(Term::DestinationAddress),
            _ => None,
        });
    }
    if tokens.take("meta") {
        let key = tokens.read("expected what meta knows, such as mark", MetaKey::from_name)?;
        return Ok(Term::Meta(key));
    }
    if tokens.take("ct") {
        let key = tokens.read("expected what ct knows, such as state", CtKey::from_name)?;
        return Ok(Term::Ct(key));
    }
    if tokens.take("fib") {
        let term = tokens.read("expected saddr or daddr", |text| match text {
            "saddr" => Some(Term::SourceType),
            "daddr" => Some(Term::DestinationType),
            _ => None,
        })?;
        tokens.expect("type", "expected type")?;
        return Ok(term);
    }
    if hashes && tokens.take("numgen") {
        return numgen(tokens).map(Term::Numgen);
    }
    if hashes && tokens.take("jhash") {
        let of = key_of(tokens, family, false)?;
        let modulus = modulus(tokens)?;
        let seed = if tokens.take("seed") {
            Some(tokens.read("expected a number of 32 bits", datatype::number)?)
        } else {
            None
        };
        return Ok(Term::Hash(Hash {
            of,
            modulus,
            seed,
            offset: offset(tokens)?,
        }));
    }
    let transport = tokens.read(WHY, Transport::from_name)?;
    tokens.read("expected sport or dport", |text| match text {
        "sport" => Some(Term::SourcePort(transport)),
        "dport" => Some(Term::DestinationPort(transport)),
        _ => None,
    })
}

fn numgen(tokens: &mut Tokens<'_>) -> Result<Numgen, ParseError> {
    let random = tokens.read("expected random or inc", |text| match text {
        "random" => Some(true),
        "inc" => Some(false),
        _ => None,
    })?;
    Ok(Numgen {
        random,
        modulus: modulus(tokens)?,
        offset: offset(tokens)?,
    })
}

fn modulus(tokens: &mut Tokens<'_>) -> Result<u32, ParseError> {
    tokens.expect("mod", "expected mod")?;
    tokens.number()
}

fn offset(tokens: &mut Tokens<'_>) -> Result<u32, ParseError> {
    if tokens.take("offset") {
        tokens.number()
    } else {
        Ok(0)
    }
}
