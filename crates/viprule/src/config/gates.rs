//! Feature gates, as far as it matters which ones kube-proxy knows.

use std::collections::BTreeMap;

/// Which feature gates are set.
pub(super) type Gates = BTreeMap<String, bool>;

const KNOWN: &str = include_str!("gates.txt");
/// Gates that change what this program does.
const USED: [&str; 3] = [ALLOW_EXTERNAL_IPS, LOGGING_ALPHA, LOGGING_BETA];

/// Whether `spec.externalIPs` is served.
pub(super) const ALLOW_EXTERNAL_IPS: &str = "AllowServiceExternalIPs";
/// Whether `logging.options` may be set.
pub(super) const LOGGING_ALPHA: &str = "LoggingAlphaOptions";
/// Whether logs may be JSON.
pub(super) const LOGGING_BETA: &str = "LoggingBetaOptions";

/// What is known of a gate.
struct Gate {
    stage: &'static str,
    /// None where only kube-proxy's source would tell.
    default: Option<bool>,
    locked: bool,
}

fn find(name: &str) -> Option<Gate> {
    let mut lines = KNOWN.lines().filter(|line| !line.starts_with('#'));
    lines.find_map(|line| {
        let mut words = line.split(' ');
        (words.next() == Some(name)).then(|| Gate {
            stage: words.next().unwrap_or_default(),
            default: words.next().and_then(|word| word.parse().ok()),
            locked: words.next() == Some("locked"),
        })
    })
}

/// Whether a gate is on: as set, or as its stage is set, or by default.
pub(super) fn is_on(gates: &Gates, name: &str) -> bool {
    let gate = find(name);
    let of_stage = match gate.as_ref().map(|gate| gate.stage) {
        Some("alpha") => gates.get("AllAlpha"),
        Some("beta") => gates.get("AllBeta"),
        _ => None,
    };
    let set = gates.get(name).or(of_stage).copied();
    set.or(gate.and_then(|gate| gate.default)).unwrap_or(false)
}

/// The gates that change what this program does: name, stage as metrics show it, whether it is on.
pub(super) fn used(gates: &Gates) -> impl Iterator<Item = (&'static str, &'static str, bool)> {
    USED.into_iter().map(move |name| {
        let stage = match find(name).map(|gate| gate.stage) {
            Some("alpha") => "ALPHA",
            Some("beta") => "BETA",
            _ => "",
        };
        (name, stage, is_on(gates, name))
    })
}

/// What is wrong with setting a gate so.
pub(super) fn problem(name: &str, on: bool) -> Option<String> {
    match find(name) {
        None => Some("is not a feature gate that kube-proxy 1.36 knows".to_owned()),
        Some(Gate {
            default: Some(default),
            locked: true,
            ..
        }) if default != on => Some(format!("can't be set to {on}, it is locked to {default}")),
        Some(_) => None,
    }
}

/// Whether setting a gate so changes something in kube-proxy that has no counterpart here.
pub(super) fn is_idle(name: &str, on: bool) -> bool {
    !USED.contains(&name) && find(name).is_some_and(|gate| gate.default != Some(on))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gates(list: &[(&str, bool)]) -> Gates {
        let list = list.iter();
        list.map(|(name, on)| ((*name).to_owned(), *on)).collect()
    }

    #[test]
    fn gates_are_on_as_set_or_by_stage_or_by_default() {
        assert!(is_on(&gates(&[]), ALLOW_EXTERNAL_IPS));
        assert!(!is_on(
            &gates(&[(ALLOW_EXTERNAL_IPS, false)]),
            ALLOW_EXTERNAL_IPS
        ));
        assert!(!is_on(&gates(&[]), LOGGING_ALPHA));
        assert!(is_on(&gates(&[("AllAlpha", true)]), LOGGING_ALPHA));
        assert!(!is_on(
            &gates(&[("AllAlpha", true), (LOGGING_ALPHA, false)]),
            LOGGING_ALPHA
        ));
    }

    #[test]
    fn unknown_and_locked_gates_are_refused() {
        assert!(
            problem("NoSuchGate", true)
                .unwrap()
                .contains("not a feature gate")
        );
        assert_eq!(problem("PreferSameTrafficDistribution", true), None);
        let locked = problem("PreferSameTrafficDistribution", false).unwrap();
        assert_eq!(locked, "can't be set to false, it is locked to true");
        assert_eq!(problem("WatchListClient", false), None);
        assert!(is_idle("WatchListClient", false));
        assert!(!is_idle("WatchListClient", true));
    }
}
