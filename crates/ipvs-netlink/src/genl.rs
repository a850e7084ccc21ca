//! Generic netlink (`linux/genetlink.h`): finding a family's message type by its name.

use netlink_batch::{Errno, Error, Socket};

use crate::wire;

/// `GENL_ID_CTRL`.
const CTRL: u16 = 0x10;
const CTRL_VERSION: u8 = 2;
const CTRL_CMD_NEWFAMILY: u8 = 1;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

/// `struct genlmsghdr`.
pub(crate) const fn header(command: u8, version: u8) -> [u8; 4] {
    [command, version, 0, 0]
}

/// The message type of the family of this name; `None` where the kernel has no such family.
pub(crate) fn family(socket: &mut Socket, name: &str) -> Result<Option<u16>, Error> {
    let mut id = None;
    let result = socket.request(
        CTRL,
        0,
        &header(CTRL_CMD_GETFAMILY, CTRL_VERSION),
        |attrs| attrs.str(CTRL_ATTR_FAMILY_NAME, name),
        |message| {
            let (header, attrs) = message.split::<4>()?;
            if message.kind == CTRL && header[0] == CTRL_CMD_NEWFAMILY {
                for attr in attrs {
                    let attr = attr?;
                    if attr.kind == CTRL_ATTR_FAMILY_ID {
                        id = Some(wire::u16(&attr)?);
                    }
                }
            }
            Ok(())
        },
    );
    match result {
        Ok(()) => id.map(Some).ok_or(Error::Missing {
            object: "generic netlink family",
            attribute: "ID",
        }),
        Err(error) if error.errno() == Some(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}
