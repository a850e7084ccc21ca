//! Transactions of nf_tables beside other programs, whatever objects they are of.
//!
//! Every transaction is pinned to the generation of the rule set up to which we know what others
//! did. Somebody else's commit in between is noticed by the kernel (ERESTART) and by us through
//! notifications: what they touched of ours is then read again before anything is written, and
//! where they touched nothing of ours the transaction is sent again.

mod commit;
mod heard;
mod watch;

pub(crate) use commit::{Committer, found_otherwise};
pub(crate) use heard::Heard;

use std::fmt::Debug;

use nfnetlink::Family;
use nfnetlink::nftables::Object;

/// A piece of a dataplane's objects in nf_tables that is read as a whole.
pub(crate) trait Concerned: Ord + Clone + Debug {
    /// A table that such pieces are in.
    type Table: Ord + Copy + Debug;

    /// The table of this name; none where it holds nothing of the dataplane's.
    fn table(family: Family, name: &str) -> Option<Self::Table>;

    /// The piece of ours that an object of the table is, or stands in.
    fn of(table: Self::Table, object: &Object<'_>) -> Option<Self>;
}
