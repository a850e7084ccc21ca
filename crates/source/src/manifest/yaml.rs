//! How YAML is read.

use serde_saphyr::Options;

/// Options for manifests.
///
/// No budget of bytes or events: the files are the operator's own and may hold a whole cluster.
/// The library's limits of alias replay hold. Padded numbers stay text, so that no octal number
/// is read as a decimal one.
pub(super) fn options() -> Options {
    serde_saphyr::options! {
        budget: None,
        with_snippet: false,
        emit_comments: false,
        leading_zero_numbers_as_strings: true,
    }
}

/// The error's text without its place.
pub(super) fn message(error: &serde_saphyr::Error) -> String {
    if let serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } = error.without_snippet()
    {
        return format!("the key {key:?} is there twice");
    }
    let text = error.without_snippet().to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    format!("is not YAML: {}", &text[..end])
}
