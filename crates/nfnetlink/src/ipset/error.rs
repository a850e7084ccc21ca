//! What can go wrong with sets.

use netlink_batch::{Errno, Error as Netlink};

use super::{Kind, NAME_MAX};

/// `IPSET_ERR_*`: numbers of every command.
pub(super) const PROTOCOL: Errno = Errno(4097);
const FIND_TYPE: Errno = Errno(4098);
const MAX_SETS: Errno = Errno(4099);
const BUSY: Errno = Errno(4100);
const EXIST_SETNAME2: Errno = Errno(4101);
const TYPE_MISMATCH: Errno = Errno(4102);
const REFERENCED: Errno = Errno(4108);
/// Of elements.
const EXIST: Errno = Errno(4103);
const INVALID_CIDR: Errno = Errno(4104);
/// `IPSET_ERR_HASH_FULL`, and `IPSET_ERR_BITMAP_RANGE`.
const FULL_OR_RANGE: Errno = Errno(4352);
/// `IPSET_ERR_INVALID_PROTO`, `IPSET_ERR_MISSING_PROTO`.
const INVALID_PROTO: Errno = Errno(4354);
const MISSING_PROTO: Errno = Errno(4355);

/// A failed request about sets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel has no IP sets.
    #[error("this kernel has no IP sets (CONFIG_IP_SET)")]
    NotSupported,
    /// The kernel is older than Linux 4.20.
    #[error("this kernel tells no numbers of IP sets; Linux 4.20 or later does")]
    TooOld,
    /// The name is empty, holds a NUL or is longer than [`NAME_MAX`] bytes.
    #[error("{name:?} is no name for an IP set: it takes 1 to {NAME_MAX} bytes")]
    Name {
        /// The name.
        name: String,
    },
    /// The kernel has no sets of this type.
    #[error("this kernel has no IP sets of type {kind}; load the module that has them (ip_set_*)")]
    NoKind {
        /// The type.
        kind: Kind,
    },
    /// There is no such set.
    #[error("there is no IP set {name}; create it first")]
    Missing {
        /// The set's name.
        name: String,
    },
    /// There is a set of this name, of another type, family or size.
    #[error(
        "IP set {name} exists and is of another type, family or size; destroy it or make it anew \
         under another name and swap both"
    )]
    Differs {
        /// The set's name.
        name: String,
    },
    /// There is a set of the new name.
    #[error("there is already an IP set {name}")]
    Exists {
        /// The set's name.
        name: String,
    },
    /// A rule, another set or a listing still uses the set.
    #[error("IP set {name} is still used by a rule or another set; delete that first")]
    Busy {
        /// The set's name.
        name: String,
    },
    /// Sets of two types or families can't be swapped.
    #[error("IP sets {name} and {other} are of different types or families and can't be swapped")]
    Mismatch {
        /// The one set's name.
        name: String,
        /// The other one's.
        other: String,
    },
    /// There are too many sets.
    #[error("the kernel takes no more IP sets; destroy some")]
    TooMany,
    /// The set has as many elements as it may have.
    #[error("IP set {name} is full; let it grow (maxelem)")]
    Full {
        /// The set's name.
        name: String,
    },
    /// The set can't hold the element.
    #[error("IP set {name} can't hold the element: {why}")]
    Element {
        /// The set's name.
        name: String,
        /// Why.
        why: ElementFault,
    },
    /// Any other failure.
    #[error(transparent)]
    Netlink(#[from] Netlink),
}

/// Why a set can't hold an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ElementFault {
    /// It is there already (of a request that wants to know).
    #[error("it is there already")]
    Exists,
    /// A network's prefix is not one that the type takes; no type takes 0.
    #[error("the type does not take networks of this prefix length")]
    Prefix,
    /// A port outside of the set's range.
    #[error("it is outside of the set's range")]
    Range,
    /// The set does not take this transport protocol.
    #[error("the type does not take this protocol")]
    Protocol,
    /// It has not the shape of the set's type, or an address of the other family.
    #[error("it is not of the set's type or IP family")]
    Shape,
}

impl Error {
    /// The failure of a request about a set, or of its elements.
    pub(super) fn of(name: &str, error: Netlink) -> Self {
        let named = || name.to_owned();
        match error.errno() {
            Some(Errno::NOENT) => Self::Missing { name: named() },
            Some(Errno::EXIST) => Self::Differs { name: named() },
            Some(BUSY | REFERENCED | Errno::BUSY) => Self::Busy { name: named() },
            Some(MAX_SETS) => Self::TooMany,
            _ => Self::unsupported(error),
        }
    }

    /// The failure of a request that names two sets.
    pub(super) fn of_two(name: &str, other: &str, error: Netlink) -> Self {
        match error.errno() {
            Some(TYPE_MISMATCH) => Self::Mismatch {
                name: name.to_owned(),
                other: other.to_owned(),
            },
            _ => Self::of(name, error),
        }
    }

    /// The failure of a request about a type.
    pub(super) fn of_kind(kind: Kind, error: Netlink) -> Self {
        match error.errno() {
            Some(FIND_TYPE) => Self::NoKind { kind },
            _ => Self::unsupported(error),
        }
    }

    /// The failure of a request that names no set.
    pub(super) fn unsupported(error: Netlink) -> Self {
        match error.errno() {
            // A subsystem that is not there answers EINVAL, and our request itself is valid.
            Some(Errno::INVAL) => Self::NotSupported,
            Some(errno) if errno.is_unsupported() => Self::NotSupported,
            _ => Self::Netlink(error),
        }
    }

    /// What a refused element's number means.
    pub(super) fn of_element(name: &str, bitmap: bool, errno: Errno) -> Self {
        let why = match errno {
            FULL_OR_RANGE if !bitmap => {
                return Self::Full {
                    name: name.to_owned(),
                };
            }
            FULL_OR_RANGE => ElementFault::Range,
            EXIST => ElementFault::Exists,
            INVALID_CIDR => ElementFault::Prefix,
            INVALID_PROTO | MISSING_PROTO => ElementFault::Protocol,
            PROTOCOL => ElementFault::Shape,
            _ => {
                let refused = Netlink::Refused {
                    errno,
                    text: None,
                    offset: None,
                };
                return Self::of(name, refused);
            }
        };
        Self::Element {
            name: name.to_owned(),
            why,
        }
    }

    /// True of `EXIST_SETNAME2`: the second name's set is there, or of a swap is not.
    pub(super) fn is_about_second(error: &Netlink) -> bool {
        error.errno() == Some(EXIST_SETNAME2)
    }
}
