//! The command line: one file for each verb.

mod apply;
mod argv;
mod cleanup;
mod completions;
mod diff;
mod input;
mod node;
mod print;
mod render;
mod run;
mod verb;

use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use viprule_source::escape;

use crate::config::{ConfigError, ReloaderError};
use crate::log;

/// Exit codes, which scripts rely on.
mod exit {
    /// Nothing to do, or done.
    pub(super) const OK: u8 = 0;
    /// `diff` found differences.
    pub(super) const DIFFERENCES: u8 = 1;
    /// An error; nothing was touched unless the message says so.
    pub(super) const ERROR: u8 = 2;
}

/// Keeps this node's Service dataplane right: in place of kube-proxy, over netlink, writing only
/// what differs.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, args_override_self = true, max_term_width = 100,
          after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done or no differences, 1 differences (diff only), 2 error.

Examples:
  viprule render --manifests cluster.yaml --node node-0   what this node's chains should be
  viprule diff --manifests cluster.yaml                   what the kernel has otherwise
  viprule run --manifests /etc/viprule/manifests          keep the kernel right from now on
  viprule run --config /var/lib/kube-proxy/config.conf    the same in place of kube-proxy";

#[derive(Debug, Subcommand)]
enum Verb {
    Run(Box<run::Args>),
    Render(Box<render::Args>),
    Diff(Box<diff::Args>),
    Apply(Box<apply::Args>),
    Cleanup(cleanup::Args),
    Completions(completions::Args),
}

/// The long names of the flags that were given on the command line.
type Given = Vec<String>;

/// Runs the program and returns its exit code.
pub fn main() -> ExitCode {
    let line = argv::prepare(std::env::args_os());
    // kube-proxy has one code for all errors (contract 9.4).
    let failed = if line.as_kube_proxy { 1 } else { exit::ERROR };
    let parsed = Cli::command()
        .try_get_matches_from(line.words)
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, given(&matches))));
    let (cli, given) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // Nobody to tell where the stream is closed.
            let _ = error.print();
            let fine = error.exit_code() == 0;
            return ExitCode::from(if fine { exit::OK } else { failed });
        }
    };
    let result = match cli.verb {
        Verb::Run(args) => run::run(*args, given),
        Verb::Render(args) => render::run(*args, given),
        Verb::Diff(args) => diff::run(*args, given),
        Verb::Apply(args) => apply::run(*args, given),
        Verb::Cleanup(args) => cleanup::run(&args),
        Verb::Completions(args) => completions::run(&args),
    };
    let code = match result {
        Ok(exit::ERROR) => failed,
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => exit::OK,
        Err(error) => {
            log::last_line(&described(&error));
            failed
        }
    };
    log::finish();
    ExitCode::from(code)
}

/// An error as it is told: one line, unless it is several that were escaped one by one.
fn described(error: &anyhow::Error) -> String {
    let text = format!("viprule: {error:#}");
    let of_agent = matches!(error.downcast_ref(), Some(ReloaderError::Config(_)));
    if of_agent || error.is::<ConfigError>() || error.is::<input::ManifestErrors>() {
        escape::lines(&text).into_owned()
    } else {
        escape::line(&text).into_owned()
    }
}

/// Which flags of the verb were given. Every one is called as its argument, but for dashes.
fn given(matches: &ArgMatches) -> Given {
    let Some((_, matches)) = matches.subcommand() else {
        return Given::new();
    };
    let ids = matches.ids().map(clap::Id::as_str);
    let given = ids.filter(|id| {
        // Groups of arguments are among the ids, and have no source.
        matches.try_contains_id(id).unwrap_or(false)
            && matches.value_source(id) == Some(ValueSource::CommandLine)
    });
    given
        .filter(|id| !id.ends_with("Args"))
        .map(|id| id.replace('_', "-"))
        .collect()
}

/// Whoever reads our output has had enough of it.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
