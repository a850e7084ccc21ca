//! A volume as kubelet projects it: `name -> ..data/name`, `..data -> ..revision`.

use crate::error::{Error, Result};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const DATA: &str = "..data";
const NEW_DATA: &str = "..data_tmp";

/// A folder whose whole content changes at once by renaming one symbolic link, as `ConfigMap`
/// volumes do.
#[derive(Debug)]
pub struct ProjectedVolume {
    path: PathBuf,
    revision: u64,
}

impl ProjectedVolume {
    /// Makes the folder; [`Self::publish`] fills it.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(Error::io(format!("making {}", path.display())))?;
        Ok(Self { path, revision: 0 })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces everything in it by these files.
    pub fn publish<N: AsRef<str>, T: ToString>(
        &mut self,
        files: impl IntoIterator<Item = (N, T)>,
    ) -> Result<()> {
        let files: Vec<_> = files
            .into_iter()
            .map(|(name, text)| (name.as_ref().to_owned(), text.to_string()))
            .collect();
        self.revision += 1;
        self.replace(&files)
            .map_err(Error::io(format!("publishing in {}", self.path.display())))
    }

    /// New revision, the swap, new links, stale links, old revision: kubelet's order.
    fn replace(&self, files: &[(String, String)]) -> io::Result<()> {
        let revision = format!("..revision_{}", self.revision);
        let old = fs::read_link(self.path.join(DATA)).ok();
        fs::create_dir(self.path.join(&revision))?;
        for (name, text) in files {
            fs::write(self.path.join(&revision).join(name), text)?;
        }
        symlink(&revision, self.path.join(NEW_DATA))?;
        fs::rename(self.path.join(NEW_DATA), self.path.join(DATA))?;
        for (name, _) in files {
            let link = self.path.join(name);
            if link.symlink_metadata().is_err() {
                symlink(Path::new(DATA).join(name), link)?;
            }
        }
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let kept = name.starts_with("..") || files.iter().any(|(file, _)| *file == name);
            if !kept {
                fs::remove_file(self.path.join(name))?;
            }
        }
        match old {
            Some(old) => fs::remove_dir_all(self.path.join(old)),
            None => Ok(()),
        }
    }
}
