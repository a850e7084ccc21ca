//! A program's output, collected by a thread for each stream.

use crate::error::{Error, Result};
use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Lines of one or more streams in order of arrival.
#[derive(Debug, Default)]
pub(super) struct Lines {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    open_streams: usize,
}

impl Lines {
    /// Collects from `stream` until its end.
    pub(super) fn follow(&mut self, name: &str, stream: impl Read + Send + 'static) -> Result<()> {
        self.shared.lock().open_streams += 1;
        let shared = Arc::clone(&self.shared);
        let collect = move || {
            for line in BufReader::new(stream)
                .split(b'\n')
                .map_while(std::io::Result::ok)
            {
                shared
                    .lock()
                    .lines
                    .push(String::from_utf8_lossy(&line).into_owned());
                shared.changed.notify_all();
            }
            shared.lock().open_streams -= 1;
            shared.changed.notify_all();
        };
        let spawned = thread::Builder::new().name(name.to_owned()).spawn(collect);
        spawned.map(drop).map_err(Error::io("starting a thread"))
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.shared.lock().lines.clone()
    }

    /// The first line from number `from` on that contains `part`, waiting at most `patience`.
    pub(super) fn find(
        &self,
        from: usize,
        part: &str,
        patience: Duration,
    ) -> Option<(usize, String)> {
        let matching = |state: &State| {
            let mut lines = state.lines.iter().enumerate().skip(from);
            lines
                .find(|(_, line)| line.contains(part))
                .map(|(n, line)| (n, line.clone()))
        };
        let mut found = None;
        self.shared.wait(patience, |state| {
            found = matching(state);
            found.is_some() || state.open_streams == 0
        });
        found
    }

    /// Whether all streams have ended.
    pub(super) fn is_complete(&self) -> bool {
        self.shared.lock().open_streams == 0
    }

    /// Waits for the end of all streams; a grandchild may hold them open, hence the limit.
    pub(super) fn complete(&self, patience: Duration) {
        self.shared.wait(patience, |state| state.open_streams == 0);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, patience: Duration, mut enough: impl FnMut(&State) -> bool) {
        let start = Instant::now();
        let mut state = self.lock();
        while !enough(&state) {
            let Some(left) = patience.checked_sub(start.elapsed()) else {
                return;
            };
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
