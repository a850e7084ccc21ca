//! What is logged, and how.

use tracing_subscriber::EnvFilter;

use super::{Check, LoggingFormat};
use crate::config::gates;
use crate::config::own::OwnSettings;
use crate::config::proxy::KubeProxyConfiguration;

/// Largest verbosity, which Go's logger keeps in 32 bits with a sign.
const VERBOSITY_LIMIT: u32 = i32::MAX.unsigned_abs();

/// Checks `logging`.
pub(super) fn format(proxy: &KubeProxyConfiguration, check: &mut Check<'_>) -> LoggingFormat {
    let logging = &proxy.logging;
    let flush = logging.flush_frequency.every;
    if flush.is_zero() || flush.is_negative() {
        check.wrong("logging.flushFrequency", "must be more than 0");
    }
    let format = match logging.format.as_str() {
        "text" => LoggingFormat::Text,
        "json" => LoggingFormat::Json,
        other => {
            check.wrong(
                "logging.format",
                format!("must be text or json, not {other:?}"),
            );
            LoggingFormat::Text
        }
    };
    if format == LoggingFormat::Json && !gates::is_on(&proxy.feature_gates, gates::LOGGING_BETA) {
        check.wrong(
            "logging.format",
            "json needs the feature gate LoggingBetaOptions",
        );
    }
    if logging.verbosity > VERBOSITY_LIMIT {
        check.wrong(
            "logging.verbosity",
            format!("must be at most {VERBOSITY_LIMIT}"),
        );
    }
    if format != LoggingFormat::Text && !logging.vmodule.is_empty() {
        check.wrong("logging.vmodule", "goes with the format text only");
    }
    for (index, item) in logging.vmodule.iter().enumerate() {
        let pattern = &item.file_pattern;
        if pattern.is_empty() || pattern.contains(['=', ',']) {
            check.wrong(
                &format!("logging.vmodule[{index}].filePattern"),
                "must be a file name without = and comma",
            );
        }
    }
    let alpha = gates::is_on(&proxy.feature_gates, gates::LOGGING_ALPHA);
    for (name, options) in [
        ("text", &logging.options.text),
        ("json", &logging.options.json),
    ] {
        for (set, field) in [
            (options.split_stream, "splitStream"),
            (!options.info_buffer_size.is_zero(), "infoBufferSize"),
        ] {
            if set && !alpha {
                check.wrong(
                    &format!("logging.options.{name}.{field}"),
                    "needs the feature gate LoggingAlphaOptions",
                );
            }
        }
    }
    format
}

/// The log's filter: our own setting, or what the verbosity comes to.
pub(super) fn level(
    proxy: &KubeProxyConfiguration,
    own: &OwnSettings,
    check: &mut Check<'_>,
) -> String {
    if own.log_level.is_empty() {
        let level = match proxy.logging.verbosity {
            0..=2 => "info",
            3 | 4 => "debug",
            _ => "trace",
        };
        return level.to_owned();
    }
    if let Err(error) = own.log_level.parse::<EnvFilter>() {
        check.wrong("logLevel", error.to_string());
    }
    own.log_level.clone()
}
