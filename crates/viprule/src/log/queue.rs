//! Lines on their way to where the log is read, which may be full, closed or not read at all.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Bytes that wait at most: thousands of lines, for a reader that is late.
const ROOM: usize = 1 << 20;
/// How long to wait where a stream takes nothing for now and was made not to block by whoever else
/// has it open.
const PAUSE: Duration = Duration::from_millis(20);

/// Lines that wait to be written. A line for which there is no room is dropped and counted: whoever
/// logs never waits.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<Box<[u8]>>,
    /// Of these lines and of the one that is being written.
    bytes: usize,
}

impl Queue {
    /// Adds a line, or counts it as lost.
    pub(super) fn push(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.bytes > 0 && waiting.bytes + line.len() > ROOM {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.bytes += line.len();
        waiting.lines.push_back(line.into());
        drop(waiting);
        self.changed.notify_all();
    }

    /// Lines that were not written and never will be.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Waits until every line is written or lost, and no longer than this.
    pub(super) fn drain(&self, limit: Duration) {
        let busy = |waiting: &mut Waiting| waiting.bytes > 0;
        let waiting = self.lock();
        drop(self.changed.wait_timeout_while(waiting, limit, busy));
    }

    /// Writes lines as they come, for ever. An error costs the line that it befell. As soon as the
    /// stream takes lines again, `tell` is told how many were lost so far.
    pub(super) fn write_to(&self, mut stream: impl Write, tell: impl Fn(u64)) {
        let mut told = 0;
        let mut torn = false;
        loop {
            let line = self.next();
            let outcome = write_line(&mut stream, &line, &mut torn);
            if outcome.is_err() {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
            let is_last = {
                let mut waiting = self.lock();
                waiting.bytes -= line.len();
                waiting.bytes == 0
            };
            let lost = self.lost();
            // There is room for what is told then.
            if outcome.is_ok() && is_last && lost > told {
                told = lost;
                tell(lost);
            }
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Box<[u8]> {
        let mut waiting = self.lock();
        loop {
            if let Some(line) = waiting.lines.pop_front() {
                return line;
            }
            let woken = self.changed.wait(waiting);
            waiting = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a line. One of which only a part was written is ended before the next one.
fn write_line(stream: &mut impl Write, line: &[u8], torn: &mut bool) -> io::Result<()> {
    if *torn {
        write_all(stream, b"\n", &mut false)?;
        *torn = false;
    }
    write_all(stream, line, torn)
}

fn write_all(stream: &mut impl Write, mut bytes: &[u8], torn: &mut bool) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                *torn = !bytes.is_empty();
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                // Nobody waits for this thread, and the queue has its bound.
                io::ErrorKind::WouldBlock => thread::sleep(PAUSE),
                _ => return Err(error),
            },
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// A stream that does with each write what it is told to.
    struct Scripted {
        script: Receiver<Act>,
        written: Sender<Vec<u8>>,
    }

    enum Act {
        Take(usize),
        Fail(io::ErrorKind),
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Blocks for as long as nothing is said.
            match self.script.recv().map_err(io::Error::other)? {
                Act::Take(most) => {
                    let taken = &bytes[..most.min(bytes.len())];
                    self.written.send(taken.to_vec()).unwrap();
                    Ok(taken.len())
                }
                Act::Fail(kind) => Err(kind.into()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct World {
        queue: Arc<Queue>,
        script: Sender<Act>,
        written: Receiver<Vec<u8>>,
    }

    impl World {
        fn new() -> Self {
            let queue = Arc::new(Queue::default());
            let (script, acts) = channel();
            let (taken, written) = channel();
            let stream = Scripted {
                script: acts,
                written: taken,
            };
            let writer = Arc::clone(&queue);
            thread::spawn(move || {
                let tell = |lost| writer.push(format!("{lost} lost\n").as_bytes());
                writer.write_to(stream, tell);
            });
            Self {
                queue,
                script,
                written,
            }
        }

        fn act(&self, acts: impl IntoIterator<Item = Act>) {
            for act in acts {
                self.script.send(act).unwrap();
            }
        }

        fn written(&self) -> String {
            self.queue.drain(LONG);
            let bytes = self.written.try_iter().flatten().collect();
            String::from_utf8(bytes).unwrap()
        }
    }

    #[test]
    fn lines_that_fail_are_counted_and_told_once_the_stream_works() {
        let world = World::new();
        world.queue.push(b"one\n");
        world.queue.push(b"two\n");
        world.act([
            Act::Fail(io::ErrorKind::BrokenPipe),
            Act::Fail(io::ErrorKind::StorageFull),
        ]);
        assert_eq!(world.written(), "");
        assert_eq!(world.queue.lost(), 2);
        world.queue.push(b"three\n");
        world.act([Act::Take(99), Act::Take(99)]);
        assert_eq!(world.written(), "three\n2 lost\n");
        world.queue.push(b"four\n");
        world.act([Act::Take(99)]);
        assert_eq!(world.written(), "four\n");
    }

    #[test]
    fn a_line_that_is_cut_short_does_not_run_into_the_next() {
        let world = World::new();
        world.queue.push(b"first\n");
        world.act([Act::Take(3), Act::Fail(io::ErrorKind::StorageFull)]);
        assert_eq!(world.written(), "fir");
        world.queue.push(b"second\n");
        world.act((0..3).map(|_| Act::Take(99)));
        assert_eq!(world.written(), "\nsecond\n1 lost\n");
    }

    #[test]
    fn a_stream_that_takes_nothing_for_now_loses_nothing() {
        let world = World::new();
        world.queue.push(b"line\n");
        world.act([
            Act::Fail(io::ErrorKind::WouldBlock),
            Act::Fail(io::ErrorKind::Interrupted),
            Act::Take(2),
            Act::Take(99),
        ]);
        assert_eq!(world.written(), "line\n");
        assert_eq!(world.queue.lost(), 0);
    }

    #[test]
    fn nobody_waits_for_a_stream_that_is_not_read() {
        let world = World::new();
        let line = [b'x'; 1024];
        let many = 2 * ROOM / line.len();
        for _ in 0..many {
            world.queue.push(&line);
        }
        let lost = world.queue.lost();
        assert_eq!(lost, many as u64 / 2);
        // An end does not wait for it, either.
        world.queue.drain(Duration::ZERO);
        world.act((0..=many).map(|_| Act::Take(usize::MAX)));
        let written = world.written();
        assert!(written.ends_with(&format!("x{lost} lost\n")));
        assert_eq!(written.len(), ROOM + format!("{lost} lost\n").len());
    }
}
