//! `/healthz` of the debug server, which says no more than that it answers. It has one check,
//! [`PING`]; Kubernetes' forms `?verbose` and `?exclude=CHECK` are understood.

use std::fmt::Write as _;

/// The name of the only check.
pub(super) const PING: &str = "ping";

/// The body for a query, and whether the check was made.
pub(super) fn answer(query: &str) -> (String, bool) {
    let parameters = || {
        query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    };
    let mut excluded: Vec<&str> = parameters()
        .filter(|(name, _)| *name == "exclude")
        .map(|(_, check)| check)
        .collect();
    excluded.sort_unstable();
    excluded.dedup();
    let checked = !excluded.contains(&PING);
    if !parameters().any(|(name, _)| name == "verbose") {
        return ("ok".to_owned(), checked);
    }
    let mut body = if checked {
        format!("[+]{PING} ok\n")
    } else {
        format!("[+]{PING} excluded: ok\n")
    };
    excluded.retain(|check| *check != PING);
    if !excluded.is_empty() {
        let names: Vec<String> = excluded.iter().map(|check| format!("{check:?}")).collect();
        // Writing to a string does not fail.
        let _ = writeln!(
            body,
            "warn: some health checks cannot be excluded: no matches for {}",
            names.join(",")
        );
    }
    body += "healthz check passed\n";
    (body, checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_terse_unless_asked() {
        assert_eq!(answer(""), ("ok".to_owned(), true));
        assert_eq!(answer("exclude=ping"), ("ok".to_owned(), false));
        let verbose = "[+]ping ok\nhealthz check passed\n".to_owned();
        assert_eq!(answer("verbose"), (verbose.clone(), true));
        assert_eq!(answer("verbose=1"), (verbose, true));
    }

    #[test]
    fn exclusions_are_named_where_they_match_nothing() {
        let body = "[+]ping excluded: ok\n\
                    warn: some health checks cannot be excluded: no matches for \"a\",\"b\"\n\
                    healthz check passed\n";
        let query = "verbose&exclude=b&exclude=ping&exclude=a&exclude=b";
        assert_eq!(answer(query), (body.to_owned(), false));
    }
}
