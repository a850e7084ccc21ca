//! The one diff.
//!
//! Incremental sync, drift repair, dry run, takeover and cleanup all call [`diff()`]; nothing else
//! decides what is written.

use std::cmp::Ordering;

use crate::state::{Content, ObjectKey, State};

/// An object to create or to replace.
#[derive(Debug)]
pub struct Write<'a, K, A, B> {
    /// Which object.
    pub key: &'a K,
    /// What is there now; `None` where it has to be created.
    pub old: Option<&'a A>,
    /// What shall be there.
    pub new: &'a B,
}

/// What turns one state into another.
#[derive(Debug)]
pub struct Diff<'a, K, A, B> {
    /// To create or replace, in this order.
    pub writes: Vec<Write<'a, K, A, B>>,
    /// To remove after the writes, in this order.
    pub deletes: Vec<(&'a K, &'a A)>,
}

impl<K, A, B> Diff<'_, K, A, B> {
    /// True where both states say the same.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.deletes.is_empty()
    }

    /// Objects touched.
    pub fn len(&self) -> usize {
        self.writes.len() + self.deletes.len()
    }

    /// Keeps so many of the first steps at most. After those, as after any number of steps, no object
    /// refers to one that isn't there.
    pub fn truncate(&mut self, most: usize) {
        self.writes.truncate(most);
        self.deletes.truncate(most - self.writes.len());
    }
}

/// What to write so that `from` becomes `to`.
///
/// Writes come in key order and deletes in reverse key order, so that no step refers to an object
/// that isn't there (see [`ObjectKey`]). Objects that are not ours to remove are never deleted.
pub fn diff<'a, K: ObjectKey, A: Content, B: Content>(
    from: &'a State<K, A>,
    to: &'a State<K, B>,
) -> Diff<'a, K, A, B> {
    let mut writes = Vec::new();
    let mut deletes = Vec::new();
    let mut olds = from.iter().peekable();
    let mut news = to.iter().peekable();
    loop {
        let order = match (olds.peek(), news.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((old, _)), Some((new, _))) => old.cmp(new),
        };
        let old = if order.is_le() { olds.next() } else { None };
        let new = if order.is_ge() { news.next() } else { None };
        match (old, new) {
            (Some((key, old)), None) if key.is_removable() => deletes.push((key, old)),
            (Some((key, old)), Some((_, new))) if old.fingerprint() != new.fingerprint() => {
                writes.push(Write {
                    key,
                    old: Some(old),
                    new,
                });
            }
            (None, Some((key, new))) => writes.push(Write {
                key,
                old: None,
                new,
            }),
            _ => {}
        }
    }
    deletes.reverse();
    Diff { writes, deletes }
}
