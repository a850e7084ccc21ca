//! What can be wrong with a line.

/// Why a line is not a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// A quote without its end.
    #[error("the quotes in {token:?} are not closed")]
    Unclosed {
        /// The line from the word on that has the quote.
        token: String,
    },
    /// A NUL, which no rule can hold.
    #[error("the line has a NUL in it, remove it")]
    Nul,
    /// A word that is no option, or an option of an extension that is not supported.
    #[error("{token:?} is no option that this program reads")]
    Option {
        /// The word.
        token: String,
    },
    /// `-m` with an extension that is not supported.
    #[error("`-m {name}` is not supported")]
    Match {
        /// The extension's name.
        name: String,
    },
    /// `-j` with an extension that is not supported.
    #[error("`-j {name}` is not supported")]
    Target {
        /// The extension's name.
        name: String,
    },
    /// The line ends where a value should come.
    #[error("`{option}` needs a value behind it")]
    Missing {
        /// The option.
        option: String,
    },
    /// A value that the option cannot have.
    #[error("`{option} {token}`: {why}")]
    Value {
        /// The option.
        option: String,
        /// The value.
        token: String,
        /// What is wrong.
        why: &'static str,
    },
    /// An option that can be given once.
    #[error("`{option}` is given twice, write two rules")]
    Repeated {
        /// The option.
        option: String,
    },
    /// `!` in front of an option that has no opposite.
    #[error("`{option}` cannot be inverted, remove the `!`")]
    Inverted {
        /// The option.
        option: String,
    },
    /// An option before the extension that it belongs to.
    #[error("`{option}` needs `{extension}` before it")]
    NotLoaded {
        /// The option.
        option: String,
        /// What loads it.
        extension: &'static str,
    },
    /// An extension without the option that makes it whole.
    #[error("`{extension}` needs `{option}`")]
    Incomplete {
        /// The extension.
        extension: &'static str,
        /// The option.
        option: &'static str,
    },
}
