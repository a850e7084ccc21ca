//! `-m physdev` (`linux/netfilter/xt_physdev.h`): whether and how a packet passes a bridge.

use std::fmt::{self, Display, Formatter};

use crate::xtables::{Interface, NotOr};

/// Conditions of `-m physdev`, at least one. True is the plain option, false the one behind `!`.
///
/// Ports are boxed: rules without them are many, and none is to be larger for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Physdev {
    /// `--physdev-is-in`: it came in through a bridge's port.
    pub is_in: Option<bool>,
    /// `--physdev-in`: that port.
    pub input: Option<Box<NotOr<Interface>>>,
    /// `--physdev-is-out`: it leaves through a bridge's port.
    pub is_out: Option<bool>,
    /// `--physdev-out`: that port.
    pub output: Option<Box<NotOr<Interface>>>,
    /// `--physdev-is-bridged`: it is bridged, not routed.
    pub is_bridged: Option<bool>,
}

impl Physdev {
    /// True where nothing is asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The options as `iptables-save` prints them behind `-m physdev`, each with a space before it.
impl Display for Physdev {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        flag(f, "is-in", self.is_in)?;
        port(f, "in", self.input.as_deref())?;
        flag(f, "is-out", self.is_out)?;
        port(f, "out", self.output.as_deref())?;
        flag(f, "is-bridged", self.is_bridged)
    }
}

fn flag(f: &mut Formatter<'_>, name: &str, value: Option<bool>) -> fmt::Result {
    match value {
        None => Ok(()),
        Some(true) => write!(f, " --physdev-{name}"),
        Some(false) => write!(f, " ! --physdev-{name}"),
    }
}

fn port(f: &mut Formatter<'_>, name: &str, port: Option<&NotOr<Interface>>) -> fmt::Result {
    let Some(NotOr { not, value }) = port else {
        return Ok(());
    };
    flag(f, name, Some(!not))?;
    write!(f, " {}", value.name)?;
    f.write_str(if value.wildcard { "+" } else { "" })
}

/// `xt_physdev_info`: name and mask of the port in at 0 and 16, of the port out at 32 and 48.
pub(in crate::xtables) const LEN: usize = 72;
const NAME_LEN: usize = 16;
const OUT: usize = 32;
const INVERT: usize = 64;
const ASKED: usize = 65;
/// `XT_PHYSDEV_OP_*`.
const OP_IN: u8 = 1;
const OP_OUT: u8 = 2;
const OP_BRIDGED: u8 = 4;
const OP_IS_IN: u8 = 8;
const OP_IS_OUT: u8 = 0x10;

impl Physdev {
    /// The data of the match, of revision 0.
    pub(in crate::xtables) fn put(&self, info: &mut [u8]) {
        let mut ask = |bit, condition: Option<bool>| {
            if let Some(plain) = condition {
                info[ASKED] |= bit;
                info[INVERT] |= if plain { 0 } else { bit };
            }
        };
        ask(OP_IS_IN, self.is_in);
        ask(OP_IS_OUT, self.is_out);
        ask(OP_BRIDGED, self.is_bridged);
        ask(OP_IN, self.input.as_ref().map(|port| !port.not));
        ask(OP_OUT, self.output.as_ref().map(|port| !port.not));
        for (at, port) in [(0, &self.input), (OUT, &self.output)] {
            if let Some(port) = port {
                put_port(&mut info[at..at + 2 * NAME_LEN], &port.value);
            }
        }
    }

    /// Reads the data of a match of revision 0; `None` for what has no text.
    pub(in crate::xtables) fn read(info: &[u8]) -> Option<Self> {
        let (invert, asked) = (*info.get(INVERT)?, *info.get(ASKED)?);
        let all = OP_IN | OP_OUT | OP_BRIDGED | OP_IS_IN | OP_IS_OUT;
        if asked == 0 || asked & !all != 0 || invert & !asked != 0 {
            return None;
        }
        let flag = |bit| (asked & bit != 0).then_some(invert & bit == 0);
        let port = |bit, at| {
            flag(bit).map(|plain| {
                let value = read_port(info.get(at..at + 2 * NAME_LEN)?)?;
                Some(Box::new(NotOr { not: !plain, value }))
            })
        };
        Some(Self {
            is_in: flag(OP_IS_IN),
            input: port(OP_IN, 0).map_or(Some(None), |port| port.map(Some))?,
            is_out: flag(OP_IS_OUT),
            output: port(OP_OUT, OUT).map_or(Some(None), |port| port.map(Some))?,
            is_bridged: flag(OP_BRIDGED),
        })
    }
}

/// The mask covers the name and its NUL, or of `name+` the bytes before the `+`.
fn put_port(field: &mut [u8], port: &Interface) {
    let room = NAME_LEN - 1 - usize::from(port.wildcard);
    let len = port.name.len().min(room);
    let (name, mask) = field.split_at_mut(NAME_LEN);
    name[..len].copy_from_slice(&port.name.as_bytes()[..len]);
    if port.wildcard {
        name[len] = b'+';
    }
    mask[..len + usize::from(!port.wildcard)].fill(0xff);
}

fn read_port(field: &[u8]) -> Option<Interface> {
    let (name, mask) = field.split_at_checked(NAME_LEN)?;
    let name = name.split(|byte| *byte == 0).next()?;
    let covered = mask.iter().take_while(|byte| **byte == 0xff).count();
    if mask.iter().skip(covered).any(|byte| *byte != 0) {
        return None;
    }
    let (name, wildcard) = match name.strip_suffix(b"+") {
        Some(begin) if covered == begin.len() => (begin, true),
        _ if covered == name.len() + 1 && !name.is_empty() => (name, false),
        _ => return None,
    };
    Some(Interface {
        name: std::str::from_utf8(name).ok()?.to_owned(),
        wildcard,
    })
}
