//! A thread inside a namespace that runs asynchronous work until it is dropped.

use crate::error::{Error, Result};
use crate::netns::Namespace;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::oneshot;

/// The thread; dropping it stops the work, its tasks included, and waits for the end.
#[derive(Debug)]
pub(crate) struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts `work` and everything that it spawns on one thread of `namespace`. Threads for
    /// blocking calls are there as well.
    pub(crate) fn start<W: Future<Output = ()>>(
        namespace: &Namespace,
        name: &str,
        work: impl FnOnce() -> W + Send + 'static,
    ) -> Result<Self> {
        let namespace = namespace.try_clone()?;
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = std::sync::mpsc::channel();
        let run = move || {
            let runtime = namespace.enter_thread().and_then(|()| {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map_err(Error::io("starting a runtime"))
            });
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ = ready.send(Err(error));
                    return;
                }
            };
            let _ = ready.send(Ok(()));
            runtime.block_on(async move {
                tokio::select! {
                    biased;
                    _ = stopped => {}
                    () = work() => {}
                }
            });
            // Programs of probes end by their own limits.
            runtime.shutdown_timeout(Duration::from_secs(2));
        };
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .map_err(Error::io("starting a thread"))?;
        started.recv().unwrap_or(Ok(()))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
