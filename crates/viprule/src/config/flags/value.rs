//! Values of flags.

use std::fmt;
use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::{OsStringValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use viprule_source::convert::{parse_ip, parse_range};
use viprule_writer::backend::Backend;

use crate::config::proxy::Quantity;
use crate::mode::ProxyMode;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// In the tools' own syntax
    #[default]
    Text,
    /// One JSON document
    Json,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LoggingFormat {
    /// A line of text
    #[default]
    Text,
    /// A JSON object
    Json,
}

/// Which of the kernel's two iptables implementations is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum BackendChoice {
    /// The one that this node's other rules are in
    #[default]
    Auto,
    /// `nf_tables`, as iptables-nft
    Nft,
    /// xtables, as iptables-legacy
    Legacy,
}

impl BackendChoice {
    /// The operator's choice, where there is one.
    pub const fn chosen(self) -> Option<Backend> {
        match self {
            Self::Auto => None,
            Self::Nft => Some(Backend::Nft),
            Self::Legacy => Some(Backend::Legacy),
        }
    }
}

impl fmt::Display for LoggingFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

impl fmt::Display for BackendChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Nft => "nft",
            Self::Legacy => "legacy",
        })
    }
}

/// Names of which an empty one means the default, as with kube-proxy.
pub(super) fn names<const N: usize>(
    names: [(&'static str, &'static str); N],
) -> PossibleValuesParser {
    let values = names.map(|(name, help)| PossibleValue::new(name).help(help));
    let empty = PossibleValue::new("").hide(true);
    PossibleValuesParser::new(values.into_iter().chain([empty]))
}

/// Modes.
pub(super) fn modes() -> PossibleValuesParser {
    names(ProxyMode::ALL.map(|mode| (mode.as_str(), mode.about())))
}

/// A path, which may be empty as kube-proxy's may.
pub(super) fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// Booleans as Go reads them.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("possible values: true, false".to_owned()),
    }
}

/// A network, as text; empty for none.
pub(super) fn network(text: &str) -> Result<String, String> {
    if text.is_empty() || parse_range(text).is_some() {
        Ok(text.to_owned())
    } else {
        Err("is not a network such as 10.244.0.0/16".to_owned())
    }
}

/// An address, as text; empty for the default.
pub(super) fn address(text: &str) -> Result<String, String> {
    if text.is_empty() || parse_ip(text).is_some() {
        Ok(text.to_owned())
    } else {
        Err("is not an IP address".to_owned())
    }
}

/// A feature gate and whether it is on.
pub(super) fn gate(text: &str) -> Result<(String, bool), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("is not a feature gate with a value, such as AllowServiceExternalIPs=false")?;
    Ok((name.trim().to_owned(), boolean(value.trim())?))
}

/// A source file pattern and its verbosity.
pub(super) fn module(text: &str) -> Result<(String, u32), String> {
    const WRONG: &str = "is not a pattern with a number, such as proxier=4";
    let (pattern, verbosity) = text.split_once('=').ok_or(WRONG)?;
    let verbosity = verbosity.parse().map_err(|_| WRONG)?;
    if pattern.is_empty() {
        return Err(WRONG.to_owned());
    }
    Ok((pattern.to_owned(), verbosity))
}

/// An amount.
pub(super) fn amount(text: &str) -> Result<Quantity, String> {
    Quantity::parse(text).ok_or_else(|| "is not an amount such as 0, 512 or 64Ki".to_owned())
}
