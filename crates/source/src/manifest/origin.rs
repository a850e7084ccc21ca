//! Where a manifest's bytes come from.

use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use crate::files::{self, Kinds, MANIFEST_LIMIT};

/// Bytes that are read at once.
const BUFFER: u64 = 64 << 10;

/// Where bytes come from; they may be read more than once.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin<'o> {
    /// A regular file.
    File(&'o Path),
    /// What standard input or a pipe had.
    Bytes(&'o [u8]),
}

impl<'o> Origin<'o> {
    /// All of it.
    pub(super) fn open(self) -> io::Result<Box<dyn BufRead + 'o>> {
        self.part(0, u64::MAX)
    }

    /// So many bytes from there on.
    pub(super) fn part(self, offset: u64, length: u64) -> io::Result<Box<dyn BufRead + 'o>> {
        match self {
            Self::File(path) => {
                let mut file = files::open(path, Kinds::Regular, MANIFEST_LIMIT)?;
                if offset > 0 {
                    file.get_mut().seek(SeekFrom::Start(offset))?;
                }
                let capacity = usize::try_from(length.min(BUFFER)).unwrap_or(usize::MAX);
                let input = BufReader::with_capacity(capacity, file);
                Ok(Box::new(input.take(length)))
            }
            Self::Bytes(bytes) => {
                let at = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
                let bytes = bytes.get(at(offset)..).unwrap_or_default();
                Ok(Box::new(&bytes[..bytes.len().min(at(length))]))
            }
        }
    }
}
