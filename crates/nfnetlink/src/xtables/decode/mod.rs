//! Rules from dumped `nf_tables` expressions, in whichever encoding they were written.
//!
//! iptables-nft 1.8.7 writes ports and marks as xt matches, 1.8.8 and later as native loads and
//! comparisons; the protocol comes before or behind the addresses. All of these give the same
//! [`Rule`]. What has no place in a `Rule` is kept as [`Match::Native`] and makes it unequal.

mod load;
mod xt;

use netlink_batch::{AttrError, Attrs};

use self::load::{Condition, Load};
use self::xt::text;
#[allow(clippy::wildcard_imports, reason = "kernel constants")]
use super::expr::*;
use super::{Match, NotOr, PortRange, Rule, Target, protocol};
use crate::Family;
use crate::ipset::SetIndex;

/// Why a dumped rule cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The attributes are cut off or overlap.
    #[error("the rule's attributes are damaged, dump the chain again: {0}")]
    Attributes(#[from] AttrError),
    /// An expression without a name.
    #[error("expression {index} of the rule has no name, dump the chain again")]
    NoName {
        /// Its place in the rule, from 0.
        index: usize,
    },
}

impl Rule {
    /// Reads a rule from the attributes of a `NFT_MSG_NEWRULE` of a table of this family.
    ///
    /// Well-formed messages always give a rule. Expressions and xt extensions without a type of
    /// their own become [`Match::Native`], [`Match::Other`] and [`Target::Other`].
    ///
    /// What matches on an IP set has the set's number in place of its name and becomes
    /// [`Match::Other`]; [`Rule::decode_with`] tells names.
    pub fn decode(family: Family, rule_attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        Self::decode_with(family, rule_attrs, |_| None)
    }

    /// As [`Rule::decode`], with the names of sets. `set_name` is called for matches on sets only;
    /// `None` leaves the match a [`Match::Other`].
    pub fn decode_with(
        family: Family,
        rule_attrs: Attrs<'_>,
        mut set_name: impl FnMut(SetIndex) -> Option<String>,
    ) -> Result<Self, DecodeError> {
        let mut decoder = Decoder {
            set_name: &mut set_name,
            rule: Self::new(family),
            load: None,
            pending: [None; 2],
            native_ports: None,
            terminated: false,
        };
        let mut userdata: &[u8] = &[];
        for attr in rule_attrs {
            let attr = attr?;
            match attr.kind {
                RULE_EXPRESSIONS => decoder.expressions(attr.nested())?,
                RULE_USERDATA => userdata = attr.payload,
                _ => {}
            }
        }
        decoder.flush();
        if let Some(comment) = userdata_comment(userdata) {
            decoder
                .rule
                .matches
                .push(Match::Comment(comment.to_owned()));
        }
        Ok(decoder.rule)
    }
}

/// The payloads of a list of attributes, by type; missing ones and those of types `N` and above
/// are empty.
pub(super) fn by_type<const N: usize>(data: &[u8]) -> Result<[&[u8]; N], AttrError> {
    let mut found: [&[u8]; N] = [&[]; N];
    for attr in Attrs::new(data) {
        let attr = attr?;
        if let Some(slot) = found.get_mut(usize::from(attr.kind)) {
            *slot = attr.payload;
        }
    }
    Ok(found)
}

/// A 32-bit number in network order.
pub(super) fn number(payload: &[u8]) -> Option<u32> {
    payload.try_into().ok().map(u32::from_be_bytes)
}

/// One expression as dumped.
#[derive(Clone, Copy)]
struct Expression<'a> {
    name: &'a [u8],
    data: &'a [u8],
}

struct Decoder<'a, 's> {
    set_name: &'s mut dyn FnMut(SetIndex) -> Option<String>,
    rule: Rule,
    /// What the register holds.
    load: Option<Load<'a>>,
    /// The expressions that loaded it, for as long as nothing has used it.
    pending: [Option<Expression<'a>>; 2],
    /// Where in `rule.matches` the ports are that native expressions compare.
    native_ports: Option<usize>,
    /// A target was seen: what follows is not reached, or not by every packet.
    terminated: bool,
}

impl<'a> Decoder<'a, '_> {
    fn expressions(&mut self, list: Attrs<'a>) -> Result<(), DecodeError> {
        self.rule.matches.reserve(4);
        for (index, element) in list.enumerate() {
            let [_, name, data] = by_type(element?.payload)?;
            if name.is_empty() {
                return Err(DecodeError::NoName { index });
            }
            self.expression(Expression {
                name: until_nul(name),
                data,
            })?;
        }
        Ok(())
    }

    fn expression(&mut self, one: Expression<'a>) -> Result<(), AttrError> {
        if one.name == b"counter" {
            return Ok(());
        }
        if self.terminated {
            self.unknown(one);
            return Ok(());
        }
        match one.name {
            b"meta" | b"payload" => {
                self.flush();
                match Load::begin(one.name, one.data)? {
                    Some(load) => {
                        self.load = Some(load);
                        self.pending = [Some(one), None];
                    }
                    None => self.unknown(one),
                }
            }
            b"bitwise" => match self
                .load
                .map(|load| load.masked(one.data))
                .transpose()?
                .flatten()
            {
                Some(load) => {
                    self.load = Some(load);
                    self.pending[1] = Some(one);
                }
                None => self.unknown(one),
            },
            b"cmp" | b"range" => {
                let known = match self.load {
                    Some(load) => load.compared(self.rule.family, one.name, one.data)?,
                    None => None,
                };
                if known.is_some_and(|condition| self.condition(condition)) {
                    self.load = None;
                } else {
                    self.unknown(one);
                }
            }
            b"match" | b"target" => {
                self.flush();
                self.extension(one)?;
            }
            b"immediate" => {
                self.flush();
                match verdict(one.data)? {
                    Some(target) => self.target(target),
                    None => self.unknown(one),
                }
            }
            _ => self.unknown(one),
        }
        Ok(())
    }

    /// Ends a load that nothing used.
    fn flush(&mut self) {
        // iptables writes `-i +` as a load alone. It lets every packet pass.
        if self.load.is_some_and(Load::is_interface) {
            self.load = None;
        }
        self.keep_load();
    }

    fn unknown(&mut self, one: Expression<'a>) {
        self.keep_load();
        self.keep(one);
    }

    fn keep_load(&mut self) {
        if self.load.take().is_some() {
            for one in self.pending.into_iter().flatten() {
                self.keep(one);
            }
        }
    }

    fn keep(&mut self, one: Expression<'a>) {
        let name = String::from_utf8_lossy(one.name).into_owned();
        self.rule.matches.push(Match::Native {
            name,
            data: one.data.into(),
        });
    }

    /// Stores a condition. False where the rule has one of its kind already.
    fn condition(&mut self, condition: Condition) -> bool {
        let rule = &mut self.rule;
        match condition {
            Condition::Source(net) => set(&mut rule.src, net),
            Condition::Destination(net) => set(&mut rule.dst, net),
            Condition::InInterface(name) => set(&mut rule.in_interface, name),
            Condition::OutInterface(name) => set(&mut rule.out_interface, name),
            Condition::Protocol(number) => set(&mut rule.protocol, number),
            Condition::Mark(mark) => {
                rule.matches.push(mark);
                true
            }
            Condition::Ports { src, dst } => self.ports(src, dst),
        }
    }

    /// Joins `--sport` and `--dport` to the one `-m tcp` that iptables made both from.
    fn ports(&mut self, src: Option<NotOr<PortRange>>, dst: Option<NotOr<PortRange>>) -> bool {
        let Some(NotOr {
            not: false,
            value: number,
        }) = self.rule.protocol
        else {
            return false;
        };
        if !matches!(number, protocol::TCP | protocol::UDP | protocol::SCTP) {
            return false;
        }
        let joined = self
            .native_ports
            .and_then(|at| self.rule.matches.get_mut(at));
        if let Some(Match::Ports {
            src: old_src,
            dst: old_dst,
            ..
        }) = joined
            && (src.is_none() || old_src.is_none())
            && (dst.is_none() || old_dst.is_none())
        {
            *old_src = src.or(*old_src);
            *old_dst = dst.or(*old_dst);
            return true;
        }
        self.native_ports = Some(self.rule.matches.len());
        self.rule.matches.push(Match::Ports {
            protocol: number,
            src,
            dst,
        });
        true
    }

    /// An xt match or target.
    fn extension(&mut self, one: Expression<'a>) -> Result<(), AttrError> {
        let [_, name, revision, info] = by_type(one.data)?;
        let name = until_nul(name);
        let Some(revision) = number(revision) else {
            self.keep(one);
            return Ok(());
        };
        let other = || (String::from_utf8_lossy(name).into_owned(), info.into());
        let family = self.rule.family;
        if one.name == b"match" {
            let known = if name == b"set" {
                xt::xt_set(self.set_name, revision, info)
            } else {
                xt::xt_match(family, name, revision, info)
            };
            self.rule.matches.push(known.unwrap_or_else(|| {
                let (name, info) = other();
                Match::Other {
                    name,
                    revision,
                    info,
                }
            }));
        } else {
            let known = xt::xt_target(family, name, revision, info);
            self.target(known.unwrap_or_else(|| {
                let (name, info) = other();
                Target::Other {
                    name,
                    revision,
                    info,
                }
            }));
        }
        Ok(())
    }

    fn target(&mut self, target: Target) {
        self.rule.target = target;
        self.terminated = true;
    }
}

fn set<T>(slot: &mut Option<T>, value: T) -> bool {
    let free = slot.is_none();
    if free {
        *slot = Some(value);
    }
    free
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    bytes.get(..end).unwrap_or_default()
}

fn verdict(data: &[u8]) -> Result<Option<Target>, AttrError> {
    let [_, register, data] = by_type(data)?;
    let [_, _, verdict] = by_type(data)?;
    let [_, code, chain] = by_type(verdict)?;
    if number(register) != Some(REG_VERDICT) {
        return Ok(None);
    }
    let chain = || {
        text(chain)
            .filter(|chain| !chain.is_empty())
            .map(str::to_owned)
    };
    Ok(match number(code).map(u32::cast_signed) {
        Some(ACCEPT) => Some(Target::Accept),
        Some(DROP) => Some(Target::Drop),
        Some(RETURN) => Some(Target::Return),
        Some(JUMP) => chain().map(Target::Jump),
        Some(GOTO) => chain().map(Target::Goto),
        _ => None,
    })
}

/// The comment among a rule's user data: `{u8 type, u8 len, value}` lists, the comment type 0
/// (`NFTNL_UDATA_RULE_COMMENT` of libnftnl).
fn userdata_comment(mut userdata: &[u8]) -> Option<&str> {
    while let [kind, len, rest @ ..] = userdata {
        let value = rest.get(..usize::from(*len))?;
        if *kind == 0 {
            return text(value);
        }
        userdata = rest.get(usize::from(*len)..)?;
    }
    None
}
