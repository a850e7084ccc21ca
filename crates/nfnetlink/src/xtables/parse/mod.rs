//! Rules from text: what `iptables-save` prints and what kube-proxy feeds to `iptables-restore`,
//! options in any order.

mod ask;
mod error;
mod matches;
mod targets;
mod values;
mod words;

use std::borrow::Cow;

use ipnet::IpNet;

pub use self::error::ParseError;
use self::words::Words;
use super::{Match, NotOr, Rule, Target, names};
use crate::Family;

impl Rule {
    /// Reads a rule of a table of this family from the text behind `-A CHAIN`.
    ///
    /// Errors name the word that cannot be read and why.
    pub fn parse(family: Family, text: &str) -> Result<Self, ParseError> {
        if text.contains('\0') {
            return Err(ParseError::Nul);
        }
        let mut parser = Parser {
            words: Words::new(text),
            rule: Self::new(family),
            drafts: Vec::with_capacity(4),
            target: None,
        };
        let mut not = false;
        while let Some(word) = parser.words.next()? {
            if word == "!" {
                if not {
                    return Err(ParseError::Inverted {
                        option: word.into_owned(),
                    });
                }
                not = true;
            } else {
                parser.option(&word, std::mem::take(&mut not))?;
            }
        }
        if not {
            return Err(ParseError::Missing {
                option: "!".to_owned(),
            });
        }
        parser.finish()
    }
}

/// An extension whose options are still coming.
struct Draft<T> {
    extension: &'static str,
    value: T,
    /// The options without which it is not whole, removed when given.
    missing: [Option<&'static str>; 2],
}

impl<T> Draft<T> {
    const fn whole(extension: &'static str, value: T) -> Self {
        Self {
            extension,
            value,
            missing: [None; 2],
        }
    }

    const fn needing(extension: &'static str, option: &'static str, value: T) -> Self {
        Self {
            extension,
            value,
            missing: [Some(option), None],
        }
    }

    /// Stores a value that came with `option`, which must be one of the missing.
    fn give(&mut self, option: &str, value: T) -> Result<(), ParseError> {
        let missing = self
            .missing
            .iter_mut()
            .find(|missing| **missing == Some(option));
        let Some(missing) = missing else {
            return Err(ParseError::Repeated {
                option: option.to_owned(),
            });
        };
        *missing = None;
        self.value = value;
        Ok(())
    }

    fn finish(self) -> Result<T, ParseError> {
        match self.missing.into_iter().flatten().next() {
            None => Ok(self.value),
            Some(option) => Err(ParseError::Incomplete {
                extension: self.extension,
                option,
            }),
        }
    }
}

struct Parser<'t> {
    words: Words<'t>,
    rule: Rule,
    drafts: Vec<Draft<Match>>,
    target: Option<Draft<Target>>,
}

impl<'t> Parser<'t> {
    fn option(&mut self, option: &str, not: bool) -> Result<(), ParseError> {
        match option {
            "-s" | "--source" | "--src" => {
                let net = self.network(option, not)?;
                once(option, &mut self.rule.src, net)
            }
            "-d" | "--destination" | "--dst" => {
                let net = self.network(option, not)?;
                once(option, &mut self.rule.dst, net)
            }
            "-i" | "--in-interface" => {
                let value = self.value(option, values::interface)?;
                once(option, &mut self.rule.in_interface, NotOr { not, value })
            }
            "-o" | "--out-interface" => {
                let value = self.value(option, values::interface)?;
                once(option, &mut self.rule.out_interface, NotOr { not, value })
            }
            "-p" | "--protocol" | "--proto" => {
                let value = self.value(option, |word| match names::protocol_number(word) {
                    Some(0) if not => Err("every packet has a protocol: this never matches"),
                    Some(number) => Ok(number),
                    None => Err("expected tcp, udp, sctp or a number of 0 to 255"),
                })?;
                once(option, &mut self.rule.protocol, NotOr { not, value })
            }
            "-m" | "--match" => {
                plain(option, not)?;
                let name = self.word(option)?;
                self.load(&name)
            }
            "-j" | "--jump" => {
                plain(option, not)?;
                let name = self.chain(option)?;
                let draft = self.jump(name)?;
                once(option, &mut self.target, draft)
            }
            "-g" | "--goto" => {
                plain(option, not)?;
                let target = Target::Goto(self.chain(option)?);
                once(option, &mut self.target, Draft::whole("-g", target))
            }
            _ => {
                if self.match_option(option, not)? || self.target_option(option, not)? {
                    return Ok(());
                }
                Err(ParseError::Option {
                    token: option.to_owned(),
                })
            }
        }
    }

    fn network(&mut self, option: &str, not: bool) -> Result<NotOr<IpNet>, ParseError> {
        let family = self.rule.family;
        let value = self.value(option, |word| match values::network(family, word) {
            Ok(net) if not && net.prefix_len() == 0 => Err("this never matches"),
            other => other,
        })?;
        Ok(NotOr { not, value })
    }

    fn chain(&mut self, option: &str) -> Result<String, ParseError> {
        self.value(option, |word| values::plain(word, values::CHAIN))
    }

    fn word(&mut self, option: &str) -> Result<Cow<'t, str>, ParseError> {
        self.words.next()?.ok_or_else(|| ParseError::Missing {
            option: option.to_owned(),
        })
    }

    /// The next word as a value of `option`.
    fn value<T>(
        &mut self,
        option: &str,
        read: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Result<T, ParseError> {
        let word = self.word(option)?;
        read(&word).map_err(|why| ParseError::Value {
            option: option.to_owned(),
            token: word.into_owned(),
            why,
        })
    }

    fn finish(self) -> Result<Rule, ParseError> {
        let mut rule = self.rule;
        rule.matches = self
            .drafts
            .into_iter()
            .map(Draft::finish)
            .collect::<Result<_, _>>()?;
        if let Some(target) = self.target {
            rule.target = target.finish()?;
        }
        matches::check(&rule)?;
        Ok(rule.normalized())
    }
}

/// Refuses `!` in front of an option that has no opposite.
fn plain(option: &str, not: bool) -> Result<(), ParseError> {
    if not {
        Err(ParseError::Inverted {
            option: option.to_owned(),
        })
    } else {
        Ok(())
    }
}

/// Stores the value of an option that can be given once.
fn once<T>(option: &str, slot: &mut Option<T>, value: T) -> Result<(), ParseError> {
    if slot.is_some() {
        return Err(ParseError::Repeated {
            option: option.to_owned(),
        });
    }
    *slot = Some(value);
    Ok(())
}
