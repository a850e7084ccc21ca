//! JSON values as YAML in block style.

use serde_json::Value;
use std::fmt::Write as _;

/// Documents in one stream, with `---` between them.
pub fn join<D: ToString>(documents: impl IntoIterator<Item = D>) -> String {
    documents
        .into_iter()
        .map(|document| document.to_string())
        .collect::<Vec<_>>()
        .join("---\n")
}

/// One YAML document, ending in a newline. Keys are in alphabetical order.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    write_block(&mut out, value, 0);
    out
}

/// Writes `value` from the current column on, which is `indent`.
fn write_block(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (position, (key, value)) in map.iter().enumerate() {
                start_line(out, position, indent);
                out.push_str(&scalar(&Value::String(key.clone())));
                out.push(':');
                match value {
                    Value::Object(inner) if !inner.is_empty() => {
                        let _ = write!(out, "\n{:1$}", "", indent + 2);
                        write_block(out, value, indent + 2);
                    }
                    Value::Array(inner) if !inner.is_empty() => {
                        let _ = write!(out, "\n{:1$}", "", indent);
                        write_block(out, value, indent);
                    }
                    _ => {
                        let _ = writeln!(out, " {}", scalar(value));
                    }
                }
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for (position, value) in list.iter().enumerate() {
                start_line(out, position, indent);
                out.push_str("- ");
                write_block(out, value, indent + 2);
            }
        }
        _ => {
            let _ = writeln!(out, "{}", scalar(value));
        }
    }
}

/// The first entry continues the line that its parent began.
fn start_line(out: &mut String, position: usize, indent: usize) {
    if position > 0 {
        let _ = write!(out, "{:indent$}", "");
    }
}

/// Scalars and empty collections. JSON's quoting is valid YAML; names stay bare for the reader.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether YAML 1.1 and 1.2 both read bare `text` as this string.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 11] = [
        "true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf",
    ];
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_reads_back_as_what_was_written() {
        let value = json!({
            "empty": {}, "none": [], "null": null, "no": "no", "number": "1.10", "n": -3,
            "list": [{"a": 1, "b": [1, [2, "x: y"], {}]}, "10.0.0.1", "fd00::1", true],
            "deep": {"er": {"key/with": "line\nbreak", "": "é"}},
        });
        let text = to_yaml(&value);
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read, value, "{text}");
    }

    #[test]
    fn shape_is_what_people_write() {
        let value = json!({"spec": {"ports": [{"name": "web", "port": 80}], "type": "NodePort"}});
        assert_eq!(
            to_yaml(&value),
            "spec:\n  ports:\n  - name: web\n    port: 80\n  type: NodePort\n"
        );
        assert_eq!(join([1, 2]), "1---\n2");
    }
}
