//! How a document fills a structure.
//!
//! As Kubernetes reads its configuration: `null` and absence leave a field as it is, unknown
//! fields are passed over, the last of two equal keys counts. What was passed over is remembered,
//! and every error is, so that they can be told together.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{Node, Value};
use super::duration::GoDuration;
use super::problem::Problem;

/// Something that a value of a document can be put into.
pub(crate) trait Field {
    /// Takes a value over, or tells the reader what is wrong with it.
    fn read(&mut self, node: &Node, reader: &mut Reader);
}

/// Where reading is, and what came up.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    path: Vec<String>,
    pub(crate) problems: Vec<Problem>,
    /// Unknown fields and repeated ones, with their lines.
    pub(crate) passed_over: Vec<String>,
}

impl Reader {
    pub(crate) fn problem(&mut self, node: &Node, message: String) {
        let problem = Problem {
            field: self.place(),
            line: (node.line > 0).then_some(node.line),
            message,
        };
        self.problems.push(problem);
    }

    fn wrong(&mut self, node: &Node, wanted: &str) {
        self.problem(
            node,
            format!("must be {wanted}, not {}", node.value.describe()),
        );
    }

    /// Reads a map's entries one by one; the function says whether it knows the key.
    pub(crate) fn entries(
        &mut self,
        node: &Node,
        mut read: impl FnMut(&str, &Node, &mut Self) -> bool,
    ) {
        let entries = match &node.value {
            Value::Null => return,
            Value::Map(entries) => entries,
            _ => return self.wrong(node, "a map"),
        };
        let mut seen = BTreeSet::new();
        for (key, value) in entries {
            self.path.push(key.name.clone());
            let repeated = !seen.insert(&key.name);
            let known = read(&key.name, value, self);
            if repeated || !known {
                let what = if repeated {
                    "twice, the last counts; "
                } else {
                    ""
                };
                let text = format!("{} ({what}line {})", self.place(), key.line);
                self.passed_over.push(text);
            }
            self.path.pop();
        }
    }

    fn place(&self) -> String {
        let mut place = String::new();
        for step in &self.path {
            if !place.is_empty() && !step.starts_with('[') {
                place.push('.');
            }
            place.push_str(step);
        }
        place
    }
}

/// Defines a structure that documents fill and that serialises with the same names and order.
macro_rules! fields {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[$about:meta])* pub $field:ident: $type:ty = $key:literal ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
        pub struct $name {
            $( $(#[$about])* #[serde(rename = $key)] pub $field: $type, )*
        }

        impl $crate::config::fields::Field for $name {
            fn read(
                &mut self,
                node: &$crate::config::document::Node,
                reader: &mut $crate::config::fields::Reader,
            ) {
                reader.entries(node, |key, node, reader| {
                    match key {
                        $( $key => self.$field.read(node, reader), )*
                        _ => return false,
                    }
                    true
                });
            }
        }
    };
}
pub(crate) use fields;

/// A value of one kind: what it is called, and how it is had.
macro_rules! scalar {
    ($type:ty, $wanted:literal, $pattern:pat => $value:expr) => {
        impl Field for $type {
            fn read(&mut self, node: &Node, reader: &mut Reader) {
                match &node.value {
                    Value::Null => {}
                    $pattern => *self = $value,
                    _ => reader.wrong(node, $wanted),
                }
            }
        }
    };
}

scalar!(String, "a text", Value::Text(text) => text.clone());
scalar!(bool, "true or false", Value::Bool(value) => *value);

/// An integer of a smaller type.
macro_rules! integer {
    ($type:ty) => {
        impl Field for $type {
            fn read(&mut self, node: &Node, reader: &mut Reader) {
                match &node.value {
                    Value::Null => {}
                    Value::Integer(value) => match <$type>::try_from(*value) {
                        Ok(value) => *self = value,
                        Err(_) => reader.problem(
                            node,
                            format!("must be within {} to {}", <$type>::MIN, <$type>::MAX),
                        ),
                    },
                    _ => reader.wrong(node, "an integer"),
                }
            }
        }
    };
}

integer!(i32);
integer!(u32);

impl Field for f64 {
    fn read(&mut self, node: &Node, reader: &mut Reader) {
        match &node.value {
            Value::Null => {}
            #[expect(
                clippy::cast_precision_loss,
                reason = "a number of requests a second, and no field takes large ones"
            )]
            Value::Integer(value) => *self = *value as f64,
            Value::Number(value) => *self = *value,
            _ => reader.wrong(node, "a number"),
        }
    }
}

impl Field for GoDuration {
    fn read(&mut self, node: &Node, reader: &mut Reader) {
        match &node.value {
            Value::Null => {}
            Value::Text(text) => match text.parse() {
                Ok(duration) => *self = duration,
                Err(error) => reader.problem(node, error.to_string()),
            },
            _ => reader.wrong(node, "a duration such as 30s, 1m30s or 500ms"),
        }
    }
}

impl<T: Field + Default> Field for Option<T> {
    fn read(&mut self, node: &Node, reader: &mut Reader) {
        if node.value == Value::Null {
            *self = None;
            return;
        }
        self.get_or_insert_with(T::default).read(node, reader);
    }
}

impl<T: Field + Default> Field for Vec<T> {
    fn read(&mut self, node: &Node, reader: &mut Reader) {
        let list = match &node.value {
            Value::Null => return self.clear(),
            Value::List(list) => list,
            _ => return reader.wrong(node, "a list"),
        };
        self.clear();
        for (index, node) in list.iter().enumerate() {
            reader.path.push(format!("[{index}]"));
            let mut value = T::default();
            value.read(node, reader);
            self.push(value);
            reader.path.pop();
        }
    }
}

impl Field for BTreeMap<String, bool> {
    fn read(&mut self, node: &Node, reader: &mut Reader) {
        reader.entries(node, |key, node, reader| {
            self.entry(key.to_owned()).or_default().read(node, reader);
            true
        });
    }
}
