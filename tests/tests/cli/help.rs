//! Help texts, as a reader sees them: `help/VERB.txt`. `UPDATE_GOLDEN=1` writes them anew.

use std::env;
use std::fs;
use std::path::Path;

use similar::TextDiff;

use crate::support::Place;

const VERBS: [&str; 6] = ["run", "render", "diff", "apply", "cleanup", "completions"];

#[test]
fn help_reads_as_it_should() {
    let place = Place::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/help");
    for verb in ["viprule"].into_iter().chain(VERBS) {
        let args = if verb == "viprule" {
            "--help".to_owned()
        } else {
            format!("{verb} --help")
        };
        let found = place.viprule(&args).clean(0);
        // The parser leaves spaces in lines that are otherwise empty.
        let lines: Vec<&str> = found.lines().map(str::trim_end).collect();
        let found = lines.join("\n") + "\n";
        assert!(
            found.lines().all(|line| line.chars().count() <= 100),
            "{found}"
        );
        let file = folder.join(format!("{verb}.txt"));
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&file, &found).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap();
        let diff = TextDiff::from_lines(&expected, &found)
            .unified_diff()
            .to_string();
        assert!(expected == found, "{}:\n{diff}", file.display());
    }
}

#[test]
fn short_help_fits_on_a_page() {
    let place = Place::new();
    for verb in VERBS {
        let out = place.viprule(&format!("{verb} -h")).clean(0);
        assert!(out.contains(&format!("Usage: viprule {verb}")), "{out}");
        assert!(out.lines().count() <= 60, "{verb}:\n{out}");
    }
}

#[test]
fn versions_are_told() {
    let place = Place::new();
    let version = concat!(env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(
        place.viprule("--version").clean(0),
        format!("viprule {version}")
    );
    assert!(place.viprule("run --version").clean(0).ends_with(version));
}

fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[test]
fn completions_are_scripts_that_shells_take() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = place.viprule(&format!("completions {shell}")).clean(0);
        for word in VERBS.iter().chain(&["manifests", "nodeport-addresses"]) {
            assert!(script.contains(word), "{shell} doesn't complete {word}");
        }
        let file = place.write(shell, &script).display().to_string();
        // Where the shell is installed, it says itself whether it understands.
        if is_installed(shell) {
            let answer = place.program(shell, &format!("-n {file}"));
            assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{shell}");
        }
    }
    assert!(is_installed("bash"));
    let script = place.directory.path().join("bash");
    let ask = place.write(
        "ask",
        &format!("source {}; complete -p viprule", script.display()),
    );
    let answer = place.program("bash", &ask.display().to_string());
    assert!(answer.out.contains("_viprule"), "{answer:?}");
}
