//! What is wrong with a manifest, and where.

use std::fmt;

use serde::Serialize;

/// Problems that are told of one file; of a file that is none of ours there could be millions.
pub(super) const PROBLEM_LIMIT: usize = 1000;

/// How bad a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something is read with a guess or left out; the rest is as written.
    Warning,
    /// An object, a document or a file can't be used.
    Error,
}

/// Something wrong with a manifest.
///
/// Its text is one line: `shop.yaml: document 3, line 41: Service shop/edge: spec.ports[0].port:
/// 70000 is not a port, 1 to 65535 are`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The file's path, `-` for standard input.
    pub file: String,
    /// The document within the file, from 1; empty documents don't count. None where the problem
    /// is the file's.
    pub document: Option<usize>,
    /// The line within the file, from 1, where it is known.
    pub line: Option<u64>,
    /// Kind, namespace and name of the object, where they are known.
    pub object: Option<String>,
    /// The field's path within the object, where it is one field's.
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file)?;
        match (self.document, self.line) {
            (Some(document), Some(line)) => write!(f, "document {document}, line {line}: ")?,
            (Some(document), None) => write!(f, "document {document}: ")?,
            (None, Some(line)) => write!(f, "line {line}: ")?,
            (None, None) => {}
        }
        for part in [&self.object, &self.field].into_iter().flatten() {
            write!(f, "{part}: ")?;
        }
        f.write_str(&self.message)
    }
}
