//! An API server in memory, behind a [`kube::Client`]: lists by pages and as streams, watches with
//! bookmarks, versions, compaction, restores; and on request each odd answer that a real or broken
//! server, or what stands before it, ever gave.
//!
//! It answers on the clock of the runtime that it is used in, and by chance from a seed.

mod answer;
mod answering;
mod list;
mod oddity;
mod store;
mod stream;
#[cfg(test)]
mod tests;

pub use answering::answering;
pub use oddity::{Oddity, Streams, Weather};
pub use store::{Kind, Snapshot};

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Request;
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use tokio::time::{Duration, Instant};

use crate::chance::Chance;
use oddity::Lies;
use store::Store;
use stream::Watcher;

/// How long a restore takes.
const RESTORE: Duration = Duration::from_secs(8);

/// An API server; clones are the same one.
#[derive(Clone)]
pub struct ApiServer(Arc<Mutex<State>>);

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer").finish_non_exhaustive()
    }
}

struct State {
    store: Store,
    chance: Chance,
    weather: Weather,
    lies: Lies,
    watchers: Vec<Watcher>,
    open: list::Open,
    /// What happened since somebody asked.
    log: Vec<String>,
    requests: u64,
    /// Nobody is answered before.
    away_until: Instant,
}

impl ApiServer {
    /// One without objects, at a version that is not the first.
    pub fn new(chance: Chance) -> Self {
        Self(Arc::new(Mutex::new(State {
            store: Store::new(),
            chance,
            weather: Weather::default(),
            lies: Lies::default(),
            watchers: Vec::new(),
            open: list::Open::default(),
            log: Vec::new(),
            requests: 0,
            away_until: Instant::now(),
        })))
    }

    /// Whoever asks from now on knows nothing yet, and can't tell that most is missing.
    pub fn forget(&self) {
        self.state().lies.anew();
    }

    /// A client whose requests come here.
    ///
    /// To be called in a runtime.
    pub fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { answer::answer(server, request).await }
        });
        Client::new(service, "default")
    }

    /// Creates or replaces an object, and tells who watches. Its version is the server's next one.
    pub fn put(&self, kind: Kind, object: Value) {
        let mut state = self.state();
        let event = state.store.put(kind, object);
        state.tell(kind, &event);
    }

    /// Deletes an object, and tells who watches. Nothing where there is none.
    pub fn delete(&self, kind: Kind, namespace: &str, name: &str) {
        let mut state = self.state();
        if let Some(event) = state.store.delete(kind, namespace, name) {
            state.tell(kind, &event);
        }
    }

    /// Tells who watches how far the server is.
    pub fn bookmark(&self) {
        let mut state = self.state();
        for kind in Kind::ALL {
            let line = state.store.bookmark(kind, false);
            state.send(kind, &line);
        }
    }

    /// Forgets how the present state came to be.
    pub fn compact(&self) {
        self.state().store.compact();
    }

    /// What there is.
    pub fn snapshot(&self) -> Snapshot {
        self.state().store.snapshot()
    }

    /// Goes back to what there was, versions too, as after a restore of etcd. Connections break, and
    /// nobody is answered for some seconds.
    pub fn restore(&self, snapshot: &Snapshot) {
        let mut state = self.state();
        state.away_until = Instant::now() + RESTORE;
        state.store.restore(snapshot);
        state.watchers.clear();
    }

    /// Ends all watches, in the middle of what they were to tell.
    pub fn cut(&self) {
        self.state().watchers.clear();
    }

    /// How it answers from now on. Who is kept waiting already goes on waiting.
    pub fn set_weather(&self, weather: Weather) {
        self.state().weather = weather;
    }

    /// What it did since the last question, line by line.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.state().requests
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Tells who watches of an event.
    fn tell(&mut self, kind: Kind, line: &str) {
        let event = (self.store.version(), line);
        let (chance, weather, log) = (&mut self.chance, &self.weather, &mut self.log);
        self.watchers.retain_mut(|watcher| {
            watcher.kind() != kind || watcher.tell(event, chance, weather, log)
        });
    }

    /// Tells who watches exactly this.
    fn send(&mut self, kind: Kind, line: &str) {
        self.watchers
            .retain_mut(|watcher| watcher.kind() != kind || watcher.send(line));
    }
}
