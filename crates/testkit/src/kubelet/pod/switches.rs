//! What a test can do to a running pod.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::watch;

/// Switches of a pod's servers. New pods are ready, live and answer.
#[derive(Debug, Default)]
pub struct Switches {
    unready: AtomicBool,
    dead: AtomicBool,
    hanging: AtomicBool,
    holding: watch::Sender<bool>,
    held: AtomicU64,
    answered: AtomicU64,
}

impl Switches {
    /// What `/ready` and the gRPC services `""` and `ready` say.
    pub fn set_ready(&self, ready: bool) {
        self.unready.store(!ready, Ordering::Relaxed);
    }

    /// What `/live` and the gRPC service `live` say. A restart of a container sets it to true.
    pub fn set_live(&self, live: bool) {
        self.dead.store(!live, Ordering::Relaxed);
    }

    /// Requests that come while this is set are never answered. A restart of a container ends it.
    pub fn set_hanging(&self, hanging: bool) {
        self.hanging.store(hanging, Ordering::Relaxed);
    }

    /// Requests for `/held` wait while this is set. A restart of a container ends it.
    pub fn set_holding(&self, holding: bool) {
        self.holding.send_replace(holding);
    }

    /// How many requests for `/held` have come.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// How many requests were answered, probes included.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    pub(super) fn is_ready(&self) -> bool {
        !self.unready.load(Ordering::Relaxed)
    }

    pub(super) fn is_live(&self) -> bool {
        !self.dead.load(Ordering::Relaxed)
    }

    pub(super) fn is_hanging(&self) -> bool {
        self.hanging.load(Ordering::Relaxed)
    }

    /// Returns when requests for `/held` need not wait any more.
    pub(super) async fn let_go(&self) {
        self.held.fetch_add(1, Ordering::Relaxed);
        // The sender is a field of self, so that waiting can't fail.
        let _ = self.holding.subscribe().wait_for(|holding| !holding).await;
    }

    pub(super) fn count(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// A new process knows nothing of what ailed the old one.
    pub(super) fn restart(&self) {
        self.set_live(true);
        self.set_hanging(false);
        self.set_holding(false);
    }
}
