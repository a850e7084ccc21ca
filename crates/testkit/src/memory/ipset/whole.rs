//! Requests about whole sets.

use std::collections::BTreeSet;

use netlink_batch::Errno;
use netlink_batch::message::flags::EXCL;
use nfnetlink::ipset::Kind;

use super::uapi::{self, NET_ORDER, attr, command};
use super::{Content, References, Set, Sets, Size};
use crate::memory::answer::{Refused, reply};
use crate::memory::fields::{Fields, Request};

impl Sets {
    pub(super) fn ask(
        &self,
        port: u32,
        request: &Request<'_>,
        version: u8,
        fields: &Fields<'_>,
    ) -> Result<Vec<u8>, Refused> {
        let command = request.kind & 0xff;
        let answer = |fill: &dyn Fn(&mut netlink_batch::AttrWriter<'_>)| {
            reply(port, request.seq, request.kind, 0, &[2, 0, 0, 0], fill)
        };
        let need = |kind| fields.get(kind).ok_or(uapi::protocol());
        Ok(match command {
            command::PROTOCOL => answer(&|attrs| {
                attrs.u8(attr::PROTOCOL, uapi::VERSIONS[1]);
                attrs.u8(attr::LOWEST, uapi::VERSIONS[0]);
            }),
            command::TYPE => {
                let name = need(attr::TYPE)?.text()?;
                let family = byte(need(attr::FAMILY)?.payload)?;
                let kind = Kind::parse(name).filter(|kind| serves(*kind, family));
                let kind = kind.ok_or(Refused::errno(uapi::FIND_TYPE))?;
                answer(&|attrs| {
                    attrs.u8(attr::PROTOCOL, version);
                    attrs.str(attr::TYPE, name);
                    attrs.u8(attr::FAMILY, family);
                    attrs.u8(attr::REVISION, uapi::revision(kind));
                    attrs.u8(attr::LOWEST, 0);
                })
            }
            command::GET_BY_NAME => {
                let index = self.named(fields)?;
                let family = self.sets.get(&index).map_or(0, |set| set.content.family);
                answer(&|attrs| {
                    attrs.u8(attr::PROTOCOL, version);
                    attrs.u8(attr::FAMILY, family);
                    attrs.u16_be(attr::INDEX | NET_ORDER, index);
                })
            }
            _ => {
                let index = need(attr::INDEX)?.payload;
                let index = <[u8; 2]>::try_from(index).map_err(|_| uapi::protocol())?;
                let name = self.name(u16::from_be_bytes(index));
                let name = name.ok_or(Refused::errno(Errno::NOENT))?;
                answer(&|attrs| {
                    attrs.u8(attr::PROTOCOL, version);
                    attrs.str(attr::NAME, name);
                })
            }
        })
    }

    pub(super) fn create(
        &mut self,
        request: &Request<'_>,
        fields: &Fields<'_>,
    ) -> Result<(), Refused> {
        let need = |kind| fields.get(kind).ok_or(uapi::protocol());
        let name = need(attr::NAME)?.text()?;
        let revision = byte(need(attr::REVISION)?.payload)?;
        let family = byte(need(attr::FAMILY)?.payload)?;
        let kind = Kind::parse(need(attr::TYPE)?.text()?).filter(|kind| serves(*kind, family));
        let kind = kind.filter(|kind| revision <= uapi::revision(*kind));
        let kind = kind.ok_or(Refused::errno(uapi::FIND_TYPE))?;
        if kind != Kind::BitmapPort && ![2, 10].contains(&family) {
            return Err(Refused::errno(uapi::INVALID_FAMILY));
        }
        let data = match fields.get(attr::DATA) {
            Some(data) => data.fields()?,
            None => Fields::default(),
        };
        let number = |kind| data.get(kind).map(|it| it.u32_be()).transpose();
        let size = if kind == Kind::BitmapPort {
            let port = |kind| data.get(kind).ok_or(uapi::protocol())?.u16_be();
            Size::Ports {
                first: port(attr::PORT_FROM)?,
                last: port(attr::PORT_TO)?,
            }
        } else {
            Size::Hash {
                buckets: number(attr::HASH_SIZE)?.unwrap_or(1024),
                most: number(attr::MAX_ELEMENTS)?.unwrap_or(65_536),
            }
        };
        let content = Content {
            kind,
            family,
            revision,
            size,
            elements: BTreeSet::new(),
        };
        if let Some(there) = self.find(name).and_then(|index| self.sets.get(&index)) {
            return if request.flags & EXCL == 0 && same(&there.content, &content) {
                Ok(())
            } else {
                Err(Refused::errno(Errno::EXIST))
            };
        }
        let free = (0..u16::MAX).find(|index| !self.sets.contains_key(index));
        let name = name.to_owned();
        if let Some(index) = free {
            self.sets.insert(index, Set { name, content });
        }
        Ok(())
    }

    pub(super) fn destroy(
        &mut self,
        fields: &Fields<'_>,
        references: &References,
    ) -> Result<(), Refused> {
        if fields.get(attr::NAME).is_none() {
            if !references.is_empty() {
                return Err(Refused::errno(uapi::BUSY));
            }
            self.sets.clear();
            return Ok(());
        }
        let index = self.named(fields)?;
        if references.contains_key(&index) {
            return Err(Refused::errno(uapi::BUSY));
        }
        self.sets.remove(&index);
        Ok(())
    }

    pub(super) fn flush(&mut self, fields: &Fields<'_>) -> Result<(), Refused> {
        let only = match fields.get(attr::NAME) {
            Some(_) => Some(self.named(fields)?),
            None => None,
        };
        for (index, set) in &mut self.sets {
            if only.is_none_or(|only| only == *index) {
                set.content.elements.clear();
            }
        }
        Ok(())
    }

    pub(super) fn rename(
        &mut self,
        fields: &Fields<'_>,
        references: &References,
    ) -> Result<(), Refused> {
        let to = fields.get(attr::NAME2).ok_or(uapi::protocol())?.text()?;
        let index = self.named(fields)?;
        if references.contains_key(&index) {
            return Err(Refused::errno(uapi::REFERENCED));
        }
        if self.find(to).is_some() {
            return Err(Refused::errno(uapi::EXIST_NAME2));
        }
        if let Some(set) = self.sets.get_mut(&index) {
            to.clone_into(&mut set.name);
        }
        Ok(())
    }

    pub(super) fn swap(&mut self, fields: &Fields<'_>) -> Result<(), Refused> {
        let to = fields.get(attr::NAME2).ok_or(uapi::protocol())?.text()?;
        let one = self.named(fields)?;
        let other = self.find(to).ok_or(Refused::errno(uapi::EXIST_NAME2))?;
        let get = |index| self.sets.get(&index).map(|set| set.content.clone());
        let (Some(first), Some(second)) = (get(one), get(other)) else {
            return Ok(());
        };
        if (first.kind, first.family) != (second.kind, second.family) {
            return Err(Refused::errno(uapi::TYPE_MISMATCH));
        }
        for (index, content) in [(one, second), (other, first)] {
            if let Some(set) = self.sets.get_mut(&index) {
                set.content = content;
            }
        }
        Ok(())
    }
}

/// True where the kernel takes two sets for made alike. It looks at netmasks, which some types have
/// and which differ by family, and not at families.
fn same(a: &Content, b: &Content) -> bool {
    let size = match (a.size, b.size) {
        // Buckets change as sets fill.
        (Size::Hash { most, .. }, Size::Hash { most: other, .. }) => most == other,
        (a, b) => a == b,
    };
    let has_netmask = matches!(a.kind, Kind::HashIp | Kind::HashIpPort);
    size && a.kind == b.kind && (!has_netmask || a.family == b.family)
}

/// True where the type has sets of this family.
fn serves(kind: Kind, family: u8) -> bool {
    kind == Kind::BitmapPort || [0, 2, 10].contains(&family)
}

fn byte(payload: &[u8]) -> Result<u8, Refused> {
    match payload {
        [byte] => Ok(*byte),
        _ => Err(uapi::protocol()),
    }
}
