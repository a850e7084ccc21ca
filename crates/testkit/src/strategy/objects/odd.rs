//! What no API server stores.

use serde_json::{Map, Value, json};

use super::choice::Choice;

/// Keys whose loss makes another object of it.
const NAMES: [&str; 5] = ["apiVersion", "kind", "metadata", "name", "namespace"];

/// Changes some of an object's fields and adds others.
pub(super) fn spoil(value: &mut Value, choice: &mut Choice<'_>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                if NAMES.contains(&key.as_str()) && key != "metadata" {
                    continue;
                }
                match choice.below(40) {
                    39 if key != "metadata" => *value = Value::Null,
                    38 if key != "metadata" => *value = nonsense(value, choice),
                    _ => spoil(value, choice),
                }
            }
            if choice.below(8) == 7 {
                add(fields, choice);
            }
        }
        Value::Array(items) => {
            for item in items.iter_mut() {
                if choice.below(40) == 39 {
                    *item = nonsense(item, choice);
                } else {
                    spoil(item, choice);
                }
            }
        }
        _ => {}
    }
}

/// Another value, mostly of the same type.
fn nonsense(value: &Value, choice: &mut Choice<'_>) -> Value {
    match value {
        _ if choice.below(8) == 7 => choice.of([json!(5), json!([]), json!({}), json!(true)]),
        Value::Number(_) => choice.of([0, -1, 65_536, i64::MAX]).into(),
        Value::String(_) => choice
            .of([
                "",
                "Odd",
                "010.001.000.09",
                "::ffff:10.0.0.1/120",
                "10.0.0.1",
                "<&>",
            ])
            .into(),
        Value::Bool(value) => (!value).into(),
        _ => Value::Null,
    }
}

/// Adds a field that nobody reads.
fn add(fields: &mut Map<String, Value>, choice: &mut Choice<'_>) {
    let keys = [
        "managedFields",
        "creationTimestamp",
        "unknown",
        "conditions",
        "selector",
        "ownerReferences",
        "images",
    ];
    let key = choice.of(keys);
    // `conditions` counts in endpoints.
    if !fields.contains_key(key) && !fields.contains_key("addresses") {
        let values = [
            Value::Null,
            json!([{"manager": "x", "fieldsV1": {"f:spec": {"f:ports": {}}}}]),
            json!("10000-01-01T11:59:59Z"),
            json!(1.5e300),
            json!([[], {}, [{"": null}]]),
        ];
        fields.insert(key.to_owned(), choice.of(values));
    }
}
