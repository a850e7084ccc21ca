//! The command line before it is parsed: what kube-proxy takes is made ours.

use std::ffi::OsString;
use std::path::Path;

/// The name under which the program stands in for kube-proxy.
const KUBE_PROXY: &str = "kube-proxy";

/// Words to parse.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Argv {
    pub(super) words: Vec<OsString>,
    /// Started as kube-proxy: exit codes are its own.
    pub(super) as_kube_proxy: bool,
}

/// Puts in the verb where kube-proxy has none, and takes underscores in flags for dashes.
pub(super) fn prepare(words: impl IntoIterator<Item = OsString>) -> Argv {
    let mut words: Vec<OsString> = words.into_iter().collect();
    let name = words.first().map(Path::new).and_then(Path::file_name);
    let as_kube_proxy = name.is_some_and(|name| name == KUBE_PROXY);
    let first = words.get(1).and_then(|word| word.to_str());
    let own = ["-h", "--help", "-V", "--version"];
    let bare = first.is_some_and(|word| word.starts_with('-') && !own.contains(&word));
    if as_kube_proxy || bare {
        words.insert(1.min(words.len()), "run".into());
    }
    for word in words.iter_mut().skip(1) {
        if word == "--" {
            break;
        }
        if let Some(dashed) = word.to_str().and_then(dashes) {
            *word = dashed.into();
        }
    }
    Argv {
        words,
        as_kube_proxy,
    }
}

/// A long flag with dashes in its name, if it has underscores.
fn dashes(word: &str) -> Option<String> {
    let flag = word.strip_prefix("--")?;
    let end = flag.find('=').unwrap_or(flag.len());
    let (name, value) = flag.split_at(end);
    name.contains('_')
        .then(|| format!("--{}{value}", name.replace('_', "-")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(line: &str) -> (String, bool) {
        let argv = prepare(line.split(' ').map(OsString::from));
        let words: Vec<_> = argv
            .words
            .iter()
            .map(|word| word.to_string_lossy())
            .collect();
        (words.join(" "), argv.as_kube_proxy)
    }

    #[test]
    fn kube_proxy_has_no_verb() {
        let run = |line: &str| prepared(line).0;
        assert_eq!(
            prepared("/usr/local/bin/kube-proxy --config=x"),
            ("/usr/local/bin/kube-proxy run --config=x".to_owned(), true)
        );
        assert_eq!(run("kube-proxy"), "kube-proxy run");
        assert_eq!(run("kube-proxy --help"), "kube-proxy run --help");
        assert_eq!(run("viprule --config x"), "viprule run --config x");
        assert_eq!(run("viprule -v=4"), "viprule run -v=4");
        assert_eq!(run("viprule --version=raw"), "viprule run --version=raw");
        for same in [
            "viprule",
            "viprule --help",
            "viprule -V",
            "viprule diff --node a",
        ] {
            assert_eq!(prepared(same), (same.to_owned(), false));
        }
    }

    #[test]
    fn underscores_are_dashes_in_names_alone() {
        assert_eq!(
            prepared("viprule run --cluster_cidr=a_b --node a_b -- --x_y").0,
            "viprule run --cluster-cidr=a_b --node a_b -- --x_y"
        );
    }
}
