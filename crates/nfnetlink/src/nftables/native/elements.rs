//! Elements written and read, many at once.

use netlink_batch::{AttrWriter, Attrs, Errno, Error, Message, Socket};

use super::TableId;
use super::element::{Element, ListedElement, Piece, intervals};
use super::set::{Layout, Set};
use crate::nfgenmsg;
use crate::nftables::uapi::{element as attr, op};
use crate::nftables::{Transaction, by_kind, pick};
use netlink_batch::message::flags::CREATE;

/// Bytes of elements in one message. A nest of attributes ends at 64 KiB.
const MESSAGE: usize = 60 << 10;
/// Elements that are asked for at once. Each is answered by a message of its own, and all answers
/// have to fit into a receive buffer of usual size.
const ASKED: usize = 128;

impl<T> Transaction<T> {
    /// Adds elements to a set or map, in as few messages as hold them.
    ///
    /// What is there already with the same value stays as it is, its counters and its timeout, too.
    /// With another value it is refused (EEXIST): remove it first, in the same transaction. So are
    /// ranges that overlap others.
    pub fn add_elements<'e>(
        &mut self,
        table: TableId<'_>,
        set: &Set,
        elements: impl IntoIterator<Item = &'e Element>,
    ) {
        self.put_elements(op::NEW_ELEMENT, table, set, elements);
    }

    /// Removes elements from a set or map, by their keys. One that is not there is refused (ENOENT).
    pub fn delete_elements<'e>(
        &mut self,
        table: TableId<'_>,
        set: &Set,
        elements: impl IntoIterator<Item = &'e Element>,
    ) {
        self.put_elements(op::DEL_ELEMENT, table, set, elements);
    }

    /// Removes all elements of a set or map.
    pub fn flush_set(&mut self, table: TableId<'_>, name: &str) {
        self.change(op::DEL_ELEMENT, 0, table.family, |attrs| {
            place(attrs, table, name);
        });
    }

    fn put_elements<'e>(
        &mut self,
        operation: u16,
        table: TableId<'_>,
        set: &Set,
        elements: impl IntoIterator<Item = &'e Element>,
    ) {
        let layout = set.layout();
        let adding = operation == op::NEW_ELEMENT;
        let flags = if adding { CREATE } else { 0 };
        let mut elements = elements.into_iter().peekable();
        while elements.peek().is_some() {
            self.change(operation, flags, table.family, |attrs| {
                place(attrs, table, &set.name);
                attrs.nest(attr::ELEMENTS, |list| {
                    let (mut len, mut number) = (0, 0);
                    while let Some(element) = elements.next_if(|element| {
                        len += element.wire_len();
                        number == 0 || len <= MESSAGE
                    }) {
                        element.put(list, layout, adding, &mut number);
                    }
                });
            });
        }
    }
}

fn place(attrs: &mut AttrWriter<'_>, table: TableId<'_>, set: &str) {
    attrs.str(attr::TABLE, table.name);
    attrs.str(attr::SET, set);
}

/// Hands each element of a `NFT_MSG_NEWSETELEM` message to `each`.
fn read(message: &Message<'_>, each: &mut impl FnMut(Piece)) -> Result<(), Error> {
    let (_, attrs) = message.split::<4>()?;
    let found = by_kind::<3>(attrs)?;
    let list = pick(&found, attr::ELEMENTS).map_or_else(|| Attrs::new(&[]), |attr| attr.nested());
    for element in list {
        each(Piece::read(element?.nested())?);
    }
    Ok(())
}

/// The elements of a `NFT_MSG_NEWSETELEM` message about this set: an answer, a notification or a
/// request.
pub fn elements_of(set: &Set, message: &Message<'_>) -> Result<Vec<ListedElement>, Error> {
    let mut pieces = Vec::new();
    read(message, &mut |piece| pieces.push(piece))?;
    Ok(match set.layout() {
        Layout::Intervals => intervals(pieces),
        _ => pieces.into_iter().map(|piece| piece.listed).collect(),
    })
}

/// Hands each element of a set or map to `each`, in the kernel's order; intervals come in their own.
/// A set that does not exist has none.
///
/// The kernel takes time for it that grows with the square of the elements: 50 ms for 50,000, and
/// 1.5 s for 220,000. [`find_elements`] asks for those that one knows.
///
/// While the kernel's table grows, which it does in the background after many elements came, an element
/// may be handed on twice and another one not at all, without an error
/// (`net/netfilter/nft_set_hash.c`).
pub fn elements(
    socket: &mut Socket,
    table: TableId<'_>,
    set: &Set,
    mut each: impl FnMut(ListedElement),
) -> Result<(), Error> {
    let header = nfgenmsg(table.family.number());
    let mut pieces = Vec::new();
    let layout = set.layout();
    let result = socket.dump(
        op::GET_ELEMENT,
        &header,
        |attrs| place(attrs, table, &set.name),
        |message| {
            read(&message, &mut |piece| match layout {
                Layout::Intervals => pieces.push(piece),
                _ => each(piece.listed),
            })
        },
    );
    match result {
        Ok(()) => {
            intervals(pieces).into_iter().for_each(each);
            Ok(())
        }
        Err(error) if error.errno() == Some(Errno::NOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Looks for elements by their keys and hands those that are there to `each`, with their place in
/// `wanted`; costs about 2 µs for an element.
///
/// Intervals of one field are compared with a list of all, as the kernel finds those that have a
/// key in them and not those that are equal to one.
pub fn find_elements(
    socket: &mut Socket,
    table: TableId<'_>,
    set: &Set,
    wanted: &[&Element],
    mut each: impl FnMut(usize, ListedElement),
) -> Result<(), Error> {
    if set.layout() == Layout::Intervals {
        let mut all = Vec::new();
        elements(socket, table, set, |listed| all.push(listed))?;
        for (place, element) in wanted.iter().enumerate() {
            let same = |listed: &&ListedElement| {
                let end = element.end.as_ref().filter(|end| **end != element.key);
                listed.element.key == element.key && listed.element.end.as_ref() == end
            };
            if let Some(listed) = all.iter().find(same) {
                each(place, listed.clone());
            }
        }
        return Ok(());
    }
    let mut next = 0;
    while let Some(rest) = wanted.get(next..).filter(|rest| !rest.is_empty()) {
        let asked = rest.get(..ASKED.min(rest.len())).unwrap_or_default();
        let mut answered = 0;
        let result = ask(socket, table, set, asked, |listed| {
            each(next + answered, listed);
            answered += 1;
        });
        match result {
            Ok(()) => next += asked.len(),
            // The kernel answers in order and ends at the first that is not there, or that it can't
            // have: there is no such set.
            Err(error) if error.errno() == Some(Errno::NOENT) => next += answered + 1,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn ask(
    socket: &mut Socket,
    table: TableId<'_>,
    set: &Set,
    asked: &[&Element],
    mut each: impl FnMut(ListedElement),
) -> Result<(), Error> {
    let header = nfgenmsg(table.family.number());
    let fill = |attrs: &mut AttrWriter<'_>| {
        place(attrs, table, &set.name);
        attrs.nest(attr::ELEMENTS, |list| {
            let mut number = 0;
            for element in asked {
                element.put(list, set.layout(), false, &mut number);
            }
        });
    };
    socket.request(op::GET_ELEMENT, 0, &header, fill, |message| {
        read(&message, &mut |piece| each(piece.listed))
    })
}
