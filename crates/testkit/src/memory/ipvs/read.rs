//! What requests say (`ip_vs_genl_parse_*`).

use netlink_batch::Errno;

use super::uapi::{attr, dest, service};
use super::{Destination, DestinationKey, Server, ServerKey};
use crate::memory::answer::Refused;
use crate::memory::fields::{Field, Fields};

/// A virtual server that a request names.
pub(super) struct Named<'a> {
    pub(super) key: ServerKey,
    fields: Fields<'a>,
}

fn invalid() -> Refused {
    Refused::errno(Errno::INVAL)
}

fn bytes<const N: usize>(field: Option<Field<'_>>) -> Result<[u8; N], Refused> {
    let payload = field.ok_or_else(invalid)?.payload;
    payload.try_into().map_err(|_| invalid())
}

fn u16(field: Option<Field<'_>>) -> Result<u16, Refused> {
    bytes(field).map(u16::from_ne_bytes)
}

fn u32(field: Option<Field<'_>>) -> Result<u32, Refused> {
    bytes(field).map(u32::from_ne_bytes)
}

/// Says which virtual server is meant.
pub(super) fn server<'a>(fields: &Fields<'a>) -> Result<Named<'a>, Refused> {
    let fields = fields.need(attr::SERVICE)?.fields()?;
    let af = u16(fields.get(service::AF))?;
    if ![2, 10].contains(&af) {
        return Err(Refused::errno(Errno::AFNOSUPPORT));
    }
    let key = match fields.get(service::MARK) {
        Some(mark) => ServerKey::Mark {
            af,
            mark: u32(Some(mark))?,
        },
        None => ServerKey::Address {
            af,
            protocol: u16(fields.get(service::PROTOCOL))?,
            address: bytes(fields.get(service::ADDRESS))?,
            port: bytes(fields.get(service::PORT))?,
        },
    };
    Ok(Named { key, fields })
}

impl Named<'_> {
    /// What the virtual server shall do; flags that are not meant stay as they are.
    pub(super) fn full(&self, there: Option<&Server>) -> Result<Server, Refused> {
        let get = |kind| self.fields.get(kind);
        let scheduler = get(service::SCHEDULER).ok_or_else(invalid)?.text()?;
        let engine = get(service::ENGINE).map(|name| name.text()).transpose()?;
        let flags: [u8; 8] = bytes(get(service::FLAGS))?;
        // `struct ip_vs_flags`: the flags, and which of them are meant.
        let half = |at: usize| {
            let word = flags.get(at..at + 4).and_then(|it| it.try_into().ok());
            word.map_or(0, u32::from_ne_bytes)
        };
        let (flags, mask) = (half(0), half(4));
        let before = there.map_or(0, |server| server.flags);
        Ok(Server {
            scheduler: scheduler.to_owned(),
            engine: engine.filter(|name| !name.is_empty()).map(str::to_owned),
            flags: (before & !mask) | (flags & mask),
            timeout: u32(get(service::TIMEOUT))?,
            netmask: bytes(get(service::NETMASK))?,
            destinations: Vec::new(),
        })
    }
}

/// Says which destination is meant.
pub(super) fn destination<'a>(
    fields: &Fields<'a>,
    server: ServerKey,
) -> Result<(DestinationKey, Fields<'a>), Refused> {
    let fields = fields.need(attr::DESTINATION)?.fields()?;
    let address = bytes(fields.get(dest::ADDRESS))?;
    let port = bytes(fields.get(dest::PORT))?;
    let af = fields.get(dest::AF).map(|af| u16(Some(af))).transpose()?;
    let af = af.filter(|af| *af != 0).unwrap_or(server.af());
    if ![2, 10].contains(&af) {
        return Err(Refused::errno(Errno::AFNOSUPPORT));
    }
    Ok(((af, address, port), fields))
}

/// What the destination shall get.
pub(super) fn full(fields: &Fields<'_>) -> Result<Destination, Refused> {
    let get = |kind| fields.get(kind);
    let kind = get(dest::TUNNEL_TYPE).map(|it| bytes(Some(it)));
    let port = get(dest::TUNNEL_PORT).map(|it| bytes(Some(it)));
    let flags = get(dest::TUNNEL_FLAGS).map(|it| u16(Some(it)));
    let [kind] = kind.transpose()?.unwrap_or([0]);
    Ok(Destination {
        forwarding: u32(get(dest::FORWARDING))? & dest::FORWARDING_MASK,
        weight: u32(get(dest::WEIGHT))?,
        upper: u32(get(dest::UPPER))?,
        lower: u32(get(dest::LOWER))?,
        tunnel: (
            kind,
            port.transpose()?.unwrap_or([0; 2]),
            flags.transpose()?.unwrap_or(0),
        ),
    })
}

/// The timeouts that a request sets.
pub(super) fn timeouts(fields: &Fields<'_>) -> Result<[u32; 3], Refused> {
    let mut found = [0; 3];
    for (place, kind) in found.iter_mut().zip(attr::TIMEOUTS) {
        if let Some(field) = fields.get(kind) {
            *place = u32(Some(field))?;
        }
    }
    Ok(found)
}
