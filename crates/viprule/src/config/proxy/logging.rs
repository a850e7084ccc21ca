//! `logging`, as every Kubernetes component has it.

use serde::{Serialize, Serializer};

use crate::config::document::{Node, Value};
use crate::config::duration::GoDuration;
use crate::config::fields::{Field, Reader, fields};

fields! {
    /// `logging`
    pub struct LoggingConfiguration {
        /// `text` or `json`.
        #[serde(skip_serializing_if = "String::is_empty")]
        pub format: String = "format",
        /// How often buffered lines are written.
        pub flush_frequency: Flush = "flushFrequency",
        /// 0 for what matters, more for more.
        pub verbosity: u32 = "verbosity",
        /// Verbosity of single source files.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub vmodule: Vec<VModuleItem> = "vmodule",
        /// What belongs to the formats.
        pub options: FormatOptions = "options",
    }
}

fields! {
    /// `logging.vmodule[]`
    pub struct VModuleItem {
        /// File name without its ending; may have wildcards.
        pub file_pattern: String = "filePattern",
        /// What counts there.
        pub verbosity: u32 = "verbosity",
    }
}

fields! {
    /// `logging.options`
    pub struct FormatOptions {
        /// Of format `text`.
        pub text: OutputRoutingOptions = "text",
        /// Of format `json`.
        pub json: OutputRoutingOptions = "json",
    }
}

fields! {
    /// `logging.options.text` and `logging.options.json`
    pub struct OutputRoutingOptions {
        /// Errors to one stream, the rest to another.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        pub split_stream: bool = "splitStream",
        /// How much of the rest is buffered.
        pub info_buffer_size: Quantity = "infoBufferSize",
    }
}

/// `logging.flushFrequency`: a duration, or nanoseconds as older files have it. Serialises as it
/// was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flush {
    /// How often.
    pub every: GoDuration,
    /// It is written as a number.
    pub as_number: bool,
}

impl Serialize for Flush {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.as_number {
            self.every.as_nanos().serialize(to)
        } else {
            self.every.serialize(to)
        }
    }
}

impl Field for Flush {
    fn read(&mut self, node: &Node, reader: &mut Reader) {
        if let Value::Integer(nanos) = node.value {
            self.every = GoDuration::from_nanos(nanos);
            self.as_number = true;
        } else {
            self.every.read(node, reader);
            self.as_number = false;
        }
    }
}

/// An amount as Kubernetes writes it, such as `64Ki`; `0` by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantity(String);

impl Default for Quantity {
    fn default() -> Self {
        Self("0".to_owned())
    }
}

impl Quantity {
    const SUFFIXES: [&str; 16] = [
        "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei",
    ];

    /// Reads one.
    pub fn parse(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let end = unsigned
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let exponent = suffix.strip_prefix(['e', 'E']).map(str::parse::<i16>);
        let suffixed = Self::SUFFIXES.contains(&suffix) || matches!(exponent, Some(Ok(_)));
        let numeric = number.bytes().any(|c| c.is_ascii_digit())
            && number.bytes().filter(|c| *c == b'.').count() <= 1;
        if !numeric || !suffixed {
            return None;
        }
        let zero = number.bytes().all(|c| matches!(c, b'0' | b'.'));
        Some(Self(if zero { "0" } else { text }.to_owned()))
    }

    /// Whether it is 0.
    pub fn is_zero(&self) -> bool {
        self.0 == "0"
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl Field for Quantity {
    fn read(&mut self, node: &Node, reader: &mut Reader) {
        let text = match &node.value {
            Value::Null => return,
            Value::Text(text) => text.clone(),
            Value::Integer(value) => value.to_string(),
            Value::Number(value) => value.to_string(),
            other => other.describe(),
        };
        match Self::parse(&text) {
            Some(quantity) => *self = quantity,
            None => reader.problem(
                node,
                format!(
                    "must be an amount such as 0, 512 or 64Ki, not {}",
                    node.value.describe()
                ),
            ),
        }
    }
}
