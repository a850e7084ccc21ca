//! Follows the configuration file.

use std::io;
use std::path::PathBuf;

use viprule_source::manifest::{Watch, WatchOptions};

use super::changes::Changes;
use super::effective::Effective;
use super::flags::Flags;
use super::problem::ConfigError;

/// The configuration of an agent that runs. Flags go on counting as at the start.
#[derive(Debug)]
pub struct Reloader {
    flags: Flags,
    current: Effective,
    watch: Option<Watch>,
}

/// Why following a configuration can't begin.
#[derive(Debug, thiserror::Error)]
pub enum ReloaderError {
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its file can't be watched.
    #[error("following the configuration file: {0}")]
    Watch(#[from] io::Error),
}

impl Reloader {
    /// Reads the configuration and watches its file, where there is one, from before that.
    pub fn start(flags: Flags, options: WatchOptions) -> Result<Self, ReloaderError> {
        let path = flags.config().map(PathBuf::from);
        let watch = path.map(|path| Watch::new([path], options)).transpose()?;
        let current = Effective::load_regular(&flags)?;
        Ok(Self {
            flags,
            current,
            watch,
        })
    }

    /// The configuration as of now.
    pub const fn current(&self) -> &Effective {
        &self.current
    }

    /// Waits until the file may have changed: was written, replaced, deleted, made anew, or
    /// reached through another link. Forever where there is no file. Cancel safe.
    pub async fn changed(&mut self) {
        match &mut self.watch {
            Some(watch) => watch.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Reads the configuration again and takes it over; what there is to do about it.
    ///
    /// A bad file changes nothing; it is logged, as are fields that only a restart changes. Reads
    /// a small file and may block for as long as that takes.
    pub fn reload(&mut self) -> Changes {
        let new = match Effective::load_regular(&self.flags) {
            Ok(new) => new,
            Err(error) => {
                tracing::error!("{error}; the configuration before stays");
                return Changes::default();
            }
        };
        let (new, changes) = Changes::adopt(&self.current, new);
        for warning in &new.warnings {
            if !self.current.warnings.contains(warning) {
                tracing::warn!("{warning}");
            }
        }
        if !changes.restart.is_empty() {
            let fields = changes.restart.join(", ");
            tracing::warn!("{fields}: only a restart changes this, the value before stays");
        }
        self.current = new;
        changes
    }
}
