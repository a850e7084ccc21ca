//! Sets that are to hold more than they were made for.

use std::collections::HashSet;

use netlink_batch::Socket;

use super::{Changes, Error, Listing, Spec, create, destroy, list, swap};

/// Lets a set hold up to `max_elements`, with all its elements and whatever uses it.
///
/// A set's size is fixed when it is made. So a `twin` is made with the new size, filled with the
/// set's elements and swapped with it at one stroke; then it is destroyed with the old contents.
/// A set named `twin` that is there already, from an attempt that was cut short, is destroyed
/// first: the name must be one that nobody else uses.
///
/// A set that is large enough stays as it is. What others add or remove meanwhile is taken over.
/// [`Error::Differs`] says that the set is no hash of a type that this crate knows.
pub fn grow(socket: &mut Socket, name: &str, twin: &str, max_elements: u32) -> Result<(), Error> {
    destroy(socket, twin)?;
    let old = look(socket, name)?;
    let Some(Spec::Hash {
        kind,
        family,
        max_elements: now,
    }) = old.header.spec
    else {
        return Err(Error::Differs {
            name: name.to_owned(),
        });
    };
    if now >= max_elements {
        return Ok(());
    }
    let spec = Spec::Hash {
        kind,
        family,
        max_elements,
    };
    create(socket, twin, &spec)?;
    let mut elements = Changes::new();
    for entry in &old.entries {
        elements.add(twin, *entry, ());
    }
    let swapped = make(socket, &elements).and_then(|()| swap(socket, name, twin));
    if let Err(error) = swapped {
        // Nothing refers to it, and a later attempt destroys it otherwise.
        let _ = destroy(socket, twin);
        return Err(error);
    }
    // The twin has what the set had, with what has changed since it was read.
    let late = look(socket, twin)?;
    make(socket, &difference(name, &old, &late))?;
    destroy(socket, twin)?;
    Ok(())
}

fn look(socket: &mut Socket, name: &str) -> Result<Listing, Error> {
    list(socket, name)?.ok_or_else(|| Error::Missing {
        name: name.to_owned(),
    })
}

/// What makes a set that holds `before` hold `after`.
fn difference(name: &str, before: &Listing, after: &Listing) -> Changes<()> {
    let (before, after): (HashSet<_>, HashSet<_>) = (
        before.entries.iter().collect(),
        after.entries.iter().collect(),
    );
    let mut changes = Changes::new();
    for entry in before.difference(&after) {
        changes.remove(name, **entry, ());
    }
    for entry in after.difference(&before) {
        changes.add(name, **entry, ());
    }
    changes
}

fn make(socket: &mut Socket, changes: &Changes<()>) -> Result<(), Error> {
    match changes.send(socket)?.pop() {
        None => Ok(()),
        Some(refused) => Err(refused.error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipset::{Entry, Header};

    fn listing(ports: &[u16]) -> Listing {
        Listing {
            kind: "bitmap:port".to_owned(),
            header: Header::default(),
            entries: ports.iter().map(|port| Entry::Port(*port)).collect(),
            unreadable: 0,
        }
    }

    #[test]
    fn what_others_changed_meanwhile_is_taken_over() {
        let (before, after) = (listing(&[1, 2, 3]), listing(&[3, 4, 1]));
        let mut expected = Changes::new();
        expected.remove("s", Entry::Port(2), ());
        expected.add("s", Entry::Port(4), ());
        let changes = difference("s", &before, &after);
        assert_eq!(format!("{changes:?}"), format!("{expected:?}"));
        assert!(difference("s", &before, &listing(&[2, 3, 1])).is_empty());
    }
}
