//! Files that an operator names: opened without a wait and read up to a bound.
//!
//! Whoever opens a named pipe waits for its other end, and a device has no end. Only regular files
//! are read, and where the program ends after one look, pipes that the command line names.

use std::fmt;
use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// Most of a file with settings, such as a kubeconfig, bytes.
pub const SETTINGS_LIMIT: u64 = 1 << 20;
/// Most of a manifest, bytes: ten times what 10,000 Services with their endpoints take.
pub const MANIFEST_LIMIT: u64 = 256 << 20;

/// What may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinds {
    /// Regular files.
    Regular,
    /// Pipes and character devices as well, such as `<(…)` of a shell and `/dev/stdin`. They can
    /// be read once, and it may take as long as they like.
    Pipes,
}

/// What opening and reading refuses by itself, within an [`io::Error`].
#[derive(Debug)]
enum Refusal {
    Kind(&'static str),
    Silent,
    TooLong(u64),
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => write!(f, "is {kind}; only regular files are read"),
            Self::Silent => {
                f.write_str("is a pipe, and nothing came through it: see what writes to it")
            }
            Self::TooLong(limit) => write!(
                f,
                "is longer than {} MiB, the most that is read of one file",
                limit >> 20
            ),
        }
    }
}

/// An error of this module in words, without its number: `is a pipe; …` or `can't be read: …`.
pub fn describe(error: &io::Error) -> String {
    if let Some(refusal) = refusal(error) {
        return refusal.to_string();
    }
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    format!("can't be read: {}", text.to_lowercase())
}

/// Whether this module refuses a file that could be opened.
pub fn is_refusal(error: &io::Error) -> bool {
    refusal(error).is_some()
}

fn refusal(error: &io::Error) -> Option<&Refusal> {
    error.get_ref()?.downcast_ref()
}

/// Whether a file of this type may be opened at all; to open some devices has effects.
pub fn check(kind: FileType, kinds: Kinds) -> io::Result<()> {
    let is_open = kinds == Kinds::Pipes && (kind.is_fifo() || kind.is_char_device());
    if kind.is_file() || is_open {
        return Ok(());
    }
    let kind = if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(io::Error::other(Refusal::Kind(kind)))
}

/// Opens a file for reading; symbolic links are followed. What is read of it ends with an error
/// behind `limit` bytes: files may grow, and those of `/proc` don't know their size.
pub fn open(path: &Path, kinds: Kinds, limit: u64) -> io::Result<Bounded<File>> {
    check(fs::metadata(path)?.file_type(), kinds)?;
    let mut options = OpenOptions::new();
    // Another file may have the name by now.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = options.read(true).custom_flags(flags.bits()).open(path)?;
    let metadata = file.metadata()?;
    check(metadata.file_type(), kinds)?;
    if metadata.len() > limit {
        return Err(too_long(limit));
    }
    let is_pipe = !metadata.is_file();
    if is_pipe {
        // A pipe whose writer is there already is waited for; without one it ends at once.
        fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
    }
    Ok(Bounded {
        is_silent: metadata.file_type().is_fifo(),
        ..Bounded::new(file, limit)
    })
}

/// Reads a file whole.
pub fn read(path: &Path, kinds: Kinds, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path, kinds, limit)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a file of settings whole, as text without its byte order mark.
pub fn read_settings(path: &Path, kinds: Kinds) -> io::Result<String> {
    text(read(path, kinds, SETTINGS_LIMIT)?)
}

/// Whether bytes begin as UTF-16 with its byte order mark, which editors and shells of other systems
/// write and kubectl reads.
pub fn is_utf16(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff")
}

/// The text of bytes in UTF-8, or in UTF-16 with its byte order mark, without the mark.
pub fn text(bytes: Vec<u8>) -> io::Result<String> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (units, rest) = bytes.as_chunks();
        let units: Vec<_> = units.iter().copied().map(unit).collect();
        String::from_utf16(&units).ok().filter(|_| rest.is_empty())
    };
    let text = match bytes.as_slice() {
        [0xff, 0xfe, text @ ..] => utf16(text, u16::from_le_bytes),
        [0xfe, 0xff, text @ ..] => utf16(text, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, text @ ..] => str::from_utf8(text).ok().map(str::to_owned),
        _ => String::from_utf8(bytes).ok(),
    };
    text.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is no Unicode text"))
}

fn too_long(limit: u64) -> io::Error {
    io::Error::other(Refusal::TooLong(limit))
}

/// Reads up to a limit and fails behind it.
#[derive(Debug)]
pub struct Bounded<R> {
    input: R,
    limit: u64,
    left: u64,
    /// A pipe that nothing came through yet.
    is_silent: bool,
}

impl<R> Bounded<R> {
    /// At most `limit` bytes.
    pub const fn new(input: R, limit: u64) -> Self {
        Self {
            input,
            limit,
            left: limit,
            is_silent: false,
        }
    }

    /// What is read from, which can be moved within what has been opened.
    pub const fn get_mut(&mut self) -> &mut R {
        &mut self.input
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        // One byte more than allowed is asked for: without it there is nothing wrong.
        let most = usize::try_from(self.left.saturating_add(1)).unwrap_or(usize::MAX);
        let length = to.len().min(most);
        let read = self.input.read(&mut to[..length])?;
        if read == 0 && length > 0 && self.is_silent {
            return Err(io::Error::other(Refusal::Silent));
        }
        self.is_silent = false;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => return Err(too_long(self.limit)),
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    fn said(path: &Path, kinds: Kinds) -> String {
        match read(path, kinds, 16) {
            Ok(bytes) => format!("{bytes:?}"),
            Err(error) => describe(&error),
        }
    }

    #[test]
    fn only_regular_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        fs::write(path("file"), "abc").unwrap();
        std::os::unix::fs::symlink("file", path("link")).unwrap();
        mkfifo(&path("pipe"), Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("pipe", path("link-to-pipe")).unwrap();
        let _listener = UnixListener::bind(path("socket")).unwrap();
        assert_eq!(said(&path("file"), Kinds::Regular), "[97, 98, 99]");
        assert_eq!(said(&path("link"), Kinds::Regular), "[97, 98, 99]");
        for (name, kind) in [
            ("pipe", "a pipe"),
            ("link-to-pipe", "a pipe"),
            ("socket", "a socket"),
            (".", "a folder"),
            ("/dev/zero", "a device"),
        ] {
            let told = format!("is {kind}; only regular files are read");
            assert_eq!(said(&path(name), Kinds::Regular), told);
        }
        assert_eq!(
            said(&path("absent"), Kinds::Regular),
            "can't be read: no such file or directory"
        );
    }

    #[test]
    fn a_named_pipe_is_read_while_somebody_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        let silent = "is a pipe, and nothing came through it: see what writes to it";
        assert_eq!(said(&path, Kinds::Pipes), silent);
        // Read and write, so that it is there before the reader is.
        let mut writer = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let reading = thread::spawn({
            let path = path.clone();
            move || said(&path, Kinds::Pipes)
        });
        io::Write::write_all(&mut writer, b"abc").unwrap();
        while nix::poll::poll(
            &mut [nix::poll::PollFd::new(
                std::os::fd::AsFd::as_fd(&writer),
                nix::poll::PollFlags::POLLIN,
            )],
            nix::poll::PollTimeout::ZERO,
        ) == Ok(1)
        {
            thread::yield_now();
        }
        drop(writer);
        assert_eq!(reading.join().unwrap(), "[97, 98, 99]");
    }

    #[test]
    fn settings_may_begin_with_a_byte_order_mark() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for bytes in [
            b"a: \xc3\xa4".as_slice(),
            b"\xef\xbb\xbfa: \xc3\xa4",
            b"\xff\xfea\0:\0 \0\xe4\0",
            b"\xfe\xff\0a\0:\0 \0\xe4",
        ] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(read_settings(&path, Kinds::Regular).unwrap(), "a: ä");
        }
        for bytes in [b"a: \xe4".as_slice(), b"\xff\xfea", b"\xff\xfe\0\xd8"] {
            fs::write(&path, bytes).unwrap();
            let error = describe(&read_settings(&path, Kinds::Regular).unwrap_err());
            assert_eq!(error, "can't be read: it is no unicode text");
        }
    }

    #[test]
    fn nothing_is_read_behind_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "0123456789abcdef").unwrap();
        assert_eq!(read(&path, Kinds::Regular, 16).unwrap().len(), 16);
        let told = describe(&read(&path, Kinds::Regular, 15).unwrap_err());
        assert!(told.starts_with("is longer than"), "{told}");
        for endless in ["/dev/zero", "/proc/self/smaps"] {
            let told = said(Path::new(endless), Kinds::Pipes);
            assert!(told.starts_with("is longer than 0 MiB"), "{told}");
        }
    }
}
