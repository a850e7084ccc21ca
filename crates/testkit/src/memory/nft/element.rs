//! Adding, finding and removing elements.

use std::sync::Arc;

use netlink_batch::Errno;
use netlink_batch::message::flags::EXCL;

use super::NfTables;
use super::commit::{Change, What};
use super::set::{Element, Set};
use super::uapi::element as attr;
use crate::memory::answer::Refused;
use crate::memory::fields::{Fields, Request};

/// Bytes of the attributes around a value: of itself and of the nest that it is in.
const AROUND: usize = 8;
/// `NFT_SET_ELEM_INTERVAL_END`.
const INTERVAL_END: u32 = 1;

impl Element {
    /// Its key, or the lowest one of a range.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The highest key of a range.
    pub fn end(&self) -> Option<&[u8]> {
        self.end.as_deref()
    }

    /// What a map has for it.
    pub fn data(&self) -> Option<&[u8]> {
        self.data.as_deref()
    }

    /// Bytes of it in a list.
    pub(super) fn told_len(&self, set: &Set) -> usize {
        let padded = |bytes: &[u8]| AROUND + bytes.len().next_multiple_of(4);
        let parts = [Some(&self.key), self.end.as_ref(), self.data.as_ref()];
        let beside = [self.userdata.as_ref(), set.expression.as_ref()];
        let all = parts.into_iter().chain(beside).flatten();
        let flags = if self.is_end { AROUND } else { 0 };
        4 + flags + all.map(|bytes| padded(bytes)).sum::<usize>()
    }

    /// Where the set has it: in the order of keys, and of two with one key the end first.
    pub(super) fn place(&self, set: &Set) -> Vec<u8> {
        Self::place_of(set, &self.key, self.is_end)
    }

    pub(super) fn place_of(set: &Set, key: &[u8], is_end: bool) -> Vec<u8> {
        let side = set.has_intervals().then_some(u8::from(!is_end));
        key.iter().copied().chain(side).collect()
    }

    pub(super) fn flags(&self) -> Option<u32> {
        self.is_end.then_some(INTERVAL_END)
    }

    /// Reads an element of a message about this set.
    fn read(set: &Set, fields: &Fields<'_>, adding: bool) -> Result<Self, Refused> {
        let invalid = Refused::errno(Errno::INVAL);
        let value = |kind| -> Result<Option<Vec<u8>>, Refused> {
            let Some(field) = fields.get(kind) else {
                return Ok(None);
            };
            let value = field.fields()?.get(attr::VALUE);
            Ok(Some(value.ok_or(invalid)?.payload.to_vec()))
        };
        let flags = fields.get(attr::FLAGS).map(|field| field.u32_be());
        let flags = flags.transpose()?.unwrap_or(0);
        let is_end = set.has_intervals() && flags == INTERVAL_END;
        if (flags != 0 && !is_end) || (adding && fields.get(attr::TIMEOUT).is_some()) {
            // Not modelled.
            return Err(Refused::errno(Errno::OPNOTSUPP));
        }
        let key = value(attr::KEY)?.ok_or(invalid)?;
        let end = value(attr::KEY_END)?;
        let fits = |value: &[u8], len: u32| u32::try_from(value.len()) == Ok(len);
        let has_end = end.is_some();
        if !fits(&key, set.key_len)
            || has_end != set.has_ranges()
            || end.as_ref().is_some_and(|end| !fits(end, set.key_len))
        {
            return Err(invalid);
        }
        let data = value(attr::DATA)?;
        if adding {
            let wanted = set.data.map(|(_, len)| len);
            let given = data.as_ref().map(Vec::len);
            if given != wanted.and_then(|len| usize::try_from(len).ok()) {
                return Err(invalid);
            }
        }
        let userdata = fields.get(attr::USERDATA);
        let userdata = userdata.filter(|data| !data.payload.is_empty());
        Ok(Self {
            key,
            end,
            is_end,
            data: data.filter(|_| adding),
            userdata: userdata.map(|data| data.payload.to_vec()),
            number: set.last + 1,
        })
    }

    /// True where a key is in the range, field by field.
    fn covers(&self, set: &Set, key: &[u8]) -> bool {
        let Some(end) = &self.end else {
            return self.key == key;
        };
        let mut at = 0;
        set.fields.iter().all(|len| {
            let len = usize::try_from(*len).unwrap_or_default();
            let field = at..at + len;
            at += len.next_multiple_of(4);
            let part = |bytes: &[u8]| bytes.get(field.clone()).map(<[u8]>::to_vec);
            part(&self.key) <= part(key) && part(key) <= part(end)
        })
    }
}

impl Set {
    /// The element that has a key in it: of ranges the first that came (`pipapo_get`).
    fn at(&self, key: &[u8], is_end: bool) -> Option<&Arc<Element>> {
        if self.has_ranges() {
            let all = self.elements.values();
            let with_key = all.filter(|element| element.covers(self, key));
            return with_key.min_by_key(|element| element.number);
        }
        self.elements.get(&Element::place_of(self, key, is_end))
    }

    /// Whether an interval would begin within another one, or end where none began
    /// (`__nft_rbtree_insert`).
    fn overlaps(&self, element: &Element) -> bool {
        let before = self.elements.range(..element.place(self)).next_back();
        let is_within = before.is_some_and(|(_, before)| !before.is_end);
        self.has_intervals() && is_within != element.is_end
    }

    /// The element that a message names.
    pub(super) fn find(&self, fields: &Fields<'_>) -> Result<Option<Arc<Element>>, Refused> {
        let named = Element::read(self, fields, false)?;
        Ok(self.at(&named.key, named.is_end).cloned())
    }

    /// False where it is there already.
    fn insert(&mut self, element: &Arc<Element>, exclusive: bool) -> Result<bool, Refused> {
        let clash = Refused::errno(Errno::EXIST);
        if let Some(old) = self.at(&element.key, element.is_end) {
            let same =
                (&old.key, &old.end, &old.data) == (&element.key, &element.end, &element.data);
            return if same && !exclusive {
                Ok(false)
            } else {
                Err(clash)
            };
        }
        if let Some(end) = &element.end
            && self.at(end, false).is_some()
        {
            return Err(clash);
        }
        if self.overlaps(element) {
            return Err(clash);
        }
        self.last = element.number;
        let place = element.place(self);
        self.elements.insert(place, element.clone());
        self.count += 1;
        Ok(true)
    }
}

impl NfTables {
    pub(super) fn new_elements(
        &mut self,
        request: &Request<'_>,
        fields: &Fields<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refused> {
        let list = fields.need(attr::ELEMENTS)?;
        let table = self.find_table(request.family(), fields.need(attr::TABLE)?)?;
        let set = self.find_set(table, fields.need(attr::SET)?)?;
        let Some(holder) = self.ruleset.set_mut(table, set) else {
            return Ok(());
        };
        let exclusive = request.flags & EXCL != 0;
        for one in list.fields()?.iter() {
            let blame = |refused: Refused| one.refuse(refused.errno);
            let read = one
                .fields()
                .and_then(|fields| Element::read(holder, &fields, true));
            let element = Arc::new(read.map_err(blame)?);
            if holder.insert(&element, exclusive).map_err(blame)? {
                let what = What::NewElement {
                    table,
                    set,
                    element,
                };
                changes.push(Change::new(request, what));
            }
        }
        Ok(())
    }

    pub(super) fn delete_elements(
        &mut self,
        request: &Request<'_>,
        fields: &Fields<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<(), Refused> {
        let table = self.find_table(request.family(), fields.need(attr::TABLE)?)?;
        let set = self.find_set(table, fields.need(attr::SET)?)?;
        let Some(holder) = self.ruleset.set_mut(table, set) else {
            return Ok(());
        };
        let mut gone = |element: Arc<Element>| {
            let what = What::DeleteElement {
                table,
                set,
                element,
            };
            changes.push(Change::new(request, what));
        };
        let Some(list) = fields.get(attr::ELEMENTS) else {
            // The tree's first key is the highest one (`nft_rbtree_cmp`).
            let backwards = holder.has_intervals();
            let all = std::mem::take(&mut holder.elements).into_values();
            if backwards {
                all.rev().for_each(gone);
            } else {
                all.for_each(gone);
            }
            return Ok(());
        };
        for one in list.fields()?.iter() {
            let found = one.fields().and_then(|fields| holder.find(&fields));
            let found = found.map_err(|refused| one.refuse(refused.errno))?;
            let element = found.ok_or_else(|| one.refuse(Errno::NOENT))?;
            let place = element.place(holder);
            holder.elements.remove(&place);
            gone(element);
        }
        Ok(())
    }
}
