//! What others did to our objects, and putting it right.

use tokio::time::Instant;
use viprule_dataplane::Scope;
use viprule_sync::SyncError;
use viprule_writer::{PieceOf, Writer as _};

use super::SyncLoop;
use crate::agent::telemetry::{Cause, Telemetry};
use crate::mode::Mode;

/// What is known of others.
#[derive(Debug, Default)]
pub(in crate::agent) struct Foreign {
    /// The kernel tells of what they do.
    pub(super) is_told: bool,
    /// They may have done something since the writer was last asked.
    pub(super) unheard: bool,
    /// They touched what is ours, and it is not put right.
    pub(super) differs: bool,
    /// Who did.
    by: Vec<String>,
}

impl Foreign {
    /// The kernel was looked at or written. What was told meanwhile has woken nobody.
    pub(super) fn attempted(&mut self) {
        (self.unheard, self.differs) = (self.is_told, false);
    }
}

impl<M: Mode> SyncLoop<M> {
    /// Asks what others did, and puts it right, unless somebody fights over it.
    pub(super) fn hear(&mut self) -> Result<(), SyncError> {
        let Some(touched) = self.ask()? else {
            return Ok(());
        };
        if touched.is_empty() {
            return Ok(());
        }
        if self.timing.repair_backoff.is_paused(Instant::now()) {
            let by = self.foreign.by.join(", ");
            self.telemetry.waits(&format!(
                "another program keeps changing our rules, the next repair waits ({by})"
            ));
            return Ok(());
        }
        self.repair(touched, Scope::nothing())
    }

    /// What others touched; `None` where that can't be told now.
    fn ask(&mut self) -> Result<Option<Scope<PieceOf<M::Writer>>>, SyncError> {
        self.foreign.unheard = false;
        let changes = match self.syncer.writer().foreign_changes() {
            Ok(changes) => changes,
            Err(error) => {
                let by = Cause::Foreign(Vec::new());
                self.attempt(&by, |_| Err(error.into()))?;
                return Ok(None);
            }
        };
        let differs = !changes.scope.is_empty();
        if !differs {
            // It was put right along with something else.
            self.foreign.by.clear();
        } else if !self.foreign.differs {
            self.telemetry.requested();
        }
        self.foreign.differs = differs;
        if !changes.by.is_empty() {
            self.foreign.by = changes.by;
        }
        Ok(Some(changes.scope))
    }

    /// The timer: where nobody tells of changes, the kernel is read. Nothing else is, as long as it
    /// says that nobody has changed anything.
    pub(super) fn check(&mut self) -> Result<(), SyncError> {
        let outcome = M::check_node(&self.resolved, self.syncer.dataplane());
        let Telemetry {
            health, metrics, ..
        } = &self.telemetry;
        self.host.looked(&outcome, M::VITAL, health, metrics);
        if let Some(touched) = self.ask()? {
            let unwatched = self.syncer.writer().unwatched();
            self.repair(touched, unwatched)?;
        }
        if self.timing.retry_at.is_none() && self.syncer.has_refused() {
            self.syncer.release_refused();
            return self.sync(&Cause::Period);
        }
        match self.syncer.ask_again() {
            Ok(true) => return self.sync(&Cause::Period),
            Ok(false) => {}
            Err(error) => tracing::warn!("what this kernel lacked it may still lack: {error}"),
        }
        Ok(())
    }

    /// Looks at what others touched, and at `more`, and puts it right.
    fn repair(
        &mut self,
        touched: Scope<PieceOf<M::Writer>>,
        more: Scope<PieceOf<M::Writer>>,
    ) -> Result<(), SyncError> {
        let cause = if touched.is_empty() {
            Cause::Period
        } else {
            Cause::Foreign(std::mem::take(&mut self.foreign.by))
        };
        let mut scope = touched;
        scope.extend(more);
        if scope.is_empty() {
            return Ok(());
        }
        // What is written then may be ours.
        let owed = self.owes;
        let repaired = self.attempt(&cause, |syncer| syncer.reconcile(scope))?;
        if !repaired {
            return Ok(());
        }
        let Cause::Foreign(by) = cause else {
            if !owed {
                tracing::warn!("another program changed what is ours");
            }
            return Ok(());
        };
        let by = by.join(", ");
        tracing::warn!(by, "another program changed our rules");
        if let Some(pause) = self.timing.repair_backoff.repaired(Instant::now()) {
            tracing::error!(
                by,
                ?pause,
                "another program keeps changing our rules, waiting before the next repair; \
                 look for a second service proxy on this node"
            );
        }
        Ok(())
    }
}
