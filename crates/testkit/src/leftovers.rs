//! All that other modes left in a network namespace, at once.

use nfnetlink::Family;
use viprule_writer::WriteError;
use viprule_writer::ipvs::Former;
use viprule_writer::leftovers::{self, Leftover, Removal, TableOf};

/// Looks for leftovers in the network namespace of the calling thread, in the order of removal.
pub fn find() -> Result<Vec<Leftover>, WriteError> {
    let mut found = leftovers::tables(&TableOf::ALL)?;
    if let Some(former) = Former::find(&Family::ALL)? {
        found.extend(former.leftovers());
    }
    Ok(found)
}

/// Removes all leftovers, whoever uses them, as far as the kernel lets them go.
///
/// Takes up to half a second where rules that used IP sets were removed right before.
pub fn remove() -> Result<Removal, WriteError> {
    let mut removal = leftovers::remove_tables(&TableOf::ALL)?;
    if let Some(mut former) = Former::find(&Family::ALL)? {
        let Removal { removed, left } = former.remove()?;
        removal.removed.extend(removed);
        removal.left.extend(left);
    }
    Ok(removal)
}
