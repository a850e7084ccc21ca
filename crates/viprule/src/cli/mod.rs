//! The command line: one file for each verb.

mod apply;
mod changes;
mod cleanup;
mod completions;
mod diff;
mod input;
mod node;
mod print;
mod render;
mod run;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
#[command(version, propagate_version = true, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done or no differences, 1 differences (diff only), 2 error.

Examples:
  viprule render --manifests cluster.yaml --node node-0   what this node's chains should be
  viprule diff --manifests cluster.yaml                   what the kernel has otherwise
  viprule run --manifests /etc/viprule/manifests          keep the kernel right from now on";

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Args),
    Render(render::Args),
    Diff(diff::Args),
    Apply(apply::Args),
    Cleanup(cleanup::Args),
    Completions(completions::Args),
}

/// Runs the program and returns its exit code.
pub fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Run(args) => run::run(&args),
        Verb::Render(args) => render::run(&args),
        Verb::Diff(args) => diff::run(&args),
        Verb::Apply(args) => apply::run(&args),
        Verb::Cleanup(args) => cleanup::run(&args),
        Verb::Completions(args) => completions::run(&args),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_broken_pipe(&error) => ExitCode::from(exit::OK),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "viprule: {error:#}");
            ExitCode::from(exit::ERROR)
        }
    }
}

/// Whoever reads our output has had enough of it.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
