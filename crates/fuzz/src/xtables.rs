//! iptables rules, as expressions and as text.

use netlink_batch::{AttrWriter, Attrs};
use nfnetlink::Family;
use nfnetlink::ipset::{SetIndex, SetNames};
use nfnetlink::xtables::{DecodeError, EncodeOptions, Interface, Match, NotOr, Rule, Target};

/// A rule's attributes as the kernel tells them.
pub(crate) fn decode(bytes: &[u8]) {
    for family in Family::ALL {
        let _ = Rule::decode(family, Attrs::new(bytes)).map(|rule| rule.to_string());
        let Ok(rule) = Rule::decode_with(family, Attrs::new(bytes), named) else {
            continue;
        };
        // What follows a target is not looked into, and would be written before it.
        let again = written(&rule);
        if is_known(&rule)
            && let Some(again) = again
        {
            assert_eq!(again.as_ref(), Ok(&rule));
        }
        // A kernel may have what no text of ours says, such as a range of ports from 9 to 8.
        let text = rule.to_string();
        if has_plain_names(&rule)
            && let Ok(read) = Rule::parse(family, &text)
        {
            assert_eq!(read, rule, "{text}");
        }
    }
}

/// Lines of `iptables-save` behind `-A CHAIN `.
pub(crate) fn parse(bytes: &[u8]) {
    for line in String::from_utf8_lossy(bytes).lines() {
        for family in Family::ALL {
            let rule = match Rule::parse(family, line) {
                Ok(rule) => rule,
                Err(error) => {
                    let _ = error.to_string();
                    continue;
                }
            };
            let text = rule.to_string();
            assert_eq!(Rule::parse(family, &text).as_ref(), Ok(&rule), "{text}");
            assert_eq!(rule.clone().normalized(), rule, "{text}");
            if let Some(again) = written(&rule) {
                assert_eq!(again, Ok(rule), "{text}");
            }
        }
    }
}

/// The rule as it reads back once it was written; `None` for one that no attribute has room for, of
/// which [`netlink_batch::Batch`] says so.
fn written(rule: &Rule) -> Option<Result<Rule, DecodeError>> {
    let mut names = SetNames::new();
    // Numbers that names say first.
    let (numbered, others): (Vec<_>, Vec<_>) = rule.sets().partition(|set| number(set).is_some());
    for name in numbered.into_iter().chain(others) {
        let mut all = (0..u16::MAX).map(SetIndex);
        let known = number(name).or(names.index(name));
        let free = || all.find(|index| names.name(*index).is_none());
        if let Some(index) = known.or_else(free) {
            names.insert(name, index);
        }
    }
    let options = EncodeOptions::default().with_sets(&names);
    let mut bytes = Vec::new();
    rule.encode_with(&mut AttrWriter::new(&mut bytes), options);
    if bytes.len() > usize::from(u16::MAX) {
        return None;
    }
    let name = |index| {
        names
            .name(index)
            .map(str::to_owned)
            .or_else(|| named(index))
    };
    Some(Rule::decode_with(rule.family, Attrs::new(&bytes), name))
}

/// Sets are called after their numbers.
#[allow(clippy::unnecessary_wraps, reason = "as decode_with takes it")]
fn named(index: SetIndex) -> Option<String> {
    Some(format!("s{}", index.0))
}

fn number(name: &str) -> Option<SetIndex> {
    let number = name.strip_prefix('s')?.parse().ok()?;
    // Not one with a zero or a sign before it.
    (name == format!("s{number}")).then_some(SetIndex(number))
}

/// True for a rule that could be of ours.
fn is_known(rule: &Rule) -> bool {
    let foreign = |one: &Match| matches!(one, Match::Other { .. } | Match::Native { .. });
    !rule.matches.iter().any(foreign) && !matches!(rule.target, Target::Other { .. })
}

/// False where a name has a space or a quote, which the text does not set apart, or a `+`, which says
/// that an interface's name goes on.
fn has_plain_names(rule: &Rule) -> bool {
    fn interface(one: &NotOr<Interface>) -> &str {
        &one.value.name
    }
    let both = [&rule.in_interface, &rule.out_interface];
    let mut names: Vec<_> = both.into_iter().flatten().map(interface).collect();
    if let Target::Jump(chain) | Target::Goto(chain) = &rule.target {
        names.push(chain);
    }
    for one in &rule.matches {
        match one {
            Match::Set { name, .. } | Match::Nfacct(name) => names.push(name),
            Match::Recent(recent) => names.push(&recent.name),
            Match::Physdev(physdev) => {
                let ports = [&physdev.input, &physdev.output].into_iter().flatten();
                names.extend(ports.map(|port| interface(port)));
            }
            _ => {}
        }
    }
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '\\' | '+');
    names.iter().all(|name| name.chars().all(plain))
}
