//! Numbers of sets, by which rules refer to them.

use std::collections::HashMap;

use netlink_batch::message::flags;
use netlink_batch::{AttrWriter, Errno, Socket};

use super::{Error, INDEX, NAME, NET_ORDER, PROTOCOL, SUBSYSTEM, check_name, error, protocol};
use crate::nfgenmsg;

const GET_BY_NAME: u16 = SUBSYSTEM | 0xe;
const GET_BY_INDEX: u16 = SUBSYSTEM | 0xf;
/// The protocol version that has numbers (Linux 4.20).
const VERSION: u8 = 7;

/// A set's number in its network namespace (`ip_set_id_t`).
///
/// A set keeps its number until it is destroyed, and none is destroyed or renamed while a rule
/// uses it; swapping moves the contents and leaves names and numbers alone. So the name behind the
/// number in a rule stays the same for as long as the rule is there, and not longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetIndex(pub u16);

impl SetIndex {
    /// `IPSET_INVALID_ID`, which no set has.
    pub const INVALID: Self = Self(u16::MAX);
}

/// Names of sets and their numbers, as the kernel told them.
///
/// What it holds is right for as long as the sets are used by rules or are known not to be
/// destroyed; [`SetNames::clear`] before it is relied on otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetNames {
    by_name: HashMap<String, SetIndex>,
    by_index: HashMap<SetIndex, String>,
}

/// A rule matches on a set whose number is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no IP set {name}, which a rule matches on; create the set first")]
pub struct UnknownSet {
    /// The set's name.
    pub name: String,
}

impl SetNames {
    /// No sets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a set. What was known under this name or number is forgotten.
    pub fn insert(&mut self, name: &str, index: SetIndex) {
        if let Some(old) = self.by_index.insert(index, name.to_owned()) {
            self.by_name.remove(&old);
        }
        if let Some(old) = self.by_name.insert(name.to_owned(), index)
            && old != index
        {
            self.by_index.remove(&old);
        }
    }

    /// The number of the set of this name.
    pub fn index(&self, name: &str) -> Option<SetIndex> {
        self.by_name.get(name).copied()
    }

    /// The name of the set with this number.
    pub fn name(&self, index: SetIndex) -> Option<&str> {
        self.by_index.get(&index).map(String::as_str)
    }

    /// All sets, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, SetIndex)> {
        self.by_name.iter().map(|(name, index)| (&**name, *index))
    }

    /// True where no set is known.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Forgets all sets.
    pub fn clear(&mut self) {
        self.by_name.clear();
        self.by_index.clear();
    }

    /// Makes sure that all of these sets are known here, such as those of
    /// [`Rule::sets`](crate::xtables::Rule::sets).
    pub fn require<'n>(&self, mut names: impl Iterator<Item = &'n str>) -> Result<(), UnknownSet> {
        match names.find(|name| self.index(name).is_none()) {
            None => Ok(()),
            Some(name) => Err(UnknownSet {
                name: name.to_owned(),
            }),
        }
    }

    /// As [`SetNames::index`]; asks the kernel where the set is not known. `None` if there is no
    /// such set.
    pub fn ask_index(
        &mut self,
        socket: &mut Socket,
        name: &str,
    ) -> Result<Option<SetIndex>, Error> {
        if let Some(known) = self.index(name) {
            return Ok(Some(known));
        }
        let found = ask_index(socket, name)?;
        if let Some(index) = found {
            self.insert(name, index);
        }
        Ok(found)
    }

    /// As [`SetNames::name`]; asks the kernel where the number is not known. `None` if no set has
    /// it.
    pub fn ask_name(
        &mut self,
        socket: &mut Socket,
        index: SetIndex,
    ) -> Result<Option<&str>, Error> {
        if !self.by_index.contains_key(&index)
            && let Some(name) = ask_name(socket, index)?
        {
            self.insert(&name, index);
        }
        Ok(self.name(index))
    }
}

/// The number of the set of this name; `None` if there is no such set.
pub fn ask_index(socket: &mut Socket, name: &str) -> Result<Option<SetIndex>, Error> {
    check_name(name)?;
    let mut found = None;
    let fill = |attrs: &mut AttrWriter<'_>| {
        attrs.u8(PROTOCOL, VERSION);
        attrs.str(NAME, name);
    };
    let result = socket.request(GET_BY_NAME, flags::EXCL, &nfgenmsg(2), fill, |message| {
        if message.kind == GET_BY_NAME {
            for attr in message.split::<4>()?.1 {
                let attr = attr?;
                if attr.kind == INDEX {
                    found = Some(SetIndex(attr.u16_be()?));
                }
            }
        }
        Ok(())
    });
    answer(socket, result, found)
}

/// The name of the set with this number; `None` if no set has it.
pub fn ask_name(socket: &mut Socket, index: SetIndex) -> Result<Option<String>, Error> {
    let mut found = None;
    let fill = |attrs: &mut AttrWriter<'_>| {
        attrs.u8(PROTOCOL, VERSION);
        attrs.u16_be(INDEX | NET_ORDER, index.0);
    };
    let result = socket.request(GET_BY_INDEX, flags::EXCL, &nfgenmsg(2), fill, |message| {
        if message.kind == GET_BY_INDEX {
            for attr in message.split::<4>()?.1 {
                let attr = attr?;
                if attr.kind == NAME {
                    found = Some(attr.str()?.to_owned());
                }
            }
        }
        Ok(())
    });
    answer(socket, result, found)
}

fn answer<T>(
    socket: &mut Socket,
    result: Result<(), netlink_batch::Error>,
    found: Option<T>,
) -> Result<Option<T>, Error> {
    let Err(failure) = result else {
        return Ok(found);
    };
    match failure.errno() {
        Some(Errno::NOENT) => Ok(None),
        // A command that is not there answers EINVAL, a version that is not there has its own.
        Some(Errno::INVAL | error::PROTOCOL) => match protocol(socket)?.max {
            max if max < VERSION => Err(Error::TooOld),
            _ => Err(failure.into()),
        },
        _ => Err(Error::unsupported(failure)),
    }
}
