//! Where the program under test is.

use crate::error::{Error, Result};
use std::env;
use std::path::PathBuf;
use std::time::SystemTime;

/// The viprule program: `$VIPRULE_BIN`, or else the newer of `target/release/viprule` and
/// `target/debug/viprule`, where `target` is the folder that the running test was built in.
pub fn viprule_binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("VIPRULE_BIN") {
        let path = PathBuf::from(path);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(Error::NoBinary {
                searched: format!("VIPRULE_BIN={}", path.display()),
            })
        };
    }
    let this = env::current_exe().map_err(Error::io("asking for the path of this program"))?;
    let mut folders = Vec::new();
    // A test is target/PROFILE/deps/NAME-HASH.
    if let Some(target) = this.ancestors().nth(3) {
        folders.extend(["release", "debug"].map(|profile| target.join(profile)));
    }
    let candidates: Vec<_> = folders
        .iter()
        .map(|folder| folder.join("viprule"))
        .collect();
    let built = |path: &PathBuf| -> Option<SystemTime> {
        path.metadata()
            .ok()
            .filter(std::fs::Metadata::is_file)?
            .modified()
            .ok()
    };
    let newest = candidates
        .iter()
        .filter(|path| built(path).is_some())
        .max_by_key(|p| built(p));
    newest.cloned().ok_or_else(|| Error::NoBinary {
        searched: candidates
            .iter()
            .map(|p| p.display().to_string())
            .collect::<Vec<_>>()
            .join(", "),
    })
}
