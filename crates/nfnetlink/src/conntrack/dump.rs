//! Reading the table.

use netlink_batch::{Errno, Error, Socket};

use super::delete::name;
use super::uapi::op;
use super::{Filter, Flow};
use crate::nfgenmsg;

/// What a dump went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dumped {
    /// Flows that the kernel sent.
    pub seen: u64,
    /// Flows among them that were meant.
    pub matched: u64,
    /// False where the kernel refused the filter or sent flows that it should have left out.
    pub by_kernel: bool,
}

/// Hands each flow that is meant to `each`, one at a time: memory is the same for any table.
///
/// The kernel filters where it can; one that refuses the filter (EINVAL, EOPNOTSUPP) is asked
/// without it. With [`Error::Interrupted`] flows may be missing, but what was handed out is true.
/// The table changes while it is read, so a flow may be handed out twice.
pub fn dump(
    socket: &mut Socket,
    filter: &Filter,
    mut each: impl FnMut(&Flow),
) -> Result<Dumped, Error> {
    match attempt(socket, filter, true, &mut each) {
        Err(Error::Refused { errno, .. }) if errno == Errno::INVAL || errno == Errno::OPNOTSUPP => {
            attempt(socket, filter, false, &mut each)
        }
        result => result,
    }
}

/// The same flow as it is now; `None` where it is gone, or replaced by another with its tuples.
pub fn lookup(socket: &mut Socket, flow: &Flow) -> Result<Option<Flow>, Error> {
    let mut found = None;
    let result = socket.request(
        op::GET,
        0,
        &nfgenmsg(flow.family.number()),
        |attrs| name(attrs, flow),
        |message| {
            if message.kind == op::NEW {
                found = Flow::read(&message)?;
            }
            Ok(())
        },
    );
    match result {
        Err(Error::Refused { errno, .. }) if errno == Errno::NOENT => Ok(None),
        result => result.map(|()| found.filter(|now| now.id == flow.id)),
    }
}

pub(super) fn attempt(
    socket: &mut Socket,
    filter: &Filter,
    in_kernel: bool,
    each: &mut impl FnMut(&Flow),
) -> Result<Dumped, Error> {
    let mut dumped = Dumped {
        seen: 0,
        matched: 0,
        by_kernel: in_kernel,
    };
    let told = filter.for_kernel();
    socket.dump(
        op::GET,
        &nfgenmsg(filter.family.number()),
        |attrs| {
            if in_kernel {
                told.encode(attrs);
            }
        },
        |message| {
            if message.kind != op::NEW {
                return Ok(());
            }
            dumped.seen += 1;
            let Some(flow) = Flow::read(&message)? else {
                return Ok(());
            };
            if filter.matches(&flow) {
                dumped.matched += 1;
                each(&flow);
            } else if !told.matches(&flow) {
                dumped.by_kernel = false;
            }
            Ok(())
        },
    )?;
    Ok(dumped)
}
