//! A folder of manifests that a person or a tool edits.

use crate::error::{Error, Result};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder whose files are replaced whole: written under a hidden name, then renamed.
#[derive(Debug, Clone)]
pub struct ManifestFolder {
    path: PathBuf,
}

impl ManifestFolder {
    /// Makes the folder if it isn't there.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(Error::io(format!("making {}", path.display())))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes or replaces a file; readers see the old or the new content, never a part.
    pub fn write(&self, name: &str, text: &(impl ToString + ?Sized)) -> Result<()> {
        let hidden = self.path.join(format!(".{name}.new"));
        fs::write(&hidden, text.to_string())
            .and_then(|()| fs::rename(&hidden, self.path.join(name)))
            .map_err(Error::io(format!(
                "writing {name} in {}",
                self.path.display()
            )))
    }

    /// Removes a file; not an error if it isn't there.
    pub fn remove(&self, name: &str) -> Result<()> {
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(format!(
                "removing {name} in {}",
                self.path.display()
            ))(error)),
            _ => Ok(()),
        }
    }
}
