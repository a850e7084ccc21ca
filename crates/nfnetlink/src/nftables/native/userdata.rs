//! What nft keeps with objects for itself: comments, and how the fields of a set are to be shown.
//!
//! It is a list of `{u8 type, u8 length, value}` without padding (`nftnl_udata` of libnftnl). The
//! kernel takes up to 256 bytes of it.

use super::term::{Numgen, Transport};
use super::{MetaKey, Term};
use crate::Family;

/// Types of comments.
pub(super) const RULE_COMMENT: u8 = 0;
pub(super) const CHAIN_COMMENT: u8 = 0;
pub(super) const TABLE_COMMENT: u8 = 0;
pub(super) const ELEMENT_COMMENT: u8 = 0;
pub(super) const SET_COMMENT: u8 = 7;

/// Bytes of a comment that nft reads.
const LONGEST: usize = 128;

/// Numbers of nft's expressions in `typeof` (`enum expr_types`).
const PAYLOAD: u32 = 7;
const META: u32 = 9;
const CONCAT: u32 = 13;
const NUMGEN: u32 = 23;
/// Numbers of nft's headers (`enum proto_desc_id`), and of fields in them.
const TRANSPORT: u32 = 11;
const IPV4: u32 = 12;
const IPV6: u32 = 13;
const UDP: u32 = 6;
const TCP: u32 = 8;
const SCTP: u32 = 10;
/// Types in the description of an expression, and of its parts.
const KIND: u8 = 0;
const PARTS: u8 = 1;
const HEADER: u8 = 0;
const FIELD: u8 = 1;
const META_KEY: u8 = 0;
const NUMGEN_KIND: u8 = 0;
const NUMGEN_MODULUS: u8 = 1;
const NUMGEN_OFFSET: u8 = 2;

/// The part of a comment that fits: nft takes no longer one.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Bytes that [`write_comment`] fills.
pub(super) fn comment_len(text: &str) -> usize {
    3 + cut(text).len()
}

/// Fills in a comment, with the NUL behind it.
pub(super) fn write_comment(place: &mut [u8], kind: u8, text: &str) {
    let text = cut(text).as_bytes();
    if let [first, len, rest @ ..] = place {
        *first = kind;
        // At most 129.
        *len = u8::try_from(text.len() + 1).unwrap_or(u8::MAX);
        for (to, from) in rest.iter_mut().zip(text) {
            *to = *from;
        }
    }
}

/// A comment alone.
pub(super) fn comment(kind: u8, text: &str) -> Vec<u8> {
    let mut bytes = vec![0; comment_len(text)];
    write_comment(&mut bytes, kind, text);
    bytes
}

/// The comment among user data.
pub(super) fn find_comment(data: &[u8], kind: u8) -> Option<Box<str>> {
    let text = Parts(data).find(kind)?;
    let (last, text) = text.split_last()?;
    let whole = *last == 0 && !text.contains(&0);
    whole.then(|| std::str::from_utf8(text).ok().map(Into::into))?
}

/// The parts of user data.
#[derive(Clone)]
pub(super) struct Parts<'a>(pub(super) &'a [u8]);

impl<'a> Parts<'a> {
    /// The first one of this type.
    pub(super) fn find(&self, kind: u8) -> Option<&'a [u8]> {
        let mut parts = self.clone();
        parts.find_map(|(one, value)| (one == kind).then_some(value))
    }

    fn number(&self, kind: u8) -> Option<u32> {
        let bytes = self.find(kind)?.try_into().ok()?;
        Some(u32::from_ne_bytes(bytes))
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let [kind, len, rest @ ..] = self.0 else {
            return None;
        };
        let (value, rest) = rest.split_at_checked(usize::from(*len))?;
        self.0 = rest;
        Some((*kind, value))
    }
}

/// Appends a number, in host byte order.
pub(super) fn put_number(to: &mut Vec<u8>, kind: u8, number: u32) {
    put(to, kind, &number.to_ne_bytes());
}

/// Appends a part; what is longer than 255 bytes has no room.
pub(super) fn put(to: &mut Vec<u8>, kind: u8, value: &[u8]) {
    if let Ok(len) = u8::try_from(value.len()) {
        to.extend_from_slice(&[kind, len]);
        to.extend_from_slice(value);
    }
}

/// Appends the description of a key that is declared by types alone and has more than one.
///
/// nft describes nothing there, but that it is a concatenation.
pub(super) fn put_plain_concat(to: &mut Vec<u8>, kind: u8) {
    let mut description = Vec::new();
    put_number(&mut description, KIND, CONCAT);
    put(&mut description, PARTS, &[]);
    put(to, kind, &description);
}

/// Appends the description of a concatenation of terms, or of the only one. Terms that `typeof`
/// can't say leave it out.
pub(super) fn put_terms(to: &mut Vec<u8>, kind: u8, family: Family, terms: &[Term]) {
    if let [one] = terms {
        if let Some(description) = describe(family, one) {
            put(to, kind, &description);
        }
        return;
    }
    let mut parts = Vec::new();
    for (number, term) in (0..).zip(terms) {
        let Some(description) = describe(family, term) else {
            return;
        };
        put(&mut parts, number, &description);
    }
    let mut description = Vec::new();
    put_number(&mut description, KIND, CONCAT);
    put(&mut description, PARTS, &parts);
    put(to, kind, &description);
}

/// A header's field.
fn field(family: Family, term: &Term) -> Option<(u32, u32)> {
    let port = |transport: &Transport, field| {
        let header = match transport {
            Transport::Any => TRANSPORT,
            Transport::Tcp => TCP,
            Transport::Udp => UDP,
            Transport::Sctp => SCTP,
        };
        (header, field)
    };
    Some(match (term, family) {
        (Term::SourceAddress, Family::Ipv4) => (IPV4, 11),
        (Term::DestinationAddress, Family::Ipv4) => (IPV4, 12),
        (Term::SourceAddress, Family::Ipv6) => (IPV6, 8),
        (Term::DestinationAddress, Family::Ipv6) => (IPV6, 9),
        (Term::SourcePort(transport), _) => port(transport, 1),
        (Term::DestinationPort(transport), _) => port(transport, 2),
        _ => return None,
    })
}

fn describe(family: Family, term: &Term) -> Option<Vec<u8>> {
    let mut parts = Vec::new();
    let kind = match term {
        Term::Meta(key) => {
            put_number(&mut parts, META_KEY, *key as u32);
            META
        }
        Term::Numgen(numgen) => {
            put_number(&mut parts, NUMGEN_KIND, numgen.random.into());
            put_number(&mut parts, NUMGEN_MODULUS, numgen.modulus);
            put_number(&mut parts, NUMGEN_OFFSET, numgen.offset);
            NUMGEN
        }
        term => {
            let (header, field) = field(family, term)?;
            put_number(&mut parts, HEADER, header);
            put_number(&mut parts, FIELD, field);
            PAYLOAD
        }
    };
    let mut description = Vec::new();
    put_number(&mut description, KIND, kind);
    put(&mut description, PARTS, &parts);
    Some(description)
}

/// The terms that a description names; `None` where there is one that has no type here.
pub(super) fn terms(family: Family, description: &[u8]) -> Option<Vec<Term>> {
    let parts = Parts(description);
    if parts.number(KIND)? != CONCAT {
        return Some(vec![read(family, description)?]);
    }
    let list: Option<Vec<Term>> = Parts(parts.find(PARTS)?)
        .map(|(_, one)| read(family, one))
        .collect();
    list.filter(|list| !list.is_empty())
}

fn read(family: Family, description: &[u8]) -> Option<Term> {
    let description = Parts(description);
    let parts = Parts(description.find(PARTS)?);
    match description.number(KIND)? {
        META => MetaKey::from_number(parts.number(META_KEY)?).map(Term::Meta),
        NUMGEN => Some(Term::Numgen(Numgen {
            random: match parts.number(NUMGEN_KIND)? {
                0 => false,
                1 => true,
                _ => return None,
            },
            modulus: parts.number(NUMGEN_MODULUS)?,
            offset: parts.number(NUMGEN_OFFSET)?,
        })),
        PAYLOAD => {
            let found = (parts.number(HEADER)?, parts.number(FIELD)?);
            let mut all = vec![Term::SourceAddress, Term::DestinationAddress];
            for transport in Transport::ALL {
                all.push(Term::SourcePort(transport));
                all.push(Term::DestinationPort(transport));
            }
            all.into_iter()
                .find(|term| field(family, term) == Some(found))
        }
        _ => None,
    }
}
