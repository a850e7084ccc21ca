//! A text that takes time to work out, once at a time, for all who wait for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::body::Bytes;
use tokio::sync::oneshot;

use super::Fallible;

/// A text, or what went wrong.
type Outcome = Result<Bytes, String>;

/// Works the text out in a thread of its own, one at a time. Whoever asks while that goes on waits
/// for the next one, together with all others who do: work is bounded by itself and not by how many
/// ask, or go away before they are answered.
#[derive(Clone)]
pub(super) struct Reading {
    read: Fallible,
    asked: Arc<Mutex<Asked>>,
}

#[derive(Default)]
struct Asked {
    /// A thread works, and answers these when it is done.
    works: bool,
    waiting: Vec<oneshot::Sender<Outcome>>,
}

impl Reading {
    pub(super) fn of(read: Fallible) -> Self {
        Self {
            read,
            asked: Arc::default(),
        }
    }

    /// The text as it is now or later.
    pub(super) async fn take(&self) -> Outcome {
        let (tell, told) = oneshot::channel();
        let works = {
            let mut asked = self.lock();
            // Those who went away are not kept.
            asked.waiting.retain(|waiting| !waiting.is_closed());
            asked.waiting.push(tell);
            std::mem::replace(&mut asked.works, true)
        };
        if !works {
            let reading = self.clone();
            // Not awaited: it goes on when who asked first is gone.
            drop(tokio::task::spawn_blocking(move || reading.work()));
        }
        let ended = || Err("the reading was given up, ask again".to_owned());
        told.await.unwrap_or_else(|_| ended())
    }

    /// Reads for as long as somebody waits.
    fn work(&self) {
        // A panic must not leave it to nobody.
        let _end = End(self);
        loop {
            let mut waiting = {
                let mut asked = self.lock();
                asked.waiting.retain(|waiting| !waiting.is_closed());
                if asked.waiting.is_empty() {
                    asked.works = false;
                    return;
                }
                std::mem::take(&mut asked.waiting)
            };
            let outcome = (self.read)()
                .map(Bytes::from)
                .map_err(|error| format!("{error:#}"));
            for waiting in waiting.drain(..) {
                // Who went away meanwhile needs no answer.
                let _ = waiting.send(outcome.clone());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of the thread that works, by a panic.
struct End<'r>(&'r Reading);

impl Drop for End<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            *self.0.lock() = Asked::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use futures_util::FutureExt as _;

    use super::*;

    /// A reading that waits for a word each time, and counts.
    fn slow() -> (Reading, mpsc::Sender<()>, Arc<AtomicUsize>) {
        let (go_on, word) = mpsc::channel();
        let word = Mutex::new(word);
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        let read = move || {
            word.lock().unwrap().recv()?;
            Ok(counter.fetch_add(1, Ordering::SeqCst).to_string())
        };
        (Reading::of(Arc::new(read)), go_on, count)
    }

    async fn until_it_works(reading: &Reading) {
        // It has taken those who wait when there are none left.
        while !reading.lock().waiting.is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_asks_meanwhile_shares_the_next_reading() {
        let (reading, go_on, count) = slow();
        let mut first = Box::pin(reading.take());
        assert!(first.as_mut().now_or_never().is_none());
        until_it_works(&reading).await;
        let mut others: Vec<_> = (0..50).map(|_| Box::pin(reading.take())).collect();
        for other in &mut others {
            assert!(other.as_mut().now_or_never().is_none());
        }
        go_on.send(()).unwrap();
        assert_eq!(first.await.unwrap(), "0");
        go_on.send(()).unwrap();
        for other in others {
            assert_eq!(other.await.unwrap(), "1");
        }
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn nobody_reads_for_who_went_away() {
        let (reading, go_on, count) = slow();
        for _ in 0..300 {
            let mut asker = Box::pin(reading.take());
            assert!(asker.as_mut().now_or_never().is_none());
        }
        // The first may be read for already; the others are gone.
        let mut last = Box::pin(reading.take());
        assert!(last.as_mut().now_or_never().is_none());
        assert!(reading.lock().waiting.len() <= 1);
        go_on.send(()).unwrap();
        go_on.send(()).unwrap();
        last.await.unwrap();
        assert!(count.load(Ordering::SeqCst) <= 2);
    }

    #[tokio::test]
    async fn a_panic_is_answered_and_the_next_reading_works() {
        let panics = AtomicUsize::new(0);
        let read = move || {
            assert!(panics.fetch_add(1, Ordering::SeqCst) > 0, "the first fails");
            Ok("text".to_owned())
        };
        let reading = Reading::of(Arc::new(read));
        assert!(reading.take().await.is_err());
        while reading.lock().works {
            tokio::task::yield_now().await;
        }
        assert_eq!(reading.take().await.unwrap(), "text");
    }
}
