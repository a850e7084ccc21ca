//! IP sets (`linux/netfilter/ipset/ip_set.h`): listing, making, filling and destroying them.
//!
//! A set is referred to by rules; the kernel destroys and renames none that a rule still uses.
//! Its contents can be exchanged all the same: [`swap`], [`grow`].
//!
//! ```no_run
//! use nfnetlink::Family;
//! use nfnetlink::ipset::{self, Changes, Entry, Kind, Spec};
//! use nfnetlink::netlink_batch::{Socket, socket};
//!
//! let mut socket = Socket::open(socket::NETFILTER)?;
//! let (kind, family) = (Kind::HashNet, Family::Ipv4);
//! let max_elements = 2;
//! ipset::create(&mut socket, "guests", &Spec::Hash { kind, family, max_elements })?;
//!
//! let mut changes = Changes::new();
//! for text in ["192.0.2.0/24", "198.51.100.7/32", "203.0.113.0/24"] {
//!     changes.add("guests", Entry::parse(kind, Some(family), text)?, text);
//! }
//! // The last one has no room. The others are added.
//! for refused in changes.send(&mut socket)? {
//!     assert_eq!(refused.tag, "203.0.113.0/24");
//!     println!("{refused}");
//! }
//!
//! let listing = ipset::list(&mut socket, "guests")?.ok_or("it is gone")?;
//! assert_eq!(listing.entries.len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod change;
mod command;
mod entry;
mod error;
mod grow;
mod kind;
mod list;
mod names;
mod save;
#[cfg(test)]
mod tests;

pub use change::{Changes, Refused};
pub use command::{Protocol, create, destroy, flush, protocol, rename, revision, swap};
pub use entry::{Entry, EntryError, IpPort};
pub use error::{ElementFault, Error};
pub use grow::grow;
pub use kind::{Kind, Spec};
pub use list::{Header, Listing, Set, list, sets};
pub use names::{SetIndex, SetNames, UnknownSet, ask_index, ask_name};
pub use save::{SaveError, SaveFault, Saved, parse_save};

/// Bytes of a set's name at most (`IPSET_MAXNAMELEN` without the NUL).
pub const NAME_MAX: usize = 31;

/// `NFNL_SUBSYS_IPSET` in the high byte of a message type.
const SUBSYSTEM: u16 = 6 << 8;

/// Attributes of commands (`IPSET_ATTR_*`).
const PROTOCOL: u16 = 1;
const NAME: u16 = 2;
const TYPE: u16 = 3;
/// The other name where a command takes two.
const NAME2: u16 = 3;
const REVISION: u16 = 4;
const FAMILY: u16 = 5;
const FLAGS: u16 = 6;
const DATA: u16 = 7;
/// Several [`DATA`].
const ELEMENTS: u16 = 8;
/// Of the command and of each element: any number that tells elements apart.
const LINE: u16 = 9;
const INDEX: u16 = 11;

/// `NLA_F_NET_BYTEORDER`, which the subsystem insists on for numbers in [`DATA`].
const NET_ORDER: u16 = 0x4000;

/// `IPSET_PROTOCOL_MIN`: what every kernel speaks.
const VERSION: u8 = 6;

/// Refuses what is no name: the kernel takes a missing name for "all sets".
fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > NAME_MAX || name.contains('\0') {
        return Err(Error::Name { name: name.into() });
    }
    Ok(())
}
