//! Whether nf_tables knows iptables' matches (`linux/netfilter/nf_tables_compat.h`).

use netlink_batch::{AttrWriter, Errno, Error, Socket};
use nfnetlink::Family;

/// `NFNL_SUBSYS_NFT_COMPAT`, `NFNL_MSG_COMPAT_GET`.
const GET: u16 = 11 << 8;
const NAME: u16 = 1;
const REVISION: u16 = 2;
const TYPE: u16 = 3;
/// The type of a match.
const MATCH: u32 = 0;

/// What the kernel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compat {
    /// The match.
    Match,
    /// Others, for all that is known.
    NoMatch,
    /// No iptables in nf_tables at all.
    Nothing,
}

/// Asks for a match of this revision. Changes nothing, but for modules that are loaded.
pub(crate) fn ask(
    socket: &mut Socket,
    family: Family,
    name: &str,
    revision: u32,
) -> Result<Compat, Error> {
    let header = [family.number(), 0, 0, 0];
    let fill = |attrs: &mut AttrWriter<'_>| {
        attrs.str(NAME, name);
        attrs.u32_be(REVISION, revision);
        attrs.u32_be(TYPE, MATCH);
    };
    match socket.request(GET, 0, &header, fill, |_| Ok(())) {
        Ok(()) => Ok(Compat::Match),
        Err(error) => match error.errno() {
            Some(Errno::NOENT) => Ok(Compat::NoMatch),
            // A subsystem that is not there answers EINVAL.
            Some(Errno::INVAL) => Ok(Compat::Nothing),
            Some(errno) if errno.is_unsupported() => Ok(Compat::Nothing),
            _ => Err(error),
        },
    }
}
