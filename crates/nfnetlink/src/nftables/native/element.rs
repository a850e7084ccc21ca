//! Elements of sets and maps.

use std::time::Duration;

use netlink_batch::{Attr, AttrWriter, Attrs, Error};

use super::expression::{codec, milliseconds};
use super::set::Layout;
use super::{Counters, Expression, Value, Verdict, userdata};
use crate::nftables::uapi::element as attr;
use crate::nftables::{by_kind, pick};

/// `NFT_SET_ELEM_INTERVAL_END` and `NFT_SET_ELEM_CATCHALL`.
const INTERVAL_END: u32 = 1;
const CATCH_ALL: u32 = 2;
/// Bytes of an attribute's header.
const HEADER: usize = 4;
/// Bytes of an attribute that is a number, with its header.
const NUMBER: usize = 8;

/// An element: a key or a range of keys, and what a map has for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element {
    /// The key, or the lowest one of a range. Without bytes it stands for all that no other element
    /// has (`*`).
    pub key: Value,
    /// The highest key of a range, field by field.
    pub end: Option<Value>,
    /// What a map has for it.
    pub data: Option<ElementData>,
    /// How long it stays, in place of the set's timeout; whole milliseconds.
    pub timeout: Option<Duration>,
    /// What nft prints behind `comment`; at most 128 bytes.
    pub comment: Option<Box<str>>,
}

/// What a map has for a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ElementData {
    /// A value.
    Value(Value),
    /// A verdict.
    Verdict(Verdict),
}

impl From<Value> for ElementData {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

/// An element as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct ListedElement {
    /// The element.
    pub element: Element,
    /// When it ends, from now on.
    pub expires: Option<Duration>,
    /// What it counted.
    pub counters: Option<Counters>,
}

impl From<Element> for ListedElement {
    fn from(element: Element) -> Self {
        Self {
            element,
            expires: None,
            counters: None,
        }
    }
}

impl Element {
    /// An element of a set.
    pub fn new(key: impl Into<Value>) -> Self {
        Self {
            key: key.into(),
            end: None,
            data: None,
            timeout: None,
            comment: None,
        }
    }

    /// The same element of a map, with a value.
    #[must_use]
    pub fn with(self, data: impl Into<Value>) -> Self {
        let data = Some(ElementData::Value(data.into()));
        Self { data, ..self }
    }

    /// The same element, up to a highest key.
    #[must_use]
    pub fn up_to(self, end: impl Into<Value>) -> Self {
        let end = Some(end.into());
        Self { end, ..self }
    }

    /// The same element with a comment.
    #[must_use]
    pub fn with_comment(self, comment: impl Into<Box<str>>) -> Self {
        let comment = Some(comment.into());
        Self { comment, ..self }
    }

    /// Appends what adds or removes it; `number` counts attributes of the list. Allocates nothing
    /// but room in the buffer, unless the element is an interval.
    pub(super) fn put(
        &self,
        list: &mut AttrWriter<'_>,
        layout: Layout,
        adding: bool,
        number: &mut u16,
    ) {
        let mut next = || {
            // The kernel does not look at the number; nft counts.
            *number = (*number + 1) & 0x3fff;
            *number
        };
        let end = match layout {
            Layout::Keys => None,
            Layout::Ranges | Layout::Intervals => Some(self.end.as_ref().unwrap_or(&self.key)),
        };
        list.nest(next(), |one| {
            if self.key.is_empty() {
                one.u32_be(attr::FLAGS, CATCH_ALL);
            }
            if let (true, Some(timeout)) = (adding, self.timeout) {
                one.u64_be(attr::TIMEOUT, milliseconds(timeout));
            }
            if !self.key.is_empty() {
                codec::put_value(one, attr::KEY, self.key.as_bytes());
            }
            if let (Layout::Ranges, Some(end)) = (layout, end) {
                codec::put_value(one, attr::KEY_END, end.as_bytes());
            }
            if !adding {
                return;
            }
            match &self.data {
                None => {}
                Some(ElementData::Value(value)) => {
                    codec::put_value(one, attr::DATA, value.as_bytes());
                }
                Some(ElementData::Verdict(verdict)) => {
                    one.nest(attr::DATA, |data| verdict.put(data));
                }
            }
            if let Some(comment) = &self.comment {
                one.blob(attr::USERDATA, userdata::comment_len(comment), |place| {
                    userdata::write_comment(place, userdata::ELEMENT_COMMENT, comment);
                });
            }
        });
        if let (Layout::Intervals, Some(end)) = (layout, end)
            && let Some(behind) = successor(end)
        {
            list.nest(next(), |one| {
                one.u32_be(attr::FLAGS, INTERVAL_END);
                codec::put_value(one, attr::KEY, behind.as_bytes());
            });
        }
    }

    /// Bytes that [`Element::put`] appends at most.
    pub(super) fn wire_len(&self) -> usize {
        let value = |value: &Value| 2 * HEADER + value.len().next_multiple_of(4);
        let verdict = |verdict: &Verdict| {
            let chain = match verdict {
                Verdict::Jump(chain) | Verdict::Goto(chain) => chain.len() + 1,
                _ => 0,
            };
            3 * HEADER + NUMBER + chain.next_multiple_of(4)
        };
        let data = match &self.data {
            None => 0,
            Some(ElementData::Value(data)) => value(data),
            Some(ElementData::Verdict(data)) => verdict(data),
        };
        let comment = self.comment.as_deref().map_or(0, |comment| {
            HEADER + userdata::comment_len(comment).next_multiple_of(4)
        });
        // Two keys, flags twice and a timeout.
        2 * (HEADER + NUMBER + value(&self.key)) + NUMBER + HEADER + data + comment
    }
}

/// The next one in byte order; `None` behind the last one.
fn successor(value: &Value) -> Option<Value> {
    step(value, u8::MAX, 0, |byte| byte + 1)
}

/// The one before in byte order; `None` before the first one.
pub(super) fn predecessor(value: &Value) -> Option<Value> {
    step(value, 0, u8::MAX, |byte| byte - 1)
}

fn step(value: &Value, last: u8, first: u8, change: impl Fn(u8) -> u8) -> Option<Value> {
    let mut bytes = [0; 64];
    let bytes = bytes.get_mut(..value.len())?;
    bytes.copy_from_slice(value.as_bytes());
    for byte in bytes.iter_mut().rev() {
        if *byte != last {
            *byte = change(*byte);
            return Some(Value::new(bytes));
        }
        *byte = first;
    }
    None
}

/// An element of the kernel's list: one, or the end of an interval.
pub(super) struct Piece {
    pub(super) is_end: bool,
    pub(super) listed: ListedElement,
}

impl Piece {
    /// Reads an element of a list.
    pub(super) fn read(attrs: Attrs<'_>) -> Result<Self, Error> {
        let found = by_kind::<11>(attrs)?;
        let value = |kind| pick(&found, kind).and_then(|attr: Attr<'_>| codec::value(attr));
        let flags = pick(&found, attr::FLAGS).map_or(Ok(0), |attr| attr.u32_be())?;
        let key = match value(attr::KEY) {
            Some(key) => key,
            None if flags & CATCH_ALL != 0 => Value::default(),
            None => {
                return Err(Error::Missing {
                    object: "element",
                    attribute: "key",
                });
            }
        };
        let time = |kind| match pick(&found, kind) {
            Some(attr) => attr
                .u64_be()
                .map(|millis| Some(Duration::from_millis(millis))),
            None => Ok(None),
        };
        let data = pick(&found, attr::DATA).and_then(|data| match codec::value(data) {
            Some(value) => Some(ElementData::Value(value)),
            None => Verdict::read(data).map(ElementData::Verdict),
        });
        let comment = pick(&found, attr::USERDATA)
            .and_then(|attr| userdata::find_comment(attr.payload, userdata::ELEMENT_COMMENT));
        let mut expressions = Vec::new();
        if let Some(one) = pick(&found, attr::EXPRESSION) {
            expressions.push(Expression::read(one.nested())?);
        } else if let Some(list) = pick(&found, attr::EXPRESSIONS) {
            expressions = Expression::list(list.nested())?;
        }
        let counters = expressions.iter().find_map(|one| match one {
            Expression::Counter(counters) => Some(*counters),
            _ => None,
        });
        let end = value(attr::KEY_END);
        Ok(Self {
            is_end: flags & INTERVAL_END != 0,
            listed: ListedElement {
                element: Element {
                    end: end.filter(|end| *end != key),
                    key,
                    data,
                    timeout: time(attr::TIMEOUT)?.filter(|time| !time.is_zero()),
                    comment,
                },
                expires: time(attr::EXPIRATION)?,
                counters,
            },
        })
    }
}

/// The ranges that these beginnings and ends make. An end without a beginning is none: nft writes one
/// in front of all.
pub(super) fn intervals(mut pieces: Vec<Piece>) -> Vec<ListedElement> {
    // Where one ends and another begins the end comes first.
    pieces.sort_by(|one, other| {
        let (first, second) = (&one.listed.element.key, &other.listed.element.key);
        first.cmp(second).then(other.is_end.cmp(&one.is_end))
    });
    let mut found: Vec<ListedElement> = Vec::with_capacity(pieces.len() / 2);
    let mut open = false;
    for piece in pieces {
        let key = &piece.listed.element.key;
        if open && let Some(last) = found.last_mut() {
            let end = predecessor(key).filter(|end| *end != last.element.key);
            last.element.end = end;
        }
        open = !piece.is_end;
        if open {
            found.push(piece.listed);
        }
    }
    // One that has no end reaches to the last key.
    if open && let Some(last) = found.last_mut() {
        let all = Value::new(&[u8::MAX; 64][..last.element.key.len().min(64)]);
        last.element.end = (all != last.element.key).then_some(all);
    }
    found
}
