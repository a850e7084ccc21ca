//! A part of what turns a fragment into what it shall be.

use std::collections::BTreeSet;

use viprule_dataplane::{Content, Diff, Fingerprint, ObjectKey, State};

/// Cuts a diff to so many steps, where it has more. What others may want goes with the last part
/// only, and is no step. Every part is right for traffic: see [`Diff::truncate`].
pub(super) fn cut<K: ObjectKey, A, B>(diff: &mut Diff<'_, K, A, B>, steps: usize) -> bool {
    let deletes = diff.deletes.iter().filter(|(key, _)| !key.is_common());
    if diff.writes.len() + deletes.count() <= steps {
        return false;
    }
    diff.deletes.retain(|(key, _)| !key.is_common());
    diff.truncate(steps);
    true
}

/// What a fragment is once such a part is written. `held` is what there is of what it has, `own`,
/// and of what it wants and others have: of the latter it has what comes before its own last write,
/// so that nobody removes what that refers to.
pub(super) fn after<K: ObjectKey, V: Content>(
    own: &State<K, Fingerprint>,
    held: &State<K, Fingerprint>,
    desired: &State<K, V>,
    part: &Diff<'_, K, Fingerprint, V>,
) -> State<K, Fingerprint> {
    let deleted: BTreeSet<&K> = part.deletes.iter().map(|(key, _)| *key).collect();
    let last = part.writes.last().map(|write| write.key);
    let all_written = last.is_none() || !deleted.is_empty();
    let is_reached = |key: &K| all_written || last.is_some_and(|last| key <= last);
    let has = |key: &K| own.get(key).is_some() || (is_reached(key) && desired.get(key).is_some());
    let stays = held
        .iter()
        .filter(|(key, _)| !deleted.contains(key) && has(key));
    let written = part.writes.iter();
    let written = written.map(|write| (write.key.clone(), write.new.fingerprint()));
    stays.cloned().chain(written).collect()
}
