//! A part of what turns a fragment into what it shall be.

use std::collections::BTreeSet;

use viprule_dataplane::{Content, Diff, Fingerprint, ObjectKey, State, Write};

/// Cuts a diff to so many steps, where it has more: writes by their sizes ([`Content::size`]), and
/// removals. What others may want goes with the last part only, and is no step. Every part is right for
/// traffic: see [`Diff::truncate`].
pub(crate) fn cut<K: ObjectKey, A, B: Content>(diff: &mut Diff<'_, K, A, B>, steps: usize) -> bool {
    let mut cost = 0;
    let fitting = diff.writes.iter().take_while(|write| {
        // One object at least, however large it is.
        let fits = cost < steps;
        cost += write.new.size();
        fits
    });
    let writes = fitting.count();
    let deletes = diff.deletes.iter().filter(|(key, _)| !key.is_common());
    let fits = writes == diff.writes.len() && cost + deletes.count() <= steps;
    if fits {
        return false;
    }
    diff.deletes.retain(|(key, _)| !key.is_common());
    let deletes = steps.saturating_sub(cost);
    if writes < diff.writes.len() {
        diff.truncate(writes);
    } else {
        diff.truncate(writes + deletes.max(1));
    }
    true
}

/// What a fragment is once such a part is written. `held` is what there is of what it has, `own`,
/// and of what it wants and others have: of the latter it has what comes before its own last write,
/// so that nobody removes what that refers to.
pub(crate) fn after<K: ObjectKey, V: Content>(
    own: &State<K, Fingerprint>,
    held: &State<K, Fingerprint>,
    desired: &State<K, Fingerprint>,
    part: &Diff<'_, K, Fingerprint, V>,
) -> State<K, Fingerprint> {
    let deleted: BTreeSet<&K> = part.deletes.iter().map(|(key, _)| *key).collect();
    let last = part.writes.last().map(|write| write.key);
    let all_written = last.is_none() || !deleted.is_empty();
    let is_reached = |key: &K| all_written || last.is_some_and(|last| key <= last);
    // Both are in key order.
    let mut own = own.iter().map(|(key, _)| key).peekable();
    let mut is_own = |key: &K| {
        while own.next_if(|own| *own < key).is_some() {}
        own.peek() == Some(&key)
    };
    let stays = held.iter().filter(|(key, _)| {
        let has = is_own(key) || (is_reached(key) && desired.get(key).is_some());
        has && !deleted.contains(key)
    });
    let written = part.writes.iter();
    let written = written.map(|write| (write.key.clone(), write.new.fingerprint()));
    stays.cloned().chain(written).collect()
}

/// The same diff with the contents that the fingerprints stand for.
pub(crate) fn with_contents<'a, K: ObjectKey, A, V>(
    diff: Diff<'a, K, A, Fingerprint>,
    desired: &'a State<K, V>,
) -> Diff<'a, K, A, V> {
    // Both are in key order.
    let mut contents = desired.iter();
    let writes = diff.writes.into_iter().filter_map(|write| {
        let (key, new) = contents.find(|(key, _)| key == write.key)?;
        let old = write.old;
        Some(Write { key, old, new })
    });
    Diff {
        writes: writes.collect(),
        deletes: diff.deletes,
    }
}
