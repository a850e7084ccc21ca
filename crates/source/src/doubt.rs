//! When what a source says is too little to be believed at once.

/// Of fewer objects any number may be missing.
const FEW: usize = 10;

/// More than half of at least ten are missing.
pub(crate) const fn is_most(missing: usize, known: usize) -> bool {
    known >= FEW && 2 * missing > known
}
