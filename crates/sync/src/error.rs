//! Why a sync failed.

use viprule_writer::WriteError;

use crate::FragmentId;

/// How often the kernel is looked at again in one sync because others keep changing our objects
/// or an answer was lost.
pub(crate) const ATTEMPTS: usize = 8;

/// Why a sync failed. What the kernel had before is still there, or is found again by the next
/// reconciliation.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The kernel can't be read or written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The kernel refuses what every Service needs.
    #[error("the kernel refused the {share}: {reason}")]
    Refused {
        /// The share of the state.
        share: FragmentId,
        /// What the kernel said.
        reason: String,
    },
    /// Somebody else keeps changing our objects.
    #[error(
        "gave up after {ATTEMPTS} attempts: another program keeps changing our objects; look for a second service proxy on this node"
    )]
    Contended,
}
