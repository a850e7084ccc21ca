//! What is wrong with a configuration.

use std::fmt::{self, Write as _};

use viprule_source::escape;

/// A field that can't be used as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field's path, such as `iptables.masqueradeBit`, or the flag that gave it.
    pub field: String,
    /// The line in the file, where it is known.
    pub line: Option<u64>,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a configuration, in the fields' order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.describe())]
pub struct ConfigError {
    /// The file; empty where flags alone make the configuration.
    pub origin: String,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    /// A file that can't be read at all.
    pub(super) fn unreadable(origin: String, message: String) -> Self {
        let problem = Problem {
            field: String::new(),
            line: None,
            message,
        };
        Self {
            origin,
            problems: vec![problem],
        }
    }

    fn describe(&self) -> String {
        let mut text = escape::line(&self.origin).into_owned();
        let lead = if text.is_empty() { "" } else { ": " };
        match self.problems.as_slice() {
            [only] => {
                let _ = write!(text, "{lead}{}", escape::line(&only.to_string()));
            }
            all => {
                let _ = write!(text, "{lead}{} errors in the configuration:", all.len());
                for problem in all {
                    let _ = write!(text, "\n  {}", escape::line(&problem.to_string()));
                }
            }
        }
        text
    }
}
