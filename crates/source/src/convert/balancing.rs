//! Annotations that ask for a way of balancing in IPVS mode. They are viprule's own.
//!
//! A bad value counts as absent and is told as a warning: the Service works without it.

use viprule_service::model::{Balancing, SchedulerFlags, SchedulerName, WeightKey, is_node_name};

use super::object::{Annotations, Text};
use super::{Warning, parse_ip, parse_range, quoted};

const SCHEDULER: &str = "ipvs.viprule.dev/scheduler";
const FLAGS: &str = "ipvs.viprule.dev/scheduler-flags";
const WEIGHTS: &str = "ipvs.viprule.dev/weights";

/// What a Service's annotations ask for; `None` where they ask for nothing.
pub(super) fn balancing(
    annotations: &Annotations<'_>,
    warnings: &mut Vec<Warning>,
) -> Option<Box<Balancing>> {
    let scheduler = trimmed(annotations.scheduler.as_ref());
    let flags = trimmed(annotations.scheduler_flags.as_ref());
    let weights = trimmed(annotations.weights.as_ref());
    if scheduler.is_none() && flags.is_none() && weights.is_none() {
        return None;
    }
    let mut keep = |name: &str, error: String| {
        warnings.push(Warning {
            field: format!("metadata.annotations[{name:?}]"),
            message: format!("{error}; the annotation is ignored"),
        });
    };
    let balancing = Balancing {
        scheduler: scheduler.and_then(|text| or_warn(scheduler_name(text), SCHEDULER, &mut keep)),
        flags: flags.and_then(|text| or_warn(scheduler_flags(text), FLAGS, &mut keep)),
        weights: weights
            .and_then(|text| or_warn(weights_of(text), WEIGHTS, &mut keep))
            .unwrap_or_default(),
    };
    (balancing != Balancing::default()).then(|| Box::new(balancing))
}

fn trimmed<'t>(text: Option<&'t Text<'_>>) -> Option<&'t str> {
    text.map(|text| text.trim())
}

fn or_warn<T>(
    value: Result<T, String>,
    name: &str,
    warn: &mut impl FnMut(&str, String),
) -> Option<T> {
    value.map_err(|error| warn(name, error)).ok()
}

fn scheduler_name(text: &str) -> Result<SchedulerName, String> {
    SchedulerName::new(text).ok_or_else(|| {
        format!(
            "{} is not a scheduler's name: 1 to {} letters, digits, '-' or '_'",
            quoted(text),
            SchedulerName::LIMIT
        )
    })
}

fn scheduler_flags(text: &str) -> Result<SchedulerFlags, String> {
    SchedulerFlags::parse(text).map_err(|name| {
        format!(
            "{} is not a scheduler's flag; flag-1, flag-2, flag-3, sh-fallback, sh-port, \
             mh-fallback and mh-port are",
            quoted(name)
        )
    })
}

fn weights_of(text: &str) -> Result<Box<[(WeightKey, u16)]>, String> {
    text.split(',').map(str::trim).map(weight).collect()
}

fn weight(text: &str) -> Result<(WeightKey, u16), String> {
    let (key, weight) = text
        .rsplit_once('=')
        .ok_or_else(|| format!("{} is not KEY=WEIGHT", quoted(text)))?;
    let (key, weight) = (key.trim(), weight.trim());
    let weight = weight
        .parse()
        .ok()
        .filter(|weight| *weight != 0)
        .ok_or_else(|| format!("{} is not a weight, 1 to {} are", quoted(weight), u16::MAX))?;
    let key = if let Some(address) = parse_ip(key) {
        WeightKey::Address(address)
    } else if let Some(network) = parse_range(key) {
        WeightKey::Network(network)
    } else if is_node_name(key) {
        WeightKey::Node(key.into())
    } else {
        return Err(format!(
            "{} is neither an IP address nor a network nor a node's name",
            quoted(key)
        ));
    };
    Ok((key, weight))
}

#[cfg(test)]
mod tests {
    use super::super::object::decode_value;
    use super::*;

    fn read(annotations: &[(&str, &str)]) -> (Option<Balancing>, Vec<String>) {
        let annotations: serde_json::Map<_, _> = annotations
            .iter()
            .map(|(name, text)| (format!("ipvs.viprule.dev/{name}"), (*text).into()))
            .collect();
        let annotations = annotations.into();
        let annotations = decode_value(&annotations).unwrap();
        let mut warnings = Vec::new();
        let balancing = balancing(&annotations, &mut warnings).map(|it| *it);
        let warnings = warnings
            .into_iter()
            .map(|warning| format!("{}: {}", warning.field, warning.message))
            .collect();
        (balancing, warnings)
    }

    #[test]
    fn annotations_are_read() {
        let (found, warnings) = read(&[
            ("scheduler", " mh "),
            ("scheduler-flags", "mh-port,mh-fallback"),
            (
                "weights",
                "10.0.0.1=3, 10.0.0.0/8 = 2,fd00::/64=65535,node-1.example=1",
            ),
        ]);
        assert_eq!(warnings, [""; 0]);
        let found = found.unwrap();
        assert_eq!(found.scheduler.unwrap().as_str(), "mh");
        assert_eq!(found.flags, Some(SchedulerFlags([true, true, false])));
        assert_eq!(
            *found.weights,
            [
                (WeightKey::Address("10.0.0.1".parse().unwrap()), 3),
                (WeightKey::Network("10.0.0.0/8".parse().unwrap()), 2),
                (WeightKey::Network("fd00::/64".parse().unwrap()), u16::MAX),
                (WeightKey::Node("node-1.example".into()), 1),
            ]
        );
    }

    #[test]
    fn services_without_them_ask_for_nothing() {
        assert_eq!(read(&[("else", "rr")]), (None, vec![]));
    }

    #[test]
    fn a_bad_value_is_told_and_counts_as_absent() {
        let cases = [
            ("scheduler", "round robin", "\"round robin\" is not a"),
            ("scheduler", "", "\"\" is not a scheduler's name"),
            ("scheduler-flags", "mh-port,x", "\"x\" is not a scheduler's"),
            ("weights", "10.0.0.1", "\"10.0.0.1\" is not KEY=WEIGHT"),
            ("weights", "10.0.0.1=0", "\"0\" is not a weight"),
            ("weights", "a=65536", "\"65536\" is not a weight"),
            ("weights", "a=1,", "\"\" is not KEY=WEIGHT"),
            ("weights", "A_B=1", "\"A_B\" is neither"),
        ];
        for (name, text, expected) in cases {
            let (found, warnings) = read(&[(name, text)]);
            assert_eq!(found, None);
            let start = format!("metadata.annotations[\"ipvs.viprule.dev/{name}\"]: {expected}");
            assert!(
                warnings.len() == 1 && warnings[0].starts_with(&start),
                "{warnings:?}"
            );
        }
        let (found, warnings) = read(&[("scheduler", "wrr"), ("weights", "x")]);
        assert_eq!(found.unwrap().scheduler.unwrap().as_str(), "wrr");
        assert_eq!(warnings.len(), 1);
    }
}
