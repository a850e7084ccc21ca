//! Tables.

use netlink_batch::message::flags::{CREATE, EXCL};
use netlink_batch::{AttrWriter, Batch, Errno, Error, Message, Socket};

use super::batch::Transaction;
use super::uapi::{BATCH_BEGIN, BATCH_HEADER, op, table as attr};
use super::{by_kind, pick, require};
use crate::{Family, nfgenmsg};

/// A table as the kernel reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Table<'a> {
    /// The table's name.
    pub name: &'a str,
    /// The kernel's number for it, 0 where the kernel tells none (before Linux 4.17).
    pub handle: u64,
    /// Number of chains, sets, maps and stateful objects in it.
    pub uses: u32,
    /// `NFT_TABLE_F_*`: 1 dormant, 2 owned by a process.
    pub flags: u32,
}

impl<'a> Table<'a> {
    /// Reads a `NFT_MSG_NEWTABLE` message.
    pub fn read(message: &Message<'a>) -> Result<Self, Error> {
        let (_, attrs) = message.split::<4>()?;
        let found = by_kind::<4>(attrs)?;
        let number = |kind| pick(&found, kind).map_or(Ok(0), |attr| attr.u32_be());
        Ok(Self {
            name: require(pick(&found, attr::NAME), "table", "name")?.str()?,
            handle: pick(&found, attr::HANDLE).map_or(Ok(0), |attr| attr.u64_be())?,
            uses: number(attr::USE)?,
            flags: number(attr::FLAGS)?,
        })
    }
}

/// Hands each table of the family to `each`.
pub fn tables(
    socket: &mut Socket,
    family: Family,
    mut each: impl FnMut(Table<'_>),
) -> Result<(), Error> {
    socket.dump(
        op::GET_TABLE,
        &nfgenmsg(family.number()),
        |_| {},
        |message| {
            each(Table::read(&message)?);
            Ok(())
        },
    )
}

/// What `read` makes of one table, `None` where it does not exist.
pub fn find_table<R>(
    socket: &mut Socket,
    family: Family,
    name: &str,
    mut read: impl FnMut(Table<'_>) -> R,
) -> Result<Option<R>, Error> {
    let place = |attrs: &mut AttrWriter<'_>| attrs.str(attr::NAME, name);
    let mut found = None;
    let result = socket.request(
        op::GET_TABLE,
        0,
        &nfgenmsg(family.number()),
        place,
        |message| {
            found = Some(read(Table::read(&message)?));
            Ok(())
        },
    );
    match result {
        Ok(()) => Ok(found),
        Err(error) if error.errno() == Some(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// True where the kernel has tables of this family, which no list tells.
///
/// A batch without its end is looked at and thrown away, as `nft --check` sends it: no table is
/// made.
pub fn has_family(socket: &mut Socket, family: Family) -> Result<bool, Error> {
    let mut batch: Batch<()> = Batch::new();
    batch.message(BATCH_BEGIN, 0, &BATCH_HEADER, |_| {});
    batch.message(op::NEW_TABLE, CREATE, &nfgenmsg(family.number()), |attrs| {
        attrs.str(attr::NAME, "viprule-question");
    });
    let answers = socket.send(&batch, |_, _| {})?;
    let errnos: Vec<Errno> = answers.refusals.iter().map(|it| it.errno).collect();
    if errnos.contains(&Errno::PERM) {
        return Err(Error::Permission {
            doing: "asking for an nf_tables family",
        });
    }
    Ok(!errnos.into_iter().any(Errno::is_unsupported))
}

impl<T> Transaction<T> {
    /// Creates the table if it does not exist.
    pub fn new_table(&mut self, family: Family, name: &str) {
        self.change(op::NEW_TABLE, CREATE, family, |attrs| {
            attrs.str(attr::NAME, name);
        });
    }

    /// Creates a table that must not exist (EEXIST).
    pub(super) fn create_table(&mut self, family: Family, name: &str) {
        self.change(op::NEW_TABLE, CREATE | EXCL, family, |attrs| {
            attrs.str(attr::NAME, name);
        });
    }

    /// Deletes the table with all that is in it.
    pub fn delete_table(&mut self, family: Family, name: &str) {
        self.change(op::DEL_TABLE, 0, family, |attrs| {
            attrs.str(attr::NAME, name);
        });
    }
}
