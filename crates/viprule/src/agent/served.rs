//! How many Services the kernel serves, before anybody has told which there are.

use std::time::Duration;

use nfnetlink::Family;
use tokio::time;
use viprule_dataplane::{Dataplane, Scope};
use viprule_sync::WriterFor;
use viprule_writer::WriteError;
use viprule_writer::backend::Backend;

use crate::mode::{Mode, ProxyMode, with_mode};

/// How long it takes until a kernel that can't be read is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Asks this kernel.
#[derive(Debug, Clone)]
pub(super) struct Served {
    pub(super) mode: ProxyMode,
    pub(super) backend: Backend,
    pub(super) families: Vec<Family>,
}

impl Served {
    /// How many Services with endpoints it serves. Asks until there is an answer: a kernel that
    /// can't be read isn't written either.
    pub(super) async fn count(&self) -> Result<usize, WriteError> {
        loop {
            let error = match self.count_once().await {
                Ok(count) => return Ok(count),
                Err(error) if error.is_final() => return Err(error),
                Err(error) => error,
            };
            tracing::warn!(
                "how many Services are served already is not known, asking again: {error}"
            );
            time::sleep(AGAIN).await;
        }
    }

    async fn count_once(&self) -> Result<usize, WriteError> {
        if self.backend == Backend::Nft {
            return self.try_to_count();
        }
        let asked = self.clone();
        // The programs may take long, and signals are not to wait for them.
        let count = tokio::task::spawn_blocking(move || asked.try_to_count()).await;
        count.unwrap_or_else(|error| {
            let operation = "counting the Services that are served";
            Err(WriteError::failed(operation, error))
        })
    }

    fn try_to_count(&self) -> Result<usize, WriteError> {
        with_mode!(self.mode, M => {
            let mut writer = M::open(self.backend, &self.families)?;
            count_served::<<M as Mode>::Dataplane, _>(&mut writer)
        })
    }
}

/// Counts the Services with endpoints that the kernel serves, by its frontends alone.
pub fn count_served<D: Dataplane, W: WriterFor<D>>(writer: &mut W) -> Result<usize, WriteError> {
    let frontends = writer.observe(&Scope::Pieces(D::frontends()))?;
    Ok(D::served(&frontends))
}
