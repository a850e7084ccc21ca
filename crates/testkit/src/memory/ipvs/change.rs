//! Changes (`ip_vs_genl_set_cmd`).

use netlink_batch::Errno;

use super::uapi::{self, attr, command, dest, service};
use super::{Destination, IpVs, Server, ServerKey, read};
use crate::memory::answer::Refused;
use crate::memory::fields::Fields;

impl IpVs {
    pub(super) fn change(&mut self, command: u8, fields: &Fields<'_>) -> Result<(), Refused> {
        match command {
            command::FLUSH => self.servers.clear(),
            command::SET_CONFIG => {
                let wanted = read::timeouts(fields)?;
                for (timeout, wanted) in self.timeouts.iter_mut().zip(wanted) {
                    if wanted != 0 {
                        *timeout = wanted;
                    }
                }
            }
            // Nothing counts.
            command::ZERO if fields.get(attr::SERVICE).is_none() => return Ok(()),
            command::NEW_SERVICE
            | command::SET_SERVICE
            | command::DEL_SERVICE
            | command::NEW_DESTINATION
            | command::SET_DESTINATION
            | command::DEL_DESTINATION
            | command::ZERO => self.change_server(command, fields)?,
            _ => return Err(Refused::errno(Errno::OPNOTSUPP)),
        }
        self.version += 1;
        Ok(())
    }

    fn change_server(&mut self, command: u8, fields: &Fields<'_>) -> Result<(), Refused> {
        let named = read::server(fields)?;
        let key = named.key;
        let full = match command {
            command::NEW_SERVICE | command::SET_SERVICE => {
                Some(named.full(self.servers.get(&key))?)
            }
            _ => None,
        };
        let there = self.servers.contains_key(&key);
        if command != command::NEW_SERVICE && !there {
            return Err(Refused::errno(uapi::NO_SERVER));
        }
        match (command, full) {
            (command::NEW_SERVICE, Some(_)) if there => Err(Refused::errno(Errno::EXIST)),
            (command::NEW_SERVICE | command::SET_SERVICE, Some(full)) => self.put(key, full),
            (command::DEL_SERVICE, _) => {
                self.servers.remove(&key);
                Ok(())
            }
            (command::ZERO, _) => Ok(()),
            (command, _) => self.change_destination(command, key, fields),
        }
    }

    /// Makes a virtual server, or changes it and leaves its destinations.
    fn put(&mut self, key: ServerKey, mut full: Server) -> Result<(), Refused> {
        let known = self.schedulers.contains(&full.scheduler) || full.scheduler == "none";
        let engine = full.engine.as_ref();
        if !known || engine.is_some_and(|engine| !self.engines.contains(engine)) {
            return Err(Refused::errno(Errno::NOENT));
        }
        let length = u32::from_ne_bytes(full.netmask);
        if key.af() == 10 && !(1..=128).contains(&length) {
            return Err(Refused::errno(Errno::INVAL));
        }
        full.flags |= service::HASHED;
        if let Some(there) = self.servers.get_mut(&key) {
            full.destinations = std::mem::take(&mut there.destinations);
        }
        self.servers.insert(key, full);
        Ok(())
    }

    fn change_destination(
        &mut self,
        command: u8,
        key: ServerKey,
        fields: &Fields<'_>,
    ) -> Result<(), Refused> {
        let (id, fields) = read::destination(fields, key)?;
        let full = match command {
            command::DEL_DESTINATION => None,
            _ => Some(read::full(&fields)?),
        };
        if let Some(full) = &full {
            check(full, id.0 != key.af())?;
        }
        let server = self.servers.get_mut(&key);
        let destinations = &mut server.ok_or(Refused::errno(uapi::NO_SERVER))?.destinations;
        let place = destinations.iter().position(|(other, _)| *other == id);
        match (full, place) {
            (Some(_), Some(_)) if command == command::NEW_DESTINATION => {
                Err(Refused::errno(Errno::EXIST))
            }
            (Some(full), None) if command == command::NEW_DESTINATION => {
                destinations.insert(0, (id, full));
                Ok(())
            }
            (_, None) => Err(Refused::errno(Errno::NOENT)),
            (Some(full), Some(place)) => {
                destinations[place].1 = full;
                Ok(())
            }
            (None, Some(place)) => {
                destinations.remove(place);
                Ok(())
            }
        }
    }
}

fn check(full: &Destination, other_family: bool) -> Result<(), Refused> {
    if other_family && full.forwarding != dest::TUNNEL {
        return Err(Refused::errno(Errno::INVAL));
    }
    if full.weight.cast_signed() < 0 || full.lower > full.upper {
        return Err(Refused::errno(uapi::RANGE));
    }
    if full.forwarding == dest::TUNNEL && full.tunnel.0 == 1 && full.tunnel.1 == [0; 2] {
        return Err(Refused::errno(Errno::INVAL));
    }
    Ok(())
}
