//! What is logged.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

thread_local! {
    /// What this thread has logged since somebody listens.
    static TEXT: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// The log of this thread, which is the test's whole runtime.
pub(crate) struct Log(());

struct ThisThread;

impl io::Write for ThisThread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        TEXT.with_borrow_mut(|text| {
            if let Some(text) = text {
                text.extend(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One subscriber for all threads, there before anything is logged: whether a line is of interest
/// is decided once for the whole process.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(|| ThisThread)
            .init();
    });
}

impl Log {
    pub(crate) fn listen() -> Self {
        install();
        TEXT.set(Some(Vec::new()));
        Self(())
    }

    /// The lines of this level (info, warnings, errors) that have these words.
    pub(crate) fn lines(&self, level: &str, words: &str) -> usize {
        let Self(()) = self;
        TEXT.with_borrow(|text| {
            let text = String::from_utf8_lossy(text.as_deref().unwrap_or_default());
            text.lines()
                .filter(|line| line.contains(&format!(" {level} ")) && line.contains(words))
                .count()
        })
    }
}
