//! What is wrong with a line.

/// A line that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {word}: {problem}")]
#[non_exhaustive]
pub struct ParseError {
    /// The line, counted from 1.
    pub line: usize,
    /// The word that is wrong, or for what is missing the word that needs it.
    pub word: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The line begins with another word than `-A` or `-a`.
    #[error("a line begins with -A for a virtual server or -a for a destination")]
    Command,
    /// The command has no such option.
    #[error("there is no such option of {0}")]
    Option(&'static str),
    /// The option's value is missing.
    #[error("it takes a value: {0}")]
    NoValue(&'static str),
    /// The value is wrong.
    #[error("this is not {0}")]
    Value(&'static str),
    /// The option, or one that excludes it, was there before.
    #[error("this was given before, or something that excludes it")]
    Again,
    /// An option that must be there is missing.
    #[error("it needs {0}")]
    Needs(&'static str),
}
