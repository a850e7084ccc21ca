//! Paths of fields, such as `spec.ports[0].port`.

use std::fmt::Write as _;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A key of a mapping.
    Key(String),
    /// An element of a sequence, from 0.
    Index(usize),
}

/// Reads what conversion and `serde_path_to_error` print. Keys with dots are in brackets and
/// quotes: `metadata.labels["kubernetes.io/service-name"]`.
pub(super) fn parse(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut left = path;
    while !left.is_empty() {
        if let Some(inner) = left.strip_prefix("[\"") {
            let (key, after) = inner.split_once("\"]").unwrap_or((inner, ""));
            steps.push(Step::Key(key.to_owned()));
            left = after;
        } else if let Some(inner) = left.strip_prefix('[') {
            let (index, after) = inner.split_once(']').unwrap_or((inner, ""));
            steps.push(
                index
                    .parse()
                    .map_or_else(|_| Step::Key(index.to_owned()), Step::Index),
            );
            left = after;
        } else {
            left = left.strip_prefix('.').unwrap_or(left);
            let end = left.find(['.', '[']).unwrap_or(left.len());
            if end > 0 {
                steps.push(Step::Key(left[..end].to_owned()));
            }
            left = &left[end..];
        }
    }
    steps
}

/// The path of an item of a list.
pub(super) fn item(list: &str, index: usize) -> String {
    let mut path = list.to_owned();
    if !path.is_empty() {
        path.push('.');
    }
    let _ = write!(path, "items[{index}]");
    path
}

/// A path within a path.
pub(super) fn join(outer: &str, inner: &str) -> String {
    match (outer, inner) {
        ("", path) | (path, "") => path.to_owned(),
        (outer, inner) => format!("{outer}.{inner}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_keys_and_indexes() {
        let key = |text: &str| Step::Key(text.to_owned());
        assert_eq!(
            parse("items[3].metadata.labels[\"kubernetes.io/service-name\"]"),
            [
                key("items"),
                Step::Index(3),
                key("metadata"),
                key("labels"),
                key("kubernetes.io/service-name")
            ]
        );
        assert_eq!(parse(""), []);
        assert_eq!(parse("."), []);
    }
}
