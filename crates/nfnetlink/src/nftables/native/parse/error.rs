//! What can be wrong with a text.

/// Why a text is no table of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {token:?}: {why}")]
#[non_exhaustive]
pub struct ParseError {
    /// The line, counted from 1.
    pub line: usize,
    /// The word that can't be read; empty at the end of the text.
    pub token: String,
    /// What was expected in its place.
    pub why: &'static str,
}
